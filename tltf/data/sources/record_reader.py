"""The reader of the records of tables, one by one or in blocks."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from tltf.console.progress import Progress
from tltf.data import row_scan
from tltf.data.assembly import Rows
from tltf.data.packed_rows import PackedRows
from tltf.data.row_scan import Scan
from tltf.data.source import is_blank
from tltf.data.sources import table_hints
from tltf.data.sources.label_cells import LabelReader
from tltf.data.sources.table_files import Dialect, columns_of, field
from tltf.errors import DataError, FlagError

Records = Iterator[tuple[str, dict[str, Any]]]
"""Pairs of `file:row` and the fields of a record by name."""
MAX_FIELD_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class TableRequest:
    """What is to be read from a table; see `csv`.

    Args:
        fields: field of an example -> its column.
        is_image: whether the columns hold paths of images.
        label: see `csv`, as for the next three.
        label_separator: what stands between several labels.
        root: folder of the images.
        suffix: ending of their files.
        dialect: how the table is written; None for JSON lines.
        are_names: whether labels that look like numbers are names.
    """

    fields: dict[str, str]
    is_image: bool
    label: str
    label_separator: str
    root: str
    suffix: str
    dialect: Dialect | None
    are_names: bool = False


@dataclasses.dataclass(frozen=True)
class RecordReader:
    """A reader of the records of a table.

    Args:
        request: what is to be read.
        label: the reader of labels.
        root: folder that the images are in.
        scan: the scan of the source.
        leaves_root: whether images may lie outside of the folder.
    """

    request: TableRequest
    label: LabelReader
    root: str
    scan: Scan
    leaves_root: bool

    def find_missing(self, record: dict[str, Any], file: pathlib.Path) -> list[FlagError]:
        """The errors for the columns that a record does not have."""
        errors = []
        argument = "image" if self.request.is_image else "text"
        for name in self.request.fields.values():
            errors += self._find_absent(name, record, argument, file)
        for name in self.label.find_columns(record):
            errors += self._find_absent(name, record, "label", file)
        return errors

    def _find_absent(
        self, name: str, record: dict[str, Any], argument: str, file: pathlib.Path
    ) -> list[FlagError]:
        try:
            row_scan.check_column(name, columns_of(record, name), argument, file)
        except FlagError as error:
            if self.request.dialect and not self.request.dialect.columns:
                what, fix = table_hints.explain_missing_column(name, list(record), argument, error)
                return [FlagError(what, flag="data", place=file, fix=fix)]
            return [error]
        return []

    def add(
        self,
        rows: Rows | PackedRows,
        record: dict[str, Any],
        row_id: str,
        file: pathlib.Path,
        role: str | None,
    ) -> None:
        """Adds a record to the rows unless it is bad."""
        values = {}
        for name, column in self.request.fields.items():
            values[name], reason = self._value(record, column, file, row_id)
            if reason:
                label = self.label.try_label(record) if self.label.has_labels else ""
                self.scan.skip(row_id, f"{column} {reason}", label)
                return
        label_text = self.label(record, row_id, self.scan) if self.label.has_labels else None
        if self.label.has_labels and label_text is None:
            return
        rows.append(row_id, values, label_text, role)

    def _value(
        self, record: dict[str, Any], column: str, file: pathlib.Path, row_id: str
    ) -> tuple[str, str]:
        """`(text or path, "")` for a column, or its value and why that cannot be used."""
        value = field(record, column)
        reason = find_text_fault(value)
        if reason or not self.request.is_image:
            return value, reason
        base = self.root if self.request.root else file.parent
        return self._image_path(base, value, row_id)

    def _image_path(self, folder: pathlib.Path | str, value: str, row_id: str) -> tuple[str, str]:
        """`(path, "")` for an image file, or `(path, why it is missing)`.

        Raises:
            DataError: the path is outside of the root.
        """
        value = value.strip()
        if self.request.suffix and not value.endswith(self.request.suffix):
            value += self.request.suffix
        path = os.path.abspath(os.path.join(folder, value))
        is_outside = os.path.commonpath([path, self.root]) != self.root
        if "://" in value or (is_outside and not self.leaves_root):
            raise DataError(
                "the image is not under the folder of the table",
                flag="data",
                place=row_id,
                fix=f"give root=FOLDER that the images are in, or paths relative to the table, not {value}",
            )
        return path, _reason_missing(folder, value, path)


def find_text_fault(value: int | str | None) -> str:
    """The reason why the text or path of a record cannot be used; empty if it can."""
    if not isinstance(value, str):
        return f"is {type(value).__name__}, not a text"
    if is_blank(value):
        return "is blank" if not value.strip() else "has no character that is shown"
    if "\0" in value:
        return "has a NUL"
    return f"is longer than {MAX_FIELD_BYTES} bytes" if _is_long(value) else ""


def _is_long(value: str) -> bool:
    """Whether a text in UTF-8, with 1 to 4 bytes per character, is longer than MAX_FIELD_BYTES."""
    if len(value) * 4 <= MAX_FIELD_BYTES:
        return False
    return len(value.encode("utf-8", "surrogatepass")) > MAX_FIELD_BYTES


def _reason_missing(folder: pathlib.Path | str, value: str, path: str) -> str:
    """The reason why a path leads nowhere while another spelling leads to a file; otherwise empty."""
    is_stem = not os.path.splitext(value)[1]
    if not (is_stem or "\\" in value) or os.path.exists(path):
        return ""
    with_slashes = value.replace("\\", "/")
    if with_slashes != value and os.path.exists(os.path.join(folder, with_slashes)):
        return f"is missing: {with_slashes} is there, with / in place of \\"
    from tltf.data.images import files  # with TensorFlow, which a table of texts does not need

    suffixes = [end for end in sorted(files.EXTENSIONS) if os.path.exists(path + end)]
    if not suffixes:
        return ""
    return f"is missing: {value}{suffixes[0]} is there, give suffix={suffixes[0]}"


def read_records(
    records: Records,
    reader: RecordReader,
    rows: Rows | PackedRows,
    file: pathlib.Path,
    role: str | None,
    progress: Progress,
) -> None:
    """Adds the records of a file to `rows`, or none of them where a column is missing.

    In JSON lines a field may be absent from some rows; it is missing where no row has it.

    Args:
        records: of the file.
        reader: reads them.
        rows: to which they are added.
        file: path of the file.
        role: of its rows; None where the data gives no splits.
        progress: which counts the records.
    """
    missing = None
    for number, (row_id, record) in enumerate(records):
        if number == 0 or missing:
            missing = reader.find_missing(record, file)
            if missing and reader.request.dialect:
                break
        if not missing:
            missing = []
        with reader.scan.collect_errors():
            reader.add(rows, record, row_id, file, role)
        progress.add(1)
    for error in missing or ():
        reader.scan.add(error)
