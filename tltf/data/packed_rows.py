"""The rows of tables of texts, collected in few arrays."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tltf.data.assembly import Rows
from tltf.data.packed_texts import AT_ONCE, RowIds, TextPacker
from tltf.data.source import Column


class PackedRows:
    """Readable rows of files, in their order, as `Rows` without an object per row.

    Args:
        fields: names of the texts of an example.
        has_labels: whether the rows have labels.
        has_roles: whether the files are of splits.
    """

    def __init__(self, fields: Sequence[str], has_labels: bool, has_roles: bool) -> None:
        self._files = list[str]()
        self._numbers, self._lines = list[np.ndarray](), list[np.ndarray]()
        self._pending = list[int]()
        self._packers = {name: TextPacker() for name in fields}
        self._labels = list[str]() if has_labels else None
        self._roles = list[str]() if has_roles else None
        self._known: dict[str, str] = {}

    def append(
        self, row_id: str, values: Mapping[str, Any], label: str | None, role: str | None
    ) -> None:
        """Adds a row, see `Rows.append`; its id is `file:row`."""
        file, _, line = row_id.rpartition(":")
        self._open(file)
        self._pending.append(int(line))
        if len(self._pending) >= AT_ONCE:
            self._add_lines(np.zeros(0, np.int64))
        for name, value in values.items():
            self._packers[name].append(value)
        if self._labels is not None and label is not None:
            self._labels.append(self._known.setdefault(label, label))
        if self._roles is not None and role is not None:
            self._roles.append(role)

    def extend(
        self,
        file: pathlib.Path,
        lines: np.ndarray,
        texts: Mapping[str, tuple[Any, np.ndarray]],
        labels: Sequence[str],
        role: str | None,
    ) -> None:
        """Adds rows of a file.

        Args:
            file: path of the file.
            lines: int64[M], the line at which each row begins.
            texts: field -> (bytes of the texts in UTF-8, int64[M] their lengths).
            labels: M texts of labels, if the rows have labels.
            role: of the rows; None where the data gives no splits.
        """
        self._open(str(file))
        self._add_lines(lines)
        for name, (contents, lengths) in texts.items():
            self._packers[name].extend(contents, lengths)
        if self._labels is not None:
            self._labels += labels
        if self._roles is not None and role is not None:
            self._roles += [role] * len(lines)

    def rows(self) -> Rows:
        """The rows that were added; nothing is added any more."""
        self._add_lines(np.zeros(0, np.int64))
        empty = np.zeros(0, np.int64)
        numbers = np.concatenate([empty.astype(np.int32), *self._numbers])
        ids = RowIds(tuple(self._files), numbers, np.concatenate([empty, *self._lines]))
        fields = {name: Column("text", packer.texts()) for name, packer in self._packers.items()}
        return Rows(ids, fields, self._labels, self._roles)

    def _open(self, file: str) -> None:
        """Makes `file` the one that rows are added of."""
        if not self._files or self._files[-1] != file:
            self._add_lines(np.zeros(0, np.int64))
            self._files.append(file)

    def _add_lines(self, lines: np.ndarray) -> None:
        """Adds the lines of single rows that wait, and then others."""
        for part in (np.array(self._pending, np.int64), lines):
            if len(part):
                self._lines.append(part)
                self._numbers.append(np.full(len(part), len(self._files) - 1, np.int32))
        self._pending = []
