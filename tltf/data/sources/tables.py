"""Tables in CSV and JSON lines: texts or paths of image files, with their labels."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from tltf.console.progress import SHOWN_AFTER_S, Progress
from tltf.data import label_kinds, row_scan
from tltf.data.assembly import Rows, assemble
from tltf.data.images import files
from tltf.data.row_scan import Scan
from tltf.data.source import TEST, TRAIN, VALIDATION, Column, LoadSettings, Source, is_blank
from tltf.data.sources import table_hints
from tltf.data.sources.image_folder import check_files
from tltf.data.sources.label_cells import LabelReader
from tltf.data.sources.table_files import Dialect, columns_of, csv_records, field, jsonl_records
from tltf.errors import DataError, FlagError

LABEL_TYPES = ("auto", "text")
Records = Iterator[tuple[str, dict[str, Any]]]
"""Pairs of `file:row` and the fields of a record by name."""
MAX_FIELD_BYTES = 1 << 20
TAKEN = ("id", "label", "predicted", "error", "true_label", "predicted_label")
"""Columns of the tables of predictions that stand beside those of the texts."""


def csv(
    settings: LoadSettings,
    path: str = "",
    train: str = "",
    validation: str = "",
    test: str = "",
    text: str = "",
    image: str = "",
    label: str = "label",
    delimiter: str = ",",
    encoding: str = "utf-8",
    quote: str = '"',
    columns: tuple[str, ...] = (),
    label_separator: str = "",
    label_type: str = "auto",
    root: str = "",
    suffix: str = "",
) -> Source:
    """A CSV file with a header, or one per split.

    Args:
        settings: LoadSettings.
        path: the only file; or
        train: the file of the training split, with a file for each other split.
        validation: as `train`.
        test: as `train`.
        text: name of the column of texts, or of several columns that are one example, such as
            question|answer; or
        image: name of the column of paths of image files, relative to the CSV file or to `root`.
        label: name of the column of labels; empty for data without labels. Several labels per row
            stand in one column as `cat|dog` or as a list, or in one column of 0 and 1 for each
            label: label=cat|dog.
            Several numbers per row stand in one column each: label=height|width.
        delimiter: one character.
        encoding: encoding of the files.
        quote: character around texts that hold delimiters; with `none` quotes are ordinary text.
        columns: names by place, for files without a header.
        label_separator: what stands between several labels in one column, such as `,`; empty for `|`.
        label_type: `text` takes codes such as 0012 and 12, and numbers with fractions, for names of
            classes; `auto` refuses labels that are one number spelled in several ways.
        root: folder that image paths are relative to and must lie in; empty for that of the file.
        suffix: ending of image files, such as `.jpg`, if the table gives their names without it.

    Raises:
        FlagError: there is no such file or column, or the arguments do not fit together.
        DataError: a file cannot be read as CSV, or rows cannot be used.
    """
    dialect = Dialect(delimiter, encoding, quote, tuple(map(str, columns)))
    dialect.check()
    fields = fields_of_columns("csv", text, image)
    request = _Request(
        fields, bool(image), label, label_separator, root, suffix, dialect, _are_names(label_type)
    )
    parts = [part.strip() for part in label.split(label_kinds.SEPARATOR)]
    needed = {*fields.values(), label, *parts} - {""}

    def read(file: pathlib.Path, scan: Scan) -> Records:
        return csv_records(file, dialect, scan, needed)

    return _table("csv", settings, _paths_by_role(path, train, validation, test), request, read)


def jsonl(
    settings: LoadSettings,
    path: str = "",
    train: str = "",
    validation: str = "",
    test: str = "",
    text: str = "",
    image: str = "",
    label: str = "label",
    encoding: str = "utf-8",
    label_separator: str = "",
    label_type: str = "auto",
    root: str = "",
    suffix: str = "",
) -> Source:
    """JSON lines, with an object per line, in one file or one per split; see `csv` for the arguments.

    The field of an object in a field is named `outer.inner`.

    Raises:
        FlagError: there is no such file or field, or the arguments do not fit together.
        DataError: rows cannot be used.
    """
    dialect = Dialect(encoding=encoding)

    def read(file: pathlib.Path, scan: Scan) -> Records:
        return jsonl_records(file, dialect, scan)

    request = _Request(
        fields_of_columns("jsonl", text, image),
        bool(image),
        label,
        label_separator,
        root,
        suffix,
        None,
        _are_names(label_type),
    )
    return _table("jsonl", settings, _paths_by_role(path, train, validation, test), request, read)


def _are_names(label_type: str) -> bool:
    if label_type not in LABEL_TYPES:
        what = f"label_type is {' or '.join(LABEL_TYPES)} (received {label_type!r})"
        raise FlagError(what, flag="data", fix="label_type=text")
    return label_type == "text"


def fields_of_columns(name: str, text: str, image: str) -> dict[str, str]:
    """Field of an example -> its column; the fields of several texts have the names of their columns.

    Raises:
        FlagError: texts and images are asked for, or neither, or a name cannot be used.
    """
    if bool(text) == bool(image):
        raise FlagError(
            f"{name} takes either text=COLUMN or image=COLUMN", flag="data", fix="text=COLUMN"
        )
    if image:
        return {"image": image}
    columns = [part.strip() for part in text.split(label_kinds.SEPARATOR)]
    if len(columns) == 1:
        return {"text": text}
    odd = [name for name in columns if not name or columns.count(name) > 1 or name in TAKEN]
    if odd:
        what = f"text={text}: {odd[0]!r} cannot be the name of one of several texts"
        raise FlagError(what, flag="data", fix="text=question|answer, each another column")
    return dict(zip(columns, columns, strict=True))


@dataclasses.dataclass(frozen=True)
class _Request:
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


def _paths_by_role(path: str, train: str, validation: str, test: str) -> dict[str | None, str]:
    """Role -> path as the user wrote it; the role is None for the only file."""
    by_role = {TRAIN: train, VALIDATION: validation, TEST: test}
    paths: dict[str | None, str] = {role: text for role, text in by_role.items() if text}
    if bool(path) == bool(paths):
        raise FlagError(
            "give either path= or the files of the splits, train= and test=",
            flag="data",
            fix="path=all.csv or train=train.csv, test=test.csv",
        )
    if path:
        return {None: path}
    if not train:
        raise FlagError("the other splits are given without train=", flag="data", fix="train=FILE")
    return paths


def _files(paths: dict[str | None, str], scan: Scan) -> list[tuple[pathlib.Path, str | None]]:
    """Pairs of the path and the role of a file; files that are not there are faults."""
    files = []
    for role, text in paths.items():
        with scan.collect_errors():
            files.append((row_scan.existing_path(text), role))
    if not files:
        scan.stop_if_failed()
    return files


def _table(
    name: str,
    settings: LoadSettings,
    paths: dict[str | None, str],
    request: _Request,
    read: Callable[[pathlib.Path, Scan], Records],
) -> Source:
    """The Source of the files of a table, of which `read` gives the records."""
    scan = row_scan.Scan(name)
    files = _files(paths, scan)
    root = os.path.commonpath([os.path.abspath(file.parent) for file, _ in files])
    if request.root:
        root = os.path.abspath(row_scan.existing_path(request.root))
    fields = {name: Column("path" if request.is_image else "text", []) for name in request.fields}
    rows = Rows([], fields, [] if request.label else None, None if None in paths else [])
    label = LabelReader(request.label, settings.target, request.label_separator)
    reader = _Reader(request, label, root, scan, settings.scan.follow_links)
    with Progress("reading", None, "rows", after_s=SHOWN_AFTER_S) as progress:
        for file, role in files:
            with scan.collect_errors():
                _read_file(read(file, scan), reader, rows, file, role, progress)
    label.warn_of_other_separators(scan)
    if request.is_image:
        rows = check_files(scan, rows, root, follows_links=settings.scan.follow_links)
    return assemble(
        name, rows, scan, settings, label.class_names, kind=label.kind, are_names=request.are_names
    )


def _read_file(
    records: Records,
    reader: "_Reader",
    rows: Rows,
    file: pathlib.Path,
    role: str | None,
    progress: Progress,
) -> None:
    """Adds the records of a file to `rows`, or none of them where a column is missing.

    In JSON lines a field may be absent from some rows; it is missing where no row has it.
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


@dataclasses.dataclass(frozen=True)
class _Reader:
    """A reader of the records of a table.

    Args:
        request: what is to be read.
        label: the reader of labels.
        root: folder that the images are in.
        scan: the scan of the source.
        leaves_root: whether images may lie outside of the folder.
    """

    request: _Request
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
        self, rows: Rows, record: dict[str, Any], row_id: str, file: pathlib.Path, role: str | None
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
    suffixes = [end for end in sorted(files.EXTENSIONS) if os.path.exists(path + end)]
    if not suffixes:
        return ""
    return f"is missing: {value}{suffixes[0]} is there, give suffix={suffixes[0]}"
