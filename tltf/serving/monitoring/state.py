"""What a watch remembers between two looks, in one file that is replaced as a whole."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import filelock

from tltf.errors import ModelError, StorageError
from tltf.files import atomic_files, untrusted
from tltf.runs import layout
from tltf.serving.monitoring.growing_file import BEGINNING, Position
from tltf.serving.monitoring.look import Look

FORMAT = 1
MOST_LOOKS = 2000
"""Looks that are remembered; the oldest are forgotten."""


@dataclasses.dataclass(frozen=True)
class State:
    """How far an input was looked at.

    Args:
        input: the absolute path of the input.
        model_sha256: of the weights with whose reference it was compared.
        position: up to which a file was looked at.
        seen: names of the files of a folder that were looked at.
        num_looks: windows so far; those that were forgotten too.
        num_rows: rows so far.
        looks: the last windows, the oldest first.
        untold: numbers of the looks whose alarms nobody was told yet, since the watch or the webhook
            failed.
    """

    input: str
    model_sha256: str
    position: Position = BEGINNING
    seen: tuple[str, ...] = ()
    num_looks: int = 0
    num_rows: int = 0
    looks: tuple[Look, ...] = ()
    untold: tuple[int, ...] = ()

    def with_look(self, look: Look, position: Position, seen: tuple[str, ...]) -> "State":
        """The state after one more look."""
        return dataclasses.replace(
            self,
            position=position,
            seen=(*self.seen, *seen),
            num_looks=look.number,
            num_rows=self.num_rows + look.num_rows + look.num_bad,
            looks=(*self.looks, look)[-MOST_LOOKS:],
            untold=(*self.untold, look.number) if look.rings else self.untold,
        )

    def told(self) -> "State":
        """The state after somebody was told of all alarms."""
        return dataclasses.replace(self, untold=())

    def rung(self) -> list[Look]:
        """The looks whose alarms nobody was told yet."""
        return [look for look in self.looks if look.number in self.untold]

    def to_json(self) -> dict[str, Any]:
        """The state as JSON data."""
        return {"format": FORMAT, **dataclasses.asdict(self)}


def read(folder: pathlib.Path) -> State | None:
    """The state of a watch; None where it has not begun.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder / layout.MONITOR_STATE
    if not path.exists():
        return None
    content = untrusted.read_json(path)
    fix = f"remove {path}: the watch begins anew, at the beginning of its input"
    try:
        if content.pop("format") != FORMAT:
            raise ModelError("was written by another version of tltf", place=path, fix=fix)
        looks = tuple(Look.from_json(look) for look in content.pop("looks"))
        position = Position(**content.pop("position"))
        seen, untold = tuple(content.pop("seen")), tuple(content.pop("untold"))
        return State(**content, position=position, seen=seen, untold=untold, looks=looks)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError("is not the state of a watch", place=path, fix=fix) from error


def write(folder: pathlib.Path, state: State) -> None:
    """Writes the state; the file is the old one or the new one, never a part.

    Raises:
        StorageError: it cannot be written.
    """
    with atomic_files.replace_file(folder / layout.MONITOR_STATE) as file:
        json.dump(state.to_json(), file, allow_nan=False)


@contextlib.contextmanager
def claim(folder: pathlib.Path) -> Iterator[None]:
    """A block in which no other process watches into a folder, which is made if it is missing.

    Raises:
        StorageError: another process does, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / layout.LOCK, timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        what = "another process is looking at this input now"
        raise StorageError(what, place=folder, fix="wait for it, or another --output") from error
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise StorageError(what, flag="output", place=folder) from error
    try:
        atomic_files.sweep(folder)
        yield
    finally:
        lock.release()
