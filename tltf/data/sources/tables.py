"""CSV and JSON lines: texts, or paths of image files, with their labels."""

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
from tltf.data.sources.label_cells import Labelling
from tltf.data.sources.table_files import Dialect, columns_of, csv_records, field, jsonl_records
from tltf.errors import DataError, FlagError

LABEL_TYPES = ("auto", "text")
MAX_FIELD_BYTES = 1 << 20
TAKEN = ("id", "label", "predicted", "error")
"""Columns of the tables of predictions, which stand beside those of the texts."""


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
        train: one file per split.
        validation: as `train`.
        test: as `train`.
        text: column of texts, or several that are one example, such as question|answer; or
        image: column of paths of image files, relative to the CSV file or to `root`.
        label: column of labels; empty for data without labels. Several labels per row stand in one
            column as `cat|dog` or as a list, or in columns of 0 and 1 of their own: label=cat|dog.
            Several numbers per row stand in columns of their own: label=height|width.
        delimiter: one character.
        encoding: of the files.
        quote: character around texts that hold delimiters; `none`: quotes are text like others.
        columns: names by place, for files without a header.
        label_separator: between several labels in one column, such as `,`; empty: `|`.
        label_type: `text` takes codes such as 0012 and 12, and numbers with fractions, for names of
            classes; `auto` refuses labels that are one number spelled in several ways.
        root: folder that image paths are relative to and lie in; empty: that of the file.
        suffix: of image files whose names the table gives without it, such as `.jpg`.

    Raises:
        FlagError: no such file or column, or arguments that do not fit together.
        DataError: files that cannot be read as CSV, or rows that cannot be used.
    """
    dialect = Dialect(delimiter, encoding, quote, tuple(map(str, columns)))
    dialect.check()
    fields = _fields("csv", text, image)
    wanted = _Wanted(
        fields, bool(image), label, label_separator, root, suffix, dialect, _are_names(label_type)
    )
    parts = [part.strip() for part in label.split(label_kinds.SEPARATOR)]
    asked = {*fields.values(), label, *parts} - {""}

    def read(file: pathlib.Path, scan: Scan) -> Any:
        return csv_records(file, dialect, scan, asked)

    return _table("csv", settings, _given(path, train, validation, test), wanted, read)


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
    """JSON lines, an object per line, in one file or in one per split; arguments as of `csv`.

    A field of an object in a field is named `outer.inner`.

    Raises:
        FlagError: no such file or field, or arguments that do not fit together.
        DataError: rows that cannot be used.
    """
    dialect = Dialect(encoding=encoding)

    def read(file: pathlib.Path, scan: Scan) -> Any:
        return jsonl_records(file, dialect, scan)

    wanted = _Wanted(
        _fields("jsonl", text, image),
        bool(image),
        label,
        label_separator,
        root,
        suffix,
        None,
        _are_names(label_type),
    )
    return _table("jsonl", settings, _given(path, train, validation, test), wanted, read)


def _are_names(label_type: str) -> bool:
    if label_type not in LABEL_TYPES:
        what = f"label_type is {' or '.join(LABEL_TYPES)} (received {label_type!r})"
        raise FlagError(what, flag="data", fix="label_type=text")
    return label_type == "text"


def _fields(name: str, text: str, image: str) -> dict[str, str]:
    """Field of an example -> its column. The fields of several texts have their columns' names.

    Raises:
        FlagError: both texts and images are asked for, or neither, or names that cannot be told apart.
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
class _Wanted:
    """What is asked of a table; see `csv`.

    Args:
        fields: field of an example -> its column.
        is_image: whether the columns hold paths of images.
        label: as `csv`, and so the next three.
        label_separator: between several labels.
        root: folder of the images.
        suffix: of their files.
        dialect: Dialect; None for JSON lines.
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


def _given(path: str, train: str, validation: str, test: str) -> Any:
    """role -> path as it was given; role None for the only file."""
    by_role = {TRAIN: train, VALIDATION: validation, TEST: test}
    given = {role: text for role, text in by_role.items() if text}
    if bool(path) == bool(given):
        raise FlagError(
            "give either path= or the files of the splits, train= and test=",
            flag="data",
            fix="path=all.csv or train=train.csv, test=test.csv",
        )
    if path:
        return {None: path}
    if not train:
        raise FlagError("train= is missing beside the other splits", flag="data", fix="train=FILE")
    return given


def _files(given: dict[str | None, str], scan: Scan) -> list[tuple[pathlib.Path, str | None]]:
    """Pairs of a Path and its role; files that are not there are faults."""
    files = []
    for role, text in given.items():
        with scan.collecting():
            files.append((row_scan.existing_path(text), role))
    if not files:
        scan.stop_if_failed()
    return files


def _table(
    name: str,
    settings: LoadSettings,
    given: dict[str | None, str],
    wanted: _Wanted,
    read: Callable[..., Any],
) -> Source:
    scan = row_scan.Scan(name)
    files = _files(given, scan)
    root = os.path.commonpath([os.path.abspath(file.parent) for file, _ in files])
    if wanted.root:
        root = os.path.abspath(row_scan.existing_path(wanted.root))
    fields = {name: Column("path" if wanted.is_image else "text", []) for name in wanted.fields}
    rows = Rows([], fields, [] if wanted.label else None, None if None in given else [])
    label = Labelling(wanted.label, settings.target, wanted.label_separator)
    reader = _Reader(wanted, label, root, scan, settings.scan.follow_links)
    with Progress("reading", None, "rows", after_s=SHOWN_AFTER_S) as progress:
        for file, role in files:
            with scan.collecting():
                _read_file(read(file, scan), reader, rows, file, role, progress)
    label.warn_of_other_separators(scan)
    if wanted.is_image:
        rows = check_files(scan, rows, root, follows_links=settings.scan.follow_links)
    return assemble(
        name, rows, scan, settings, label.class_names, kind=label.kind, are_names=wanted.are_names
    )


def _read_file(
    records: Iterator[Any],
    reader: "_Reader",
    rows: Rows,
    file: pathlib.Path,
    role: str | None,
    progress: Progress,
) -> None:
    """Adds the records of a file; without a column that is asked for, none of them.

    In JSON lines a field may be absent from some rows: what any row has, is there.
    """
    missing = None
    for number, (row_id, record) in enumerate(records):
        if number == 0 or missing:
            missing = reader.missing(record, file)
            if missing and reader.wanted.dialect:
                break
        if not missing:
            missing = []
        with reader.scan.collecting():
            reader.add(rows, record, row_id, file, role)
        progress.add(1)
    for error in missing or ():
        reader.scan.add(error)


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Takes from records what is asked for.

    Args:
        wanted: _Wanted.
        label: Labelling.
        root: folder that the images are in.
        scan: Scan.
        leaves_root: whether images may lie outside of it.
    """

    wanted: _Wanted
    label: Labelling
    root: str
    scan: row_scan.Scan
    leaves_root: bool

    def missing(self, record: dict[str, Any], file: pathlib.Path) -> list[FlagError]:
        """The errors for columns that a record does not have."""
        errors = []
        argument = "image" if self.wanted.is_image else "text"
        for name in self.wanted.fields.values():
            errors += self._absent(name, record, argument, file)
        for name in self.label.columns_in(record):
            errors += self._absent(name, record, "label", file)
        return errors

    def _absent(
        self, name: str, record: dict[str, Any], argument: str, file: pathlib.Path
    ) -> list[FlagError]:
        try:
            row_scan.check_column(name, columns_of(record, name), argument, file)
        except FlagError as error:
            if self.wanted.dialect and not self.wanted.dialect.columns:
                what, fix = table_hints.no_column(name, list(record), argument, error)
                return [FlagError(what, flag="data", place=file, fix=fix)]
            return [error]
        return []

    def add(self, rows: Any, record: Any, row_id: Any, file: Any, role: Any) -> None:
        """Adds the record to the Rows unless it is bad."""
        values = {}
        for name, column in self.wanted.fields.items():
            values[name], reason = self._value(record, column, file, row_id)
            if reason:
                label = self.label.named(record) if self.label.is_asked_for else ""
                self.scan.skip(row_id, f"{column} {reason}", label)
                return
        spelled = self.label(record, row_id, self.scan) if self.label.is_asked_for else None
        if self.label.is_asked_for and spelled is None:
            return
        for name, value in values.items():
            rows.fields[name].values.append(value)
        rows.ids.append(row_id)
        if self.label.is_asked_for:
            rows.labels.append(spelled)
        if role:
            rows.roles.append(role)

    def _value(
        self, record: dict[str, Any], column: str, file: pathlib.Path, row_id: str
    ) -> tuple[str, str]:
        """`(text or path, "")` of a column, or what it holds and why that cannot be used."""
        value = field(record, column)
        reason = _fault(value)
        if reason or not self.wanted.is_image:
            return value, reason
        base = self.root if self.wanted.root else file.parent
        return self._image_path(base, value, row_id)

    def _image_path(self, folder: pathlib.Path | str, value: Any, row_id: str) -> tuple[str, str]:
        """`(path, "")` of an image file, or `("", why it is missing)`; DataError outside of the root."""
        value = value.strip()
        if self.wanted.suffix and not value.endswith(self.wanted.suffix):
            value += self.wanted.suffix
        path = os.path.abspath(os.path.join(folder, value))
        is_outside = os.path.commonpath([path, self.root]) != self.root
        if "://" in value or (is_outside and not self.leaves_root):
            raise DataError(
                "the image is not under the folder of the table",
                flag="data",
                place=row_id,
                fix=f"root=FOLDER that the images are in, or paths relative to the table, not {value}",
            )
        return path, _why_missing(folder, value, path)


