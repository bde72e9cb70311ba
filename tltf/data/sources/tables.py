"""Tables in CSV and JSON lines: texts or paths of image files, with their labels."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import cast

from tltf.console.progress import SHOWN_AFTER_S, Progress
from tltf.data import label_kinds, row_scan
from tltf.data.assembly import Rows, assemble
from tltf.data.packed_rows import PackedRows
from tltf.data.row_scan import Scan
from tltf.data.source import TEST, TRAIN, VALIDATION, Column, LoadSettings, Source
from tltf.data.sources import block_reader, record_reader
from tltf.data.sources.label_cells import LabelReader
from tltf.data.sources.record_reader import RecordReader, TableRequest
from tltf.data.sources.table_files import Dialect, csv_records, jsonl_records, read_text
from tltf.errors import FlagError

LABEL_TYPES = ("auto", "text")
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
    request = TableRequest(
        fields, bool(image), label, label_separator, root, suffix, dialect, _are_names(label_type)
    )
    parts = [part.strip() for part in label.split(label_kinds.SEPARATOR)]
    needed = {*fields.values(), label, *parts} - {""}

    def read(table: _OpenTable) -> None:
        file, text = table.file, read_text(table.file, dialect)
        contents = block_reader.csv_contents(text, dialect) if table.is_packed else None
        del text
        if contents is not None:
            columns = [*fields.values(), *([label] if label else [])]
            if block_reader.read_csv(contents, dialect, columns, table.block_reader):
                return
        table.read_records(csv_records(file, dialect, table.reader.scan, needed))

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
    fields = fields_of_columns("jsonl", text, image)
    request = TableRequest(
        fields, bool(image), label, label_separator, root, suffix, None, _are_names(label_type)
    )

    def read(table: _OpenTable) -> None:
        file, text = table.file, read_text(table.file, dialect)
        is_flat = table.is_packed and not any("." in name for name in (*fields.values(), label))
        contents = block_reader.jsonl_contents(text) if is_flat else None
        del text
        if contents is None:
            table.read_records(jsonl_records(file, dialect, table.reader.scan))
            return
        block_reader.read_jsonl(contents, list(fields.values()), label, table.block_reader)

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


@dataclasses.dataclass(frozen=True)
class _OpenTable:
    """A file of a table that is being read.

    Args:
        file: path of the file.
        role: of its rows; None where the data gives no splits.
        reader: reads its records.
        rows: to which its rows are added.
        progress: which counts them.
    """

    file: pathlib.Path
    role: str | None
    reader: RecordReader
    rows: Rows | PackedRows
    progress: Progress

    @property
    def is_packed(self) -> bool:
        """Whether rows can be added in blocks, with a label in one column at most."""
        has_parts = label_kinds.SEPARATOR in self.reader.request.label
        return isinstance(self.rows, PackedRows) and not has_parts

    def block_reader(self, parse: block_reader.Parse) -> block_reader.BlockReader:
        """The reader of blocks of the file, whose single records are parsed by `parse`."""
        rows = cast(PackedRows, self.rows)
        return block_reader.BlockReader(
            self.reader, rows, self.file, self.role, self.progress, parse
        )

    def read_records(self, records: record_reader.Records) -> None:
        """Adds the rows one by one."""
        record_reader.read_records(
            records, self.reader, self.rows, self.file, self.role, self.progress
        )


def _table(
    name: str,
    settings: LoadSettings,
    paths: dict[str | None, str],
    request: TableRequest,
    read: Callable[[_OpenTable], None],
) -> Source:
    """The Source of the files of a table, of which `read` reads each."""
    scan = row_scan.Scan(name)
    files = _files(paths, scan)
    root = os.path.commonpath([os.path.abspath(file.parent) for file, _ in files])
    if request.root:
        root = os.path.abspath(row_scan.existing_path(request.root))
    label = LabelReader(
        request.label,
        settings.target,
        request.label_separator,
        leaves_out_empty=settings.leaves_out_unlabelled,
    )
    reader = RecordReader(request, label, root, scan, settings.scan.follow_links)
    rows = _new_rows(request, has_roles=None not in paths)
    with Progress("reading", None, "rows", after_s=SHOWN_AFTER_S) as progress:
        for file, role in files:
            with scan.collect_errors():
                read(_OpenTable(file, role, reader, rows, progress))
    label.warn_of_other_separators(scan)
    if isinstance(rows, PackedRows):
        rows = rows.rows()
    else:
        from tltf.data.sources.image_folder import check_files  # with TensorFlow

        rows = check_files(scan, rows, root, follows_links=settings.scan.follow_links)
    return assemble(
        name, rows, scan, settings, label.class_names, kind=label.kind, are_names=request.are_names
    )


def _new_rows(request: TableRequest, has_roles: bool) -> Rows | PackedRows:
    """What takes the rows of a table: texts are packed, as they may be many."""
    if not request.is_image:
        return PackedRows(list(request.fields), bool(request.label), has_roles)
    fields = {name: Column("path", []) for name in request.fields}
    return Rows([], fields, [] if request.label else None, [] if has_roles else None)
