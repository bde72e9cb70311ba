"""RUN/metrics.jsonl: one line of JSON an epoch, which outlives a killed process."""

import contextlib
import json
import math
import pathlib

from tltf.errors import StorageError


class MetricsLog:
    """Appends epochs to a file; each line is on disk when `write` returns.

    A line cut short by a killed process is removed when the file is opened again.

    Args:
        path: of the file; made with its folder where missing.

    Raises:
        StorageError: the file cannot be opened.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _cut_unfinished(self.path)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise _failure(self.path, error) from error

    def write(self, row):
        """Appends a dict of texts and numbers; numbers that are not finite become null.

        Raises:
            StorageError: the disk is full or gone.
        """
        try:
            self._file.write(json.dumps(_plain(row), allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise _failure(self.path, error) from error

    def close(self):
        """Closes the file; what a full disk did not take was an error of `write`."""
        with contextlib.suppress(OSError):
            self._file.close()


def read(path):
    """The epochs of a metrics file, in order; empty where there is none.

    An epoch that was run again after an interruption counts once, with its last line.

    Raises:
        StorageError: a line other than the last is no JSON object.
    """
    path, rows = pathlib.Path(path), {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            key = (row.get("phase"), row.get("epoch"))
        except (json.JSONDecodeError, AttributeError) as error:
            if number == len(lines):
                break
            raise StorageError("no line of metrics", place=f"{path}:{number}") from error
        rows.pop(key, None)
        rows[key] = row
    return list(rows.values())


def _cut_unfinished(path):
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)


def _plain(row):
    return {key: _value(value) for key, value in row.items()}


def _value(value):
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _failure(path, error):
    return StorageError(f"cannot be written: {error.strerror or error}", place=path)
