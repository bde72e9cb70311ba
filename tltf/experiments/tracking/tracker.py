"""What a tracker is: three methods, and what it is told of a run by them."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tltf.evaluation.report.report import Report

if TYPE_CHECKING:  # checks of call strings come here before TensorFlow is imported
    from tltf.models.transfer_model import TransferModel


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told when a run begins or goes on.

    Args:
        name: of the run: its --title, else the name of its folder.
        folder: the run folder.
        flags: flag -> value, with every `auto` resolved.
        id: by which the tracker continues the run that it has begun before; empty for a new one.
        group: the name of the cross-validation that the run is a fold of; empty for other runs.
        group_id: the id that the same tracker gave that cross-validation; empty for other runs.
    """

    name: str
    folder: pathlib.Path
    flags: Mapping[str, bool | float | str | None]
    id: str = ""
    group: str = ""
    group_id: str = ""


@dataclasses.dataclass(frozen=True)
class TrackedPlace:
    """Where a tracker keeps a run.

    Args:
        id: by which the tracker finds the run again.
        text: the address or the command by which a person looks at it.
    """

    id: str
    text: str


@dataclasses.dataclass(frozen=True)
class EpochRow:
    """The numbers of one epoch, or of one penalty that a solver has tried.

    Args:
        number: of the epoch in the whole run, from 1; an epoch that is run again after an
            interruption has the number that it had.
        phase: name of the phase.
        numbers: name -> value, as metrics.jsonl has them; the epoch within its phase is
            `phase_epoch`.
    """

    number: int
    phase: str
    numbers: Mapping[str, float]

    @classmethod
    def of(cls, number: int, row: Mapping[str, Any]) -> "EpochRow":
        """The EpochRow of a row of metrics.jsonl; what is not a finite or infinite number is left out."""
        named = {("phase_epoch" if name == "epoch" else name): row[name] for name in row}
        numbers = {
            name: float(value)
            for name, value in named.items()
            if isinstance(value, (bool, int, float)) or hasattr(value, "dtype")
        }
        return cls(number, str(row.get("phase", "")), numbers)


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run whose report is written.

    Args:
        report: with the pictures of its examples.
        folder: the run folder, which has the pages of the report and the model.
        model: the trained model with its splits; None for a cross-validation.
    """

    report: Report
    folder: pathlib.Path
    model: "TransferModel | None" = None


class Tracker(Protocol):
    """A place that a run is reported to. Any exception of it becomes a warning, and the run goes on."""

    def start(self, run: TrackedRun) -> TrackedPlace:
        """Begins a run, or continues that of `run.id`; returns where it is kept."""

    def log_epoch(self, row: EpochRow) -> None:
        """Adds an epoch. One that came before replaces it or stands beside it at the same number."""

    def finish(self, finished: FinishedRun | None) -> None:
        """Ends the run with its report and its model; None where it has stopped before and may go on."""
