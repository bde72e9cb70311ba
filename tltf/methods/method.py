"""The base class of transfer methods: a list of phases, and hooks for what phases cannot say."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltf.graphs.core import Core
from tltf.graphs.freezing import Rule
from tltf.heads.light.light_model import FrozenRows
from tltf.methods.context import FitContext
from tltf.runs.carried import Carried

MakeBatches = Callable[..., tf.data.Dataset]
"""(first epoch, number of epochs, rows=None, skip=0, is_drawn=True) -> dataset of (inputs, targets,
weights)."""


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

    def num_epochs(self, train_epochs: int) -> int:
        """How many of --train_epochs the phase takes, at least one; a solver takes none."""
        if self.solver != "gradient":
            return 0
        return max(1, round(train_epochs * self.epochs_share))

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
    """

    variables: dict[str, keras.Variable]
    start: dict[str, np.ndarray]
    measure: Callable[[], tuple[float, float]] | None

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
        history: plain JSON, a dict for each thing that was tried.
        text: what was done, for the terminal.
    """

    core: Core
    history: list[dict[str, Any]]
    text: str


class Method:
    """A transfer method; by default the hooks are those of plain fine-tuning.

    Args:
        make_phases: returns the phases for a core.
    """

    model_class: type[keras.Model] | None = None
    """The class of the model whose `train_step` trains; None for keras.Model."""
    mixes_weights = False
    """Whether `finish` mixes weights, so that the batch-norm statistics of no training fit them."""

    carried: Carried | None = None
    """What a run that goes on from this one needs of it, once the training is done; None for nothing."""

    def __init__(self, make_phases: Callable[[Core], list[Phase]]) -> None:
        self._make_phases = make_phases

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

    def batches(self, training: MakeBatches, phase: Phase) -> MakeBatches:
        """The function that makes the batches of a phase.

        Args:
            training: the function that makes the batches of the training rows.
            phase: the phase that is trained.

        Returns:
            The same or another such function, e.g. one that joins rows of another domain to each
            batch.
        """
        return training

    def solve(self, core: Core, rows: FrozenRows, seed: int) -> Solved:
        """Makes the head of a phase whose solver is `method`, without steps.

        Args:
            core: the core; its head is one dense layer. This runs in the scope of the strategy.
            rows: the training rows.
            seed: --seed.
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
