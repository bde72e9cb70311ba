"""RUN/metrics.jsonl: one line of JSON per epoch, which outlives a killed process."""

import contextlib
import io
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from tltf.errors import StorageError

_Key = tuple[str | None, int | None]
"""Phase and epoch of a line."""


class MetricsLog:
    """A log that appends one line per epoch to a file; each line is in the file when `write` returns.

    A line that a killed process left unfinished is removed when the file is opened again. An epoch
    that is run again replaces its own line and removes the lines after it.

    Args:
        path: the file; it and its folder are made if they are missing.

    Raises:
        StorageError: the file cannot be opened.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = pathlib.Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._starts = _starts(self.path)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise _failure(self.path, error) from error

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends a line of texts and numbers by name; numbers that are not finite become null.

        Raises:
            StorageError: the disk is full or fails.
        """
        start = self._starts.get(_key(row))
        try:
            if start is not None:
                os.truncate(self.path, start)
                self._starts = {key: old for key, old in self._starts.items() if old < start}
            self._file.write(json.dumps(_plain(row), allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise _failure(self.path, error) from error

    def close(self) -> None:
        """Closes the file; a full disk has already been an error of `write`."""
        with contextlib.suppress(OSError):
            self._file.close()


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """The epochs of a metrics file in order; empty if the file does not exist.

    An epoch that was run again after an interruption counts once, with its last line.

    Raises:
        StorageError: a line other than the last is not a JSON object.
    """
    path, rows = pathlib.Path(path), dict[_Key, dict[str, Any]]()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            key = _key(row)
        except (json.JSONDecodeError, AttributeError) as error:
            if number == len(lines):
                break
            raise StorageError("is not a line of metrics", place=f"{path}:{number}") from error
        rows.pop(key, None)
        rows[key] = row
    return list(rows.values())


def _starts(path: pathlib.Path) -> dict[_Key, int]:
    """Phase and epoch -> where its first line begins in a file; removes an unfinished last line."""
    if not path.exists():
        return {}
    starts: dict[_Key, int] = {}
    start = 0
    for line in io.BytesIO(path.read_bytes()):
        if not line.endswith(b"\n"):
            os.truncate(path, start)
            break
        with contextlib.suppress(ValueError, AttributeError):
            starts.setdefault(_key(json.loads(line)), start)
        start += len(line)
    return starts


def _key(row: Mapping[str, Any]) -> _Key:
    return row.get("phase"), row.get("epoch")


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _value(value) for key, value in row.items()}


def _value(value: bool | float | str | None) -> bool | float | str | None:
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _failure(path: pathlib.Path, error: OSError) -> StorageError:
    return StorageError(f"cannot be written: {error.strerror or error}", place=path)
