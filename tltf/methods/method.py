"""The base class of transfer methods: a list of phases, and hooks for what phases cannot say."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltf.data.ordering import GivenOrder
from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.graphs.freezing import Rule
from tltf.heads.light.light_model import FrozenRows
from tltf.methods.context import FitContext
from tltf.methods.rules import HEAD
from tltf.runs.carried import Carried

MakeBatches = Callable[..., tf.data.Dataset]
"""(first epoch, number of epochs, rows=None, skip=0, is_drawn=True) -> dataset of (inputs, targets,
weights)."""
MakeInputs = Callable[..., tf.data.Dataset]
"""(first epoch, number of epochs, skip=0, augment="", views=4, steps=None) -> dataset of the inputs of rows without
labels, `steps` batches of --batch_size rows in each epoch, by default as many as the training rows have; the rows
are read again and again. With `augment`, call strings of AUGMENTS, they are augmented so in place of what --augment
says; above a cached frozen network so many augmented views of each row are used in turn."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of training with fixed rules, as plain serialisable data.

    Args:
        name: name in the progress bar and in metrics.jsonl.
        rules: ordered (pattern, rate) pairs, see tltf.graphs.freezing.
        epochs_share: share of --train_epochs that this phase takes.
        rate_factor: factor on --learning_rate.
        schedule: replaces --schedule; empty keeps it.
        keep: replaces --keep, and with `last` no epoch ends the phase early; empty keeps both.
        norm: batch-norm policy `train`, `frozen` or `recalibrate`; empty keeps --norm.
        solver: `gradient`; `lbfgs` for a head of one dense layer on a frozen network; `method` for
            `Method.solve`; `none` where `Method.finish` does all the work.
        loss_weight: factor on the loss of the targets, to which the method may add a loss.
        easiest: share of the training rows of each class that are used: those on which the core
            has the smallest loss when the first such phase begins.
        keeps_start: whether `Method.finish` needs the weights that the phase started from.
        num_snapshots: how often the rate falls from its peak to 0; the weights at each end are kept. 0 stands for once,
            by the schedule, and keeps none.
    """

    name: str
    rules: tuple[Rule, ...]
    epochs_share: float = 1.0
    rate_factor: float = 1.0
    schedule: str = ""
    keep: str = ""
    norm: str = ""
    solver: str = "gradient"
    loss_weight: float = 1.0
    easiest: float = 1.0
    keeps_start: bool = False
    num_snapshots: int = 0

    def num_epochs(self, train_epochs: int) -> int:
        """How many of --train_epochs the phase takes, at least one; a solver takes none."""
        if self.solver != "gradient":
            return 0
        return max(1, round(train_epochs * self.epochs_share))

    def snapshot_epochs(self, num_epochs: int) -> tuple[int, ...]:
        """The numbers of the epochs, from 1, at whose end the rate is 0 and the weights are kept; () without snapshots.

        Args:
            num_epochs: epochs of the phase, which are shared out as evenly as they can be.
        """
        count = self.num_snapshots
        return tuple(round(number * num_epochs / count) for number in range(1, count + 1))

    def norm_policy(self, default: str) -> str:
        """The batch-norm policy of the phase; `default`, which is --norm, where it has none."""
        return self.norm or default


@dataclasses.dataclass(frozen=True)
class TrainingOutcome:
    """What the training of all phases leaves to `Method.finish`.

    Args:
        variables: the variables that changed, by name.
        start: name -> array, the values of these at the start of the phase that keeps them; {}
            where no phase keeps them.
        measure: returns (loss, quality) of the core on the validation split; quality is the head's
            metric, or its negative where it is an error. None without a validation split.
        judged: returns `(float32[N, C] logits, int[N] labels)` of the validation split; None without one, or
            where a row has no class.
    """

    variables: dict[str, keras.Variable]
    start: dict[str, np.ndarray]
    measure: Callable[[], tuple[float, float]] | None
    judged: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None

    def quality(self) -> tuple[float, float]:
        """The core's quality on the validation split; equal ones are ranked by their loss.

        Raises:
            ValueError: there is no validation split.
        """
        if self.measure is None:
            raise ValueError("there is no validation split")
        loss, quality = self.measure()
        return quality, -loss


@dataclasses.dataclass(frozen=True)
class Solved:
    """What `Method.solve` has made.

    Args:
        core: the core to go on with; maybe with another head on the same layers.
        history: plain JSON, a dict for each thing that was tried; `candidate` names it in words, where
            the number of the thing does not say enough.
        text: what was done, for the terminal.
    """

    core: Core
    history: list[dict[str, Any]]
    text: str


@dataclasses.dataclass(frozen=True)
class RowsToOrder:
    """What `Method.order` needs to know of the training rows and of the batches made of them.

    Args:
        labels: the labels of the rows, in their order.
        batch_size: rows per step, over all devices.
        num_devices: devices, each of which takes an equal part of a batch that is not cut further.
        seed: --seed.
        num_unlabelled: rows without labels that the method reads.
        history: what earlier phases have tried and measured, as `Solved.history` has it.
    """

    labels: np.ndarray
    batch_size: int
    num_devices: int
    seed: int
    num_unlabelled: int = 0
    history: Sequence[dict[str, Any]] = ()

    @property
    def share(self) -> int:
        """Rows of a batch that one device takes; they stand side by side in the order."""
        return self.batch_size // self.num_devices

    @property
    def num_shares(self) -> int:
        """The number of such parts of a batch."""
        return self.batch_size // self.share

    def require_share(self, least: int) -> int:
        """`share`, where it is at least `least`.

        Raises:
            FlagError: a device takes fewer rows of a batch.
        """
        if self.share < least:
            raise FlagError(
                f"each of {self.num_devices} devices takes {self.share} of the {self.batch_size} rows "
                f"of a batch, and the method compares {least} or more",
                flag="batch_size",
                fix=f"--batch_size={least * self.num_devices}, or one device",
            )
        return self.share


class Method:
    """A transfer method; by default the hooks are those of plain fine-tuning.

    Args:
        make_phases: returns the phases for a core.
    """

    model_class: type[keras.Model] | None = None
    """The class of the model whose `train_step` trains; None for keras.Model."""
    mixes_weights = False
    """Whether `finish` mixes weights, so that the batch-norm statistics of no training fit them."""
    changes_trained = False
    """Whether `finish` changes weights or statistics in another way, so that those from before do not fit its network."""

    carried: Carried | None = None
    """What a run that goes on from this one needs of it, once the training is done; None for nothing."""

    def __init__(self, make_phases: Callable[[Core], list[Phase]]) -> None:
        self._make_phases = make_phases

    def solve_head_first(self) -> None:
        """Puts a phase before the others that solves for the head on the frozen network."""
        own = self._make_phases
        probe = Phase("probe", (HEAD,), norm="frozen", solver="lbfgs")
        self._make_phases = lambda core: [probe, *own(core)]

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core to train; its layers may be changed in place.

        Args:
            core: the core as it was built; this runs in the scope of the strategy.
            context: what the method may know of the fit.
        """
        return core

    def phases(self, core: Core) -> list[Phase]:
        """The phases of the training, in order."""
        return self._make_phases(core)

    def core_of(self, core: Core, phase: Phase) -> Core:
        """The core to train in a phase; one without an added loss where the phase has none.

        Args:
            core: the core of the phase before, or what `prepare` gave.
            phase: the phase that begins; after a resume it is the first that is asked for.
        """
        return core

    def order(self, phase: Phase, rows: RowsToOrder) -> GivenOrder | None:
        """The order of the rows in a phase that takes steps; None for the usual one.

        Args:
            phase: the phase that is trained.
            rows: the rows and how they become batches.
        """
        return None

    def batches(
        self, training: MakeBatches, phase: Phase, unlabelled: MakeInputs | None
    ) -> MakeBatches:
        """The function that makes the batches of a phase.

        Args:
            training: the function that makes the batches of the training rows, each of which the
                devices can share.
            phase: the phase that is trained.
            unlabelled: the function that makes the inputs of the rows without labels that the
                method reads, see `MethodRow.reads`; None where there are none.

        Returns:
            The same or another such function, e.g. one that joins rows of another domain to each
            batch.
        """
        return training

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """Makes the head of a phase whose solver is `method`, without steps.

        Args:
            core: the core; its head is one dense layer. This runs in the scope of the strategy.
            rows: the training rows.
            seed: --seed.
            unlabelled: float32[M, d], the features of the rows without labels that the method reads;
                None where there are none.
        """
        raise NotImplementedError

    def begin(self, core: Core, phase: Phase, model: keras.Model, num_steps: int) -> None:
        """Prepares the compiled model of a phase that takes steps; by default there is nothing to do.

        Args:
            core: the core that is trained, which may have changed since `prepare`.
            phase: the phase.
            model: of the class `model_class`; its layers are those of the core.
            num_steps: number of the optimizer's steps in the phase.
        """

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core to keep after all phases."""
        return core

    def release(self, core: Core) -> None:
        """Undoes in the backbone's layers what `prepare` did, without a trace of the training."""


def groups_of(core: Core) -> list[str]:
    """Names of the backbone's groups, in depth order."""
    return [group.name for group in core.groups[:-1]]


def rule_of(group: str, rate: float = 1.0) -> Rule:
    """The rule that trains all of a group."""
    return f"{re.escape(group)}/.*", float(rate)
