"""Reports a run to its trackers, of which none can stop it."""

import dataclasses
import json
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from tltf.config.call_strings import Call
from tltf.config.catalogs.row import TrackerRow
from tltf.config.options import Options, flag_values
from tltf.console import lines
from tltf.errors import TltfError, printable
from tltf.experiments.tracking.tracker import EpochRow, FinishedRun, TrackedRun, Tracker
from tltf.files import atomic_files
from tltf.runs import layout, metrics_log

LONGEST_REASON = 300
"""Letters of a tracker's error that a warning shows."""


@dataclasses.dataclass(frozen=True)
class TrackedGroup:
    """A cross-validation that is tracked, for the runs of its folds.

    Args:
        name: of the cross-validation.
        ids: call string of a tracker -> the id that the cross-validation has there.
    """

    name: str
    ids: Mapping[str, str]


class Tracking:
    """The trackers of one run: a block in which they hear of its epochs and in the end of its report.

    A run that goes on is the same run for its trackers: their ids for it are in
    RUN/tracked_runs.json. A tracker that fails is left alone until the end of the run, with one
    warning that has the reason; then it is told once more of all that it has missed. Where a block
    ends without `finish`, the trackers are told that the run has stopped.

    Args:
        calls: the calls of the trackers; () for none.
        group: the cross-validation that the run is a fold of; None for other runs.
    """

    def __init__(
        self, calls: Sequence[Call[TrackerRow]] = (), group: TrackedGroup | None = None
    ) -> None:
        self._calls, self._group = tuple(calls), group
        self._name, self._told = "", list[_ToldTracker]()
        self._numbers = dict[tuple[Any, Any], int]()

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for told in self._told:
            told.stop()

    def begin(self, run: pathlib.Path, options: Options) -> "Tracking":
        """Begins or continues the run of a folder; returns itself, which is an EpochLog.

        Args:
            run: the run folder, which has its flags and, where it goes on, its earlier epochs.
            options: those of the run, with every `auto` resolved.
        """
        if not self._calls:
            return self
        earlier, ids = metrics_log.read(run / layout.METRICS), _read_ids(run)
        self._name = options.output.title or run.absolute().name
        rows = [self._numbered(row) for row in earlier]
        for call in self._calls:
            about = self._about(run, options, call, ids.get(str(call), ""))
            told = _ToldTracker(call, about)
            if not about.id:
                told.missed += rows
            told.start()
            if told.id:
                ids[str(call)] = told.id
                _write_ids(run, ids)
            self._told.append(told)
        return self

    def _about(
        self, run: pathlib.Path, options: Options, call: Call[TrackerRow], known_id: str
    ) -> TrackedRun:
        group = self._group
        name = f"{group.name}, fold {run.name}" if group else self._name
        return TrackedRun(
            name=name,
            folder=run,
            flags=flag_values(options),
            id=known_id,
            group=group.name if group else "",
            group_id=group.ids.get(str(call), "") if group else "",
        )

    @property
    def group(self) -> TrackedGroup:
        """This run as the cross-validation of others."""
        return TrackedGroup(self._name, {str(told.call): told.id for told in self._told})

    def write(self, row: dict[str, Any]) -> None:
        """Tells the trackers of a row of metrics.jsonl."""
        numbered = self._numbered(row)
        for told in self._told:
            told.log_epoch(numbered)

    def close(self) -> None:
        """Does nothing: the run goes on after its last epoch."""

    def finish(self, finished: FinishedRun) -> None:
        """Tells the trackers that the report of the run is written."""
        for told in self._told:
            told.finish(finished)

    def _numbered(self, row: Mapping[str, Any]) -> EpochRow:
        """The row with its number in the run; one that is run again gets that of before."""
        place = row.get("phase"), row.get("epoch")
        return EpochRow.of(self._numbers.setdefault(place, len(self._numbers) + 1), row)


class _ToldTracker:
    """A tracker whose faults are warnings.

    Args:
        call: that names it.
        run: what it is told of the run.
    """

    def __init__(self, call: Call[TrackerRow], run: TrackedRun) -> None:
        self.call, self.run, self.id = call, run, run.id
        self.missed = list[EpochRow]()
        self._tracker: Tracker | None = None
        self._has_failed = self._is_over = False

    def start(self) -> None:
        """Begins the run, and sends the epochs that the tracker has missed."""
        self._attempt(self._begin)

    def log_epoch(self, row: EpochRow) -> None:
        """Sends an epoch, or keeps it for the end of the run."""
        self.missed.append(row)
        if not self._has_failed:
            self._attempt(self._send_missed)

    def finish(self, finished: FinishedRun) -> None:
        """Sends what is missing and the report; a tracker that has failed is tried once more."""
        self._attempt(lambda: self._end(finished), is_last=True)
        self._is_over = True

    def stop(self) -> None:
        """Tells the tracker that the run has stopped, if it was told neither that nor its end."""
        tracker = self._tracker
        if tracker is not None and not self._is_over and not self._has_failed:
            self._attempt(lambda: tracker.finish(None), is_last=True)
        self._is_over = True

    def _begin(self) -> None:
        tracker: Tracker = self.call.build()
        place = tracker.start(self.run)
        self._tracker, self.id = tracker, place.id
        self.run = dataclasses.replace(self.run, id=place.id)
        lines.say("tracked", f"{self.call.name}: {place.text}")
        self._send_missed()

    def _send_missed(self) -> None:
        while self.missed and self._tracker:
            self._tracker.log_epoch(self.missed[0])
            del self.missed[0]

    def _end(self, finished: FinishedRun) -> None:
        if self._tracker is None:
            self._begin()
        self._send_missed()
        if self._tracker:
            self._tracker.finish(finished)

    def _attempt(self, does: Callable[[], None], is_last: bool = False) -> None:
        """Calls a function; the first failure of the tracker is a warning, and so is that of its end."""
        try:
            does()
        except Exception as error:  # no tracker may cost a training
            if self._has_failed and not is_last:
                return
            self._has_failed = True
            later = "what is in it may not be whole" if is_last else "it is tried again at the end"
            what = f"--track={self.call.text or self.call.name} failed ({_reason(error)}); the run goes on, {later}"
            warnings.warn(what, stacklevel=2)


def _reason(error: Exception) -> str:
    """An error of a library on one line, of limited length."""
    what = error.what if isinstance(error, TltfError) else str(error)
    text = printable(" ".join(what.split())) or "without a reason"
    shown = text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
    return f"{type(error).__name__}: {shown}"


def _read_ids(run: pathlib.Path) -> dict[str, str]:
    """Call string of a tracker -> the id that the run has there; {} for a new run."""
    try:
        ids = json.loads((run / layout.TRACKED_RUNS).read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in ids.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _write_ids(run: pathlib.Path, ids: Mapping[str, str]) -> None:
    with atomic_files.replace_file(run / layout.TRACKED_RUNS) as file:
        json.dump(ids, file, indent=2)
