"""Texts and row ids of large tables, held in a few arrays in place of an object per row.

A million short texts take some 50 MB less of overhead per 64 bytes of text than a list of str, and
what is taken of them shares their bytes. Both classes are sequences of str.
"""

import collections.abc
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, overload

import numpy as np

AT_ONCE = 8192
"""The number of rows that are made at a time when all are gone through."""


class _Packed(collections.abc.Sequence[str]):
    """A sequence of str of which each is made when it is needed."""

    def _rows(self, rows: slice | Sequence[int] | np.ndarray) -> list[str]:
        """The texts of some rows."""
        raise NotImplementedError

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return self._rows(row)
        return self._rows([row])[0]

    def __iter__(self) -> Iterator[str]:
        starts = range(0, len(self), AT_ONCE)
        return itertools.chain.from_iterable(self._rows(slice(s, s + AT_ONCE)) for s in starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, collections.abc.Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class PackedTexts(_Packed):
    """Texts, whose bytes in UTF-8 stand in one buffer.

    Args:
        contents: the bytes; not to be changed any more.
        starts: int64[N], the place of the first byte of each text.
        ends: int64[N], the place behind its last byte.
    """

    def __init__(self, contents: bytes | bytearray, starts: np.ndarray, ends: np.ndarray) -> None:
        self._contents, self._starts, self._ends = contents, starts, ends

    def __len__(self) -> int:
        return len(self._starts)

    def take(self, rows: np.ndarray) -> Self:
        """The texts of rows int64[M], which share the bytes of these."""
        return type(self)(self._contents, self._starts[rows], self._ends[rows])

    def _rows(self, rows: slice | Sequence[int] | np.ndarray) -> list[str]:
        contents = self._contents
        spans = zip(self._starts[rows].tolist(), self._ends[rows].tolist(), strict=True)
        return [contents[start:end].decode("utf-8", "surrogatepass") for start, end in spans]


class RowIds(_Packed):
    """Ids such as `file:row`.

    Args:
        files: names of files.
        numbers: int32[N], the place in `files` of the file of each row.
        lines: int64[N], the number of the line at which each row begins.
    """

    def __init__(self, files: tuple[str, ...], numbers: np.ndarray, lines: np.ndarray) -> None:
        self._files, self._numbers, self._lines = files, numbers, lines

    def __len__(self) -> int:
        return len(self._lines)

    def take(self, rows: np.ndarray) -> Self:
        """The ids of rows int64[M]."""
        return type(self)(self._files, self._numbers[rows], self._lines[rows])

    def has_files_of(self, other: "RowIds") -> bool:
        """Whether both are of the same files, so that equal keys stand for equal ids."""
        return self._files == other._files

    def keys(self) -> np.ndarray:
        """int64[N], a number for each id."""
        return self._numbers.astype(np.int64) << 40 | self._lines

    def _rows(self, rows: slice | Sequence[int] | np.ndarray) -> list[str]:
        files = self._files
        places = zip(self._numbers[rows].tolist(), self._lines[rows].tolist(), strict=True)
        return [f"{files[number]}:{line}" for number, line in places]


class TextPacker:
    """What packs texts that come one by one, or many together.

    It takes little more memory than their bytes: the buffer grows in its place.
    """

    def __init__(self) -> None:
        self._contents = bytearray()
        self._lengths = list[np.ndarray]()
        self._pending = list[str]()

    def append(self, text: str) -> None:
        """Adds one text."""
        self._pending.append(text)
        if len(self._pending) >= AT_ONCE:
            self._pack()

    def extend(self, contents: Any, lengths: np.ndarray) -> None:
        """Adds texts whose bytes in UTF-8, of int64[M] lengths, stand one behind the other."""
        self._pack()
        self._contents += contents
        self._lengths.append(np.asarray(lengths, np.int64))

    def texts(self) -> PackedTexts:
        """The texts that were added; nothing is added any more."""
        self._pack()
        ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._lengths]))
        return PackedTexts(self._contents, ends[:-1], ends[1:])

    def _pack(self) -> None:
        if self._pending:
            encoded = [text.encode("utf-8", "surrogatepass") for text in self._pending]
            self._pending = []
            self._contents += b"".join(encoded)
            self._lengths.append(np.array(list(map(len, encoded)), np.int64))


def take(values: Sequence[Any] | np.ndarray, rows: Iterable[int] | np.ndarray) -> Sequence[Any]:
    """The values of some rows, packed where they were packed.

    Args:
        values: of all rows.
        rows: int64[M], or numbers.
    """
    if isinstance(values, (PackedTexts, RowIds)):
        return values.take(np.asarray(rows, np.int64))
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    return [values[row] for row in rows]


def find_places(ids: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """int64[M], the place in `ids` of each id that is wanted; -1 where it is not among them.

    Args:
        ids: N different ids.
        wanted: M ids, such as those of a split.
    """
    if isinstance(ids, RowIds) and isinstance(wanted, RowIds) and ids.has_files_of(wanted):
        keys, others = ids.keys(), wanted.keys()
        order = np.argsort(keys, kind="stable")
        places = order[np.minimum(np.searchsorted(keys[order], others), len(keys) - 1)]
        return np.where(keys[places] == others, places, -1)
    place_of = {row_id: place for place, row_id in enumerate(ids)}
    return np.array([place_of.get(row_id, -1) for row_id in wanted], np.int64)