def _fault(value: int | str | None) -> str:
    """Why the text or path of a record cannot be used; empty if it can."""
    if not isinstance(value, str):
        return f"is {type(value).__name__}, not a text"
    if is_blank(value):
        return "is blank" if not value.strip() else "has no character that is shown"
    if "\0" in value:
        return "has a NUL"
    return f"is longer than {MAX_FIELD_BYTES} bytes" if _is_long(value) else ""


def _is_long(value: str) -> bool:
    """Whether UTF-8 of it, of 1 to 4 bytes a character, is longer than MAX_FIELD_BYTES."""
    if len(value) * 4 <= MAX_FIELD_BYTES:
        return False
    return len(value.encode("utf-8", "surrogatepass")) > MAX_FIELD_BYTES


def _why_missing(folder: pathlib.Path | str, value: str, path: str) -> str:
    """Why a path that is written in another way leads nowhere; empty if it may lead to a file."""
    is_stem = not os.path.splitext(value)[1]
    if not (is_stem or "\\" in value) or os.path.exists(path):
        return ""
    turned = value.replace("\\", "/")
    if turned != value and os.path.exists(os.path.join(folder, turned)):
        return f"is missing: {turned} is there, with / in place of \\"
    found = [end for end in sorted(files.EXTENSIONS) if os.path.exists(path + end)]
    return f"is missing: {value}{found[0]} is there, give suffix={found[0]}" if found else ""
