"""What is watched: a log, a file of inputs or a folder of images, opened behind what was looked at."""

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from tltf.config.command_options import MonitorOptions
from tltf.console import command
from tltf.data import row_scan
from tltf.data.sources import table_hints
from tltf.errors import FlagError
from tltf.serving.monitoring import growing_file, log_rows
from tltf.serving.monitoring.answers import Answers
from tltf.serving.monitoring.growing_file import Position, Record
from tltf.serving.monitoring.log_rows import LogRows
from tltf.serving.monitoring.reference import About
from tltf.serving.monitoring.state import State

if TYPE_CHECKING:
    from tltf.serving.monitoring.predicted_rows import PredictedRows

BEGINNING_BYTES = 1 << 16
"""Bytes by which a file is recognised."""


class Rows(Protocol):
    """What makes Answers of rows."""

    def read(self, records: Sequence[Record]) -> Answers:
        """The answers of some rows."""
        ...


class LiveInput:
    """Rows of an input that were not looked at before, as they are in a log.

    Args:
        path: the log.
        rows: what reads its rows.
        before: the state of the watch.
        quote: see `growing_file.read_records`.
        has_header: likewise.
        takes_last: likewise.
    """

    def __init__(
        self,
        path: pathlib.Path,
        rows: Rows,
        before: State,
        *,
        quote: bytes = b"",
        has_header: bool = False,
        takes_last: bool = False,
    ) -> None:
        self.rows, self.notes = rows, list[str]()
        self._path, self._position = path, before.position
        self._quote, self._has_header, self._takes_last = quote, has_header, takes_last

    def records(self) -> Iterator[Record]:
        """Yields the rows in their order."""
        unread = growing_file.find_unread(self._path, self._position)
        if unread.note:
            self.notes.append(unread.note)
        for path, offset in unread.parts:
            yield from growing_file.read_records(
                path,
                offset,
                quote=self._quote,
                has_header=self._has_header,
                takes_last=self._takes_last,
            )

    def position_after(self, window: Sequence[Record]) -> Position:
        """The place behind the last row of a window."""
        return growing_file.position_at(window[-1].path, window[-1].end)

    def seen_in(self, window: Sequence[Record]) -> tuple[str, ...]:
        """The names that a state remembers; none, since it has the place."""
        return ()


class LiveFolder(LiveInput):
    """Images of a folder that were not looked at before, in the order in which they were written.

    Args:
        path: the folder.
        rows: what reads images.
        before: the state of the watch.
    """

    def __init__(self, path: pathlib.Path, rows: Rows, before: State) -> None:
        super().__init__(path, rows, before)
        self._seen = set(before.seen)

    def records(self) -> Iterator[Record]:
        """Yields a row per image, whose content is its path."""
        from tltf.data.sources import image_folder

        scan = row_scan.Scan("input")
        names = image_folder.walk_files(self._path, self._path, scan, follows_links=True)
        new = [name for name in names if self._name(name) not in self._seen]
        for name in sorted(new, key=lambda name: (os.stat(name).st_mtime_ns, name)):
            yield Record(os.fsencode(os.path.abspath(name)), self._path / "image", 0)

    def _name(self, path: str) -> str:
        return os.path.relpath(path, self._path)

    def position_after(self, window: Sequence[Record]) -> Position:
        """No place: a folder has names."""
        return Position()

    def seen_in(self, window: Sequence[Record]) -> tuple[str, ...]:
        """The names of the images in a window."""
        return tuple(self._name(os.fsdecode(record.content)) for record in window)


def open_input(options: MonitorOptions, about: About, before: State) -> LiveInput:
    """The input that --input names; the model is loaded only where it must predict.

    Raises:
        FlagError: there is no such input, or it is not of a kind that can be watched.
        DataError: it is not a text.
        ModelError: the model is refused.
    """
    if not os.path.exists(os.path.expanduser(options.input)) and set(options.input) & set(",*?[-"):
        what = f"takes one file or one folder (received {options.input})"
        raise FlagError(what, flag="input", fix="a watch with an --output of its own for each")
    path = row_scan.existing_path(options.input, "input").absolute()
    if path.is_dir():
        rows = _predicted(options, path, b"")
        return LiveFolder(path, rows, before)
    with open(path, "rb") as file:
        beginning = file.read(BEGINNING_BYTES)
    table_hints.refuse_binary(beginning, path, "input")
    first = beginning.lstrip().split(b"\n", 1)[0].decode("utf-8-sig", "replace").rstrip("\r")
    kind = log_rows.kind_of_log(first, options.task)
    takes_last = options.rest is True
    if kind and not options.predict_again:
        is_csv = kind == log_rows.CSV
        logged = LogRows(about, kind, options.time, options.task)
        quote = b'"' if is_csv else b""
        return LiveInput(
            path, logged, before, quote=quote, has_header=is_csv, takes_last=takes_last
        )
    made = _predicted(options, path, beginning)
    return LiveInput(
        path,
        made,
        before,
        quote=made.quote,
        has_header=made.kind == log_rows.CSV,
        takes_last=takes_last,
    )


def _predicted(options: MonitorOptions, path: pathlib.Path, beginning: bytes) -> "PredictedRows":
    """What predicts rows with the run's model."""
    command.load_tensorflow("loading the model")
    from tltf.models import loading, task_models
    from tltf.serving.monitoring.predicted_rows import PredictedRows

    model = task_models.chosen_model(loading.load(options.run), options.task, "tltf.monitor")
    return PredictedRows(model, options, path, beginning)
