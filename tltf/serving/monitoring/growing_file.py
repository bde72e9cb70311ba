"""A log that grows: only rows that were not read before are read, also after it was rotated.

A place in a log is an offset, with a digest of the bytes before it. So a log that is not the one that
was read, because it was rotated, truncated or written anew, is noticed, and the rest of the old one is
read where it lies beside the new one under a name that begins as its own does.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator
from typing import IO

from tltf.errors import FlagError

GUARDED_BYTES = 1024
"""Bytes before a place, at most, whose digest tells whether a log is still the one that was read."""
MOST_RECORD_BYTES = 64 * 2**20
"""Bytes of the longest row; a longer one has a quote that is not closed."""
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


@dataclasses.dataclass(frozen=True)
class Position:
    """A place in a log.

    Args:
        offset: bytes before it.
        guard: a digest of the last of these bytes; empty at the beginning.
    """

    offset: int = 0
    guard: str = ""


BEGINNING = Position()


@dataclasses.dataclass(frozen=True)
class Record:
    """A row of a log.

    Args:
        content: its bytes, with the end of the line.
        path: the file that it is in.
        end: the offset behind it.
        header: the first line of that file; empty for logs without one.
    """

    content: bytes
    path: pathlib.Path
    end: int
    header: bytes = b""


@dataclasses.dataclass(frozen=True)
class Unread:
    """What of a log was not read before.

    Args:
        parts: `(file, offset)` from which to read, in their order.
        note: what happened to the log; empty where it only grew.
    """

    parts: tuple[tuple[pathlib.Path, int], ...]
    note: str = ""


def find_unread(path: pathlib.Path, position: Position) -> Unread:
    """The files and offsets from which a log goes on.

    Args:
        path: the log.
        position: up to which it was read.

    Raises:
        FlagError: the log cannot be read.
    """
    if not position.offset or is_at(path, position):
        return Unread(((path, position.offset),))
    old = next((other for other in _rotated(path) if is_at(other, position)), None)
    if old is not None:
        return Unread(((old, position.offset), (path, 0)), f"It was rotated to {old.name}.")
    note = (
        "It was truncated, replaced or rotated to a file that is not there, so rows at its old end may "
        "have been missed; it is read from its beginning."
    )
    return Unread(((path, 0),), note)


def _rotated(path: pathlib.Path) -> list[pathlib.Path]:
    """Files beside a log whose names begin with its stem, the newest first."""
    found = [
        other
        for other in path.parent.iterdir()
        if other != path
        and other.name.startswith(path.stem)
        and other.suffix not in COMPRESSED
        and other.is_file()
    ]
    return sorted(found, key=lambda other: other.stat().st_mtime_ns, reverse=True)


def is_at(path: pathlib.Path, position: Position) -> bool:
    """Whether the bytes before a position are in a file."""
    return _guard(path, position.offset) == position.guard


def position_at(path: pathlib.Path, offset: int) -> Position:
    """The Position of an offset in a file."""
    return Position(offset, _guard(path, offset) if offset else "")


def _guard(path: pathlib.Path, offset: int) -> str:
    """The digest of the bytes before an offset; empty where the file is shorter."""
    with _open(path) as file:
        start = max(0, offset - GUARDED_BYTES)
        file.seek(start)
        content = file.read(offset - start)
    if len(content) < offset - start:
        return ""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _open(path: pathlib.Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise FlagError(what, flag="input", place=path) from error


def read_records(
    path: pathlib.Path,
    offset: int,
    *,
    quote: bytes = b"",
    has_header: bool = False,
    takes_last: bool = False,
) -> Iterator[Record]:
    """Yields the whole rows of a file from an offset on; a row that is still being written is left.

    Args:
        path: the file.
        offset: where a row begins; 0 for the beginning.
        quote: the character between two of which a line break is part of a row; empty for none.
        has_header: whether the first line names columns. It is no row.
        takes_last: whether a last row without an end of its line is a row all the same.

    Raises:
        FlagError: the file cannot be read, or a row has no end.
    """
    with _open(path) as file:
        header = _read_record(file, quote, path, takes_last) if has_header else b""
        if offset or not has_header:
            file.seek(offset)
        while content := _read_record(file, quote, path, takes_last):
            if content.strip():
                yield Record(content, path, file.tell(), header)


def _read_record(
    file: IO[bytes], quote: bytes, path: pathlib.Path, takes_last: bool = False
) -> bytes:
    """The bytes of the next row; b"" where it is not whole yet, see `read_records`."""
    content = b""
    while line := file.readline(MOST_RECORD_BYTES):
        content += line
        if len(content) >= MOST_RECORD_BYTES:
            what = (
                f"a row is longer than {MOST_RECORD_BYTES >> 20} MiB: a quote in it is not closed"
            )
            raise FlagError(
                what, flag="input", place=path, fix="--quote=none where quotes are text"
            )
        if line.endswith(b"\n") and (not quote or content.count(quote) % 2 == 0):
            return content
    return content if takes_last else b""
