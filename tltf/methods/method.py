"""What a transfer method is: a list of phases, and hooks where data is not enough."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from tltf.methods.context import FitContext


@dataclasses.dataclass(frozen=True)
class Phase:
    """One stretch of training with fixed rules; plain serialisable data.

    Args:
        name: shown in the progress bar and in metrics.jsonl.
        rules: ordered (pattern, rate) pairs, see tltf.graphs.freezing.
        epochs_share: share of --train_epochs that this phase takes.
        rate_factor: factor on --learning_rate.
        schedule: overrides --schedule; empty keeps it.
        norm: batch-norm policy `train`, `frozen` or `recalibrate`; empty keeps --norm.
        solver: `gradient`; `lbfgs` for a head of one dense layer on a frozen network; `none` where
            `Method.finish` does all.
        loss_weight: factor on the loss of the targets, beside what the method adds.
        easiest: share of the training rows of each class that are used, those on which the core
            has the smallest loss when the first such phase begins.
        keeps_start: whether `Method.finish` wants the weights that the phase started from.
    """

    name: str
    rules: tuple
    epochs_share: float = 1.0
    rate_factor: float = 1.0
    schedule: str = ""
    norm: str = ""
    solver: str = "gradient"
    loss_weight: float = 1.0
    easiest: float = 1.0
    keeps_start: bool = False


@dataclasses.dataclass(frozen=True)
class TrainingOutcome:
    """What a training leaves to `Method.finish`.

    Args:
        variables: name -> keras.Variable, all that moved.
        start: name -> array of the same at the start of the phase that keeps it; {} without one.
        measure: () -> (loss, quality) of the core on the validation split, quality the head's metric
            or, where that is an error, its negative; None without one.
    """

    variables: dict
    start: dict
    measure: Callable | None


class Method:
    """A transfer method; the hooks' defaults are plain fine-tuning.

    Args:
        make_phases: core -> list of Phase.
    """

    model_class: Any = None
    """Subclass of keras.Model whose `train_step` trains; None for Keras's own."""
    mixes_weights = False
    """Whether `finish` mixes weights, to which no batch-norm statistics of a training belong."""

    def __init__(self, make_phases: Callable[..., Any]) -> None:
        self._make_phases = make_phases

    def prepare(self, core: Any, context: FitContext) -> Any:
        """The core to train, in the strategy's scope; its layers may be changed in place.

        Args:
            core: Core.
            context: FitContext.
        """
        return core

    def phases(self, core: Any) -> list[Phase]:
        """The list of `Phase`."""
        return self._make_phases(core)

    def batches(self, training: Any, phase: Phase) -> Any:
        """What a phase trains on, of what it would train on by itself.

        Args:
            training: (first epoch, number of epochs, rows=None, skip=0, is_drawn=True) -> dataset of
                (inputs, targets, weights).
            phase: Phase.

        Returns:
            The same, or another such function, e.g. with rows of another domain joined to each batch.
        """
        return training

    def finish(self, core: Any, outcome: TrainingOutcome) -> Any:
        """The core to keep when the phases are done; `outcome` is a `TrainingOutcome`."""
        return core

    def release(self, core: Any) -> None:
        """Undoes in the backbone's layers what `prepare` did, without a trace of the training."""


def groups_of(core: Any) -> list[str]:
    """Names of the backbone's groups, in depth order."""
    return [group.name for group in core.groups[:-1]]


def rule_of(group: str, rate: float = 1.0) -> tuple[str, float]:
    """The rule that trains all of a group."""
    return f"{re.escape(group)}/.*", float(rate)
