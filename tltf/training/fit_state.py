"""The state of an unfinished fit, which is saved so that the fit can go on as if it had never stopped.

Beside the weights and the optimizer it has the states of the seed generators, which are not among
Keras's weights, the metrics of an epoch that is not over, the best weights so far, and what callbacks
have counted.
"""

import dataclasses
import time
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from tltf.runs.checkpoints import Checkpoint
from tltf.training.callbacks.keep_best import BestEpoch

Arrays = dict[str, np.ndarray]
"""Name of a variable, see `functional.named_weights` -> array of its value, in its dtype."""


@dataclasses.dataclass(frozen=True)
class Place:
    """How far a phase has come.

    Args:
        epochs: number of epochs that are over.
        steps: number of steps done in the next epoch; where these are all, it is not yet judged.
    """

    epochs: int
    steps: int = 0


@dataclasses.dataclass
class FitRecord:
    """The record of a fit that each phase hands on to the next one.

    Args:
        step: number of optimizer steps in the phases that are over.
        history: a dict for each epoch, or for each penalty that a solver tried.
        start: the weights at the start of the last phase that keeps them; {} without such a phase.
        difficulty: float[N], the loss of each training row at the start of the first phase that takes
            the easiest rows; None before that.
        probe: float32[M, C], what a head that was solved for states of the test split, before later
            phases change it; None before that, and where it is no baseline.
    """

    step: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    start: Arrays = dataclasses.field(default_factory=dict)
    difficulty: np.ndarray | None = None
    probe: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class FitState:
    """An unfinished fit: all that is needed to resume it, and no more.

    Args:
        phase: number of the running phase; 0 is the first.
        place: Place in that phase.
        epoch_steps: number of steps per epoch of that phase; None in an older checkpoint, which does
            not have it.
        record: FitRecord.
        fingerprint: identifies the training examples.
        seconds: seconds of training so far.
        is_stopped: whether a callback has ended the phase.
        best: the best epoch of KeepBest; None without validation.
        best_weights: the weights of that epoch; {} where the last epoch is kept.
        plateau: the values of `plateau.STATE`; {} without that schedule.
        weights: all weights that training has changed so far.
        optimizer: the optimizer's variables, in its order.
        seeds: uint32[2] of each seed generator of the core, in its order.
        metrics: the variables of the model's metrics, in its order; [] between two epochs.
        low_epochs: `num_low` of StopWhenLearned; 0 without it.
    """

    phase: int
    place: Place
    epoch_steps: int | None
    record: FitRecord
    fingerprint: str
    seconds: float
    is_stopped: bool
    best: BestEpoch | None
    best_weights: Arrays
    plateau: dict[str, float]
    weights: Arrays
    optimizer: list[np.ndarray]
    seeds: list[np.ndarray]
    metrics: list[np.ndarray]
    low_epochs: int = 0

    def to_checkpoint(self) -> Checkpoint:
        """The Checkpoint that `from_checkpoint` reads."""
        arrays = _named("weights", self.weights)
        arrays |= _numbered("optimizer", self.optimizer)
        arrays |= _numbered("seeds", self.seeds) | _numbered("metrics", self.metrics)
        arrays |= _named("start", self.record.start)
        for name in ("difficulty", "probe"):
            if getattr(self.record, name) is not None:
                arrays[name] = getattr(self.record, name)
        arrays |= _named("best", self.best_weights)
        state = {
            "phase": self.phase,
            "epoch": self.place.epochs,
            "steps": self.place.steps,
            "epoch_steps": self.epoch_steps,
            "step": self.record.step,
            "history": self.record.history,
            "best": self.best,
            "plateau": self.plateau,
            "is_stopped": self.is_stopped,
            "seconds": self.seconds,
            "data": self.fingerprint,
        }
        if self.low_epochs:
            state["low_epochs"] = self.low_epochs
        return Checkpoint(arrays, state)

    @classmethod
    def from_checkpoint(cls, saved: Checkpoint) -> "FitState":
        """The FitState of a Checkpoint."""
        state, arrays = saved.state, saved.arrays
        start, difficulty = arrays_under(saved, "start/"), arrays.get("difficulty")
        record = FitRecord(
            state["step"], list(state["history"]), start, difficulty, arrays.get("probe")
        )
        return cls(
            phase=state["phase"],
            place=Place(state.get("epoch", 0), state.get("steps", 0)),
            epoch_steps=state.get("epoch_steps"),
            record=record,
            fingerprint=state["data"],
            seconds=state["seconds"],
            is_stopped=state["is_stopped"],
            best=state.get("best"),
            best_weights=arrays_under(saved, "best/"),
            plateau=state.get("plateau") or {},
            low_epochs=state.get("low_epochs", 0),
            weights=arrays_under(saved, "weights/"),
            optimizer=_in_order(arrays, "optimizer"),
            seeds=_in_order(arrays, "seeds"),
            metrics=_in_order(arrays, "metrics"),
        )


def arrays_under(saved: Checkpoint, prefix: str) -> Arrays:
    """The arrays of a Checkpoint whose names begin with `prefix`, by the names without it."""
    return {n.removeprefix(prefix): v for n, v in saved.arrays.items() if n.startswith(prefix)}


def _named(kind: str, arrays: Arrays) -> Arrays:
    return {f"{kind}/{name}": array for name, array in arrays.items()}


def _numbered(kind: str, arrays: list[np.ndarray]) -> Arrays:
    return {f"{kind}/{number}": array for number, array in enumerate(arrays)}


def _in_order(arrays: Arrays, kind: str) -> list[np.ndarray]:
    """The arrays that `_numbered` has named, up to the first number that is missing."""
    found: list[np.ndarray] = []
    while (name := f"{kind}/{len(found)}") in arrays:
        found.append(arrays[name])
    return found


class MovedWeights(dict[str, keras.Variable]):
    """Name -> keras.Variable of all that a fit has trained or otherwise changed so far."""

    def read(self) -> Arrays:
        """Copies of the values."""
        return {name: variable.numpy() for name, variable in self.items()}

    def write(self, arrays: Arrays) -> None:
        """Assigns arrays to the variables of the same names."""
        for name, array in arrays.items():
            self[name].assign(array)

    def keep(self, variables: Iterable[keras.Variable]) -> None:
        """Forgets all but these variables, which a new head has left in the core."""
        kept = {id(variable) for variable in variables}
        for name in [name for name, variable in self.items() if id(variable) not in kept]:
            del self[name]


class FitClock:
    """The time that a fit takes.

    `seconds_before` has the seconds of training before an interruption. `first_step_s` has the seconds
    from the start of the fit in this process to the end of the first step; it is None before that.
    """

    def __init__(self) -> None:
        self.seconds_before = 0.0
        self.first_step_s: float | None = None
        self._start = time.monotonic()

    def seconds(self) -> float:
        """The seconds of training so far, including those before an interruption."""
        return self.seconds_before + time.monotonic() - self._start

    def note_first_step(self) -> None:
        """Notes that the first step has ended; later calls change nothing."""
        self.first_step_s = self.first_step_s or time.monotonic() - self._start
