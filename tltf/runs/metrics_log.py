"""RUN/metrics.jsonl: one line of JSON an epoch, which outlives a killed process."""

import contextlib
import io
import json
import math
import os
import pathlib
from typing import Any

from tltf.errors import StorageError


class MetricsLog:
    """Appends epochs to a file; each line is on disk when `write` returns.

    A line cut short by a killed process is removed when the file is opened again; an epoch that is
    run again takes its place, and those after it go.

    Args:
        path: of the file; made with its folder where missing.

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

    def write(self, row: Any) -> None:
        """Appends a dict of texts and numbers; numbers that are not finite become null.

        Raises:
            StorageError: the disk is full or gone.
        """
        start = self._starts.get(_key(row))
        try:
            if start is not None:
                os.truncate(self.path, start)
                self._starts = {key: at for key, at in self._starts.items() if at < start}
            self._file.write(json.dumps(_plain(row), allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise _failure(self.path, error) from error

    def close(self) -> None:
        """Closes the file; what a full disk did not take was an error of `write`."""
        with contextlib.suppress(OSError):
            self._file.close()


def read(path: pathlib.Path) -> Any:
    """The epochs of a metrics file, in order; empty where there is none.

    An epoch that was run again after an interruption counts once, with its last line.

    Raises:
        StorageError: a line other than the last is not a JSON object.
    """
    path, rows = pathlib.Path(path), dict[Any, Any]()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            key = _key(row)
        except (json.JSONDecodeError, AttributeError) as error:
            if number == len(lines):
                break
            raise StorageError("no line of metrics", place=f"{path}:{number}") from error
        rows.pop(key, None)
        rows[key] = row
    return list(rows.values())


def _starts(path: pathlib.Path) -> dict[tuple[str, int], int]:
    """Phase and epoch -> where its first line begins in a file, a line cut short removed."""
    if not path.exists():
        return {}
    found: dict = {}
    start = 0
    for line in io.BytesIO(path.read_bytes()):
        if not line.endswith(b"\n"):
            os.truncate(path, start)
            break
        with contextlib.suppress(ValueError, AttributeError):
            found.setdefault(_key(json.loads(line)), start)
        start += len(line)
    return found


def _key(row: Any) -> Any:
    return row.get("phase"), row.get("epoch")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: _value(value) for key, value in row.items()}


def _value(value: bool | float | str) -> Any:
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _failure(path: pathlib.Path, error: Any) -> StorageError:
    return StorageError(f"cannot be written: {error.strerror or error}", place=path)
