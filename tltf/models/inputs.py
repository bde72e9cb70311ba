"""The inputs that --input of tltf.predict names: files, folders, tables, lists and standard input."""

import dataclasses
import glob
import io
import itertools
import os
import pathlib
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from tltf.data import row_scan
from tltf.data.row_scan import Scan
from tltf.data.sources import image_folder, table_hints
from tltf.data.sources.table_files import (
    Dialect,
    columns_of,
    csv_records,
    decode_table,
    field,
    first_lines,
    jsonl_records,
    parse_json_line,
)
from tltf.errors import DataError, FlagError, choices_text, nearest
from tltf.models.input_format import InputFormat

TAB_SUFFIX, CSV_SUFFIXES = ".tsv", (".csv", ".tsv")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
STANDARD_INPUT = "-"
LINES, CSV, JSON = "lines", "csv", "json"
"""How the rows of a file are written."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One input.

    Args:
        id: its place: a path, or `file:row`.
        value: the text, or the path of the image; a tuple of texts for an example of several
            fields, in their order; None where there is an error.
        error: why it cannot be used; empty otherwise.
    """

    id: str
    value: str | tuple[str, ...] | None
    error: str = ""


def read(text: str, form: InputFormat) -> Iterator[Item]:
    """Yields an Item for each input that `--input` names.

    A table is recognised by its content: JSON lines by their first line, CSV by its suffix or by a
    first line with the column of the run's own data. Its rows are read as training reads them.

    Args:
        text: `-`, or paths joined with commas, which may be patterns such as `photos/*.jpg`: image
            files, folders of images (searched at every depth, in sorted order), CSV, TSV or JSON
            lines tables, text files with one text or path per line. Paths in a file are relative to
            that file's folder.
        form: the format of the inputs.

    Raises:
        FlagError: a path, or a column of a CSV table, does not exist.
        DataError: a table cannot be read, or a file is not a text.
    """
    for part in _parts(text, form.modality):
        if part == STANDARD_INPUT:
            yield from _standard_input(form)
        else:
            yield from _read_path(row_scan.existing_path(part, "input"), form)


def _standard_input(form: InputFormat) -> Iterator[Item]:
    """The lines as they come; a table, which its first line shows, is read whole."""
    first = sys.stdin.buffer.readline()
    table_hints.refuse_binary(first, STANDARD_INPUT, "input")
    text = first.decode(form.dialect.encoding, "replace").removeprefix("\ufeff")
    if _is_json(text) or _has_run_column(text, form):
        contents = first + sys.stdin.buffer.read()
        text = decode_table(contents, STANDARD_INPUT, form.dialect)
        yield from _table(STANDARD_INPUT, "", text, form, "", is_whole=True)
    else:
        lines = itertools.chain([first] if first else [], sys.stdin.buffer)
        yield from _lines(lines, STANDARD_INPUT, form, "")


def _is_json(text: str) -> bool:
    """Whether the first line is an object, or begins an array of objects."""
    line = next((line.strip() for line in text.split("\n", 3) if line.strip()), "")
    return line in ("[", "{") or line.startswith("[{") or not parse_json_line(line)[1]


def _has_run_column(text: str, form: InputFormat) -> bool:
    """Whether the first line is a header with the column of the run's data, or of --column."""
    is_known = form.has_column or form.run_column or len(form.columns) > 1
    columns = {names[0] for names in form.columns.values()} if is_known else set()
    header: list[str] = next(form.dialect.reader([text.split("\n", 1)[0]]), []) if columns else []
    return bool(columns) and columns <= {cell.strip() for cell in header}


def _parts(text: str, modality: str) -> list[str]:
    if not text.strip():
        raise FlagError("is empty", flag="input", fix="--input=FILE, or - for standard input")
    if os.path.exists(text):
        return [text]
    parts = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        found = sorted(glob.glob(os.path.expanduser(part))) if glob.has_magic(part) else []
        parts += found or [part]
    absent = [part for part in parts if part != STANDARD_INPUT and not _exists(part)]
    if absent and modality == "text" and " " in text:
        raise FlagError(
            f"there is no file or folder {absent[0]}: a text is not a file name",
            flag="input",
            fix="--input=- reads texts from standard input, one per line",
        )
    if absent and len(parts) > 1:
        raise FlagError(
            f"there is no file or folder {absent[0]} (names are separated at commas)",
            flag="input",
            fix=f"--input={os.path.dirname(absent[0]) or '.'}/ reads the whole folder",
        )
    return parts


def _exists(path: str) -> bool:
    try:
        return os.path.exists(os.path.expanduser(path))
    except (OSError, ValueError):
        return False


def _read_path(path: pathlib.Path, form: InputFormat) -> Iterator[Item]:
    suffix = path.suffix.lower()
    if path.is_dir():
        yield from _folder(path, form.modality)
        return
    is_listed = suffix in (*CSV_SUFFIXES, *JSON_SUFFIXES, ".txt")
    if form.modality == "image" and not is_listed:
        yield Item(str(path), str(path))
        return
    with open(path, "rb") as file:
        beginning = file.read(1 << 16)
    table_hints.refuse_binary(beginning, path, "input")
    text = beginning.decode(form.dialect.encoding, "replace").removeprefix("\ufeff")
    if kind_of(suffix, text, form) != LINES:
        yield from _table(path, suffix, text, form, path.parent)
    else:
        with open(path, "rb") as file:
            yield from _lines(file, str(path), form, path.parent)


def kind_of(suffix: str, text: str, form: InputFormat) -> str:
    """How a file is written, one of LINES, CSV and JSON.

    Args:
        suffix: the ending of its name, in lower case.
        text: its beginning.
        form: the format of the inputs.
    """
    if suffix in JSON_SUFFIXES or (suffix not in CSV_SUFFIXES and _is_json(text)):
        return JSON
    return CSV if suffix in CSV_SUFFIXES or _has_run_column(text, form) else LINES


def read_rows(contents: bytes, kind: str, path: pathlib.Path, form: InputFormat) -> list[Item]:
    """The Items of some rows of a file.

    Args:
        contents: the bytes of these rows; those of CSV rows begin with the first line of the file.
        kind: how the file is written, as `kind_of` says.
        path: the file, which relative paths are relative to.
        form: the format of the inputs.

    Raises:
        FlagError: the table has no such column.
        DataError: a row cannot be read.
    """
    if kind == LINES:
        return list(_lines(io.BytesIO(contents), str(path), form, path.parent))
    text = decode_table(contents, path, form.dialect)
    suffix = JSON_SUFFIXES[0] if kind == JSON else CSV_SUFFIXES[0]
    if kind == CSV and path.suffix.lower() == TAB_SUFFIX:
        suffix = TAB_SUFFIX
    return list(_table(path, suffix, text, form, path.parent, is_whole=True))


def _table(
    place: pathlib.Path | str,
    suffix: str,
    text: str,
    form: InputFormat,
    base: pathlib.Path | str,
    is_whole: bool = False,
) -> Iterator[Item]:
    """The Items of a table, read as training reads it; a row that is skipped is an Item with an error.

    Args:
        place: path of the file, or a name.
        suffix: the ending of its name.
        text: the beginning of the file, of which the rest is read row by row.
        form: the format of the inputs.
        base: the folder that paths are relative to.
        is_whole: whether `text` is all there is, and `place` is a name.
    """
    scan = row_scan.Scan("input")
    contents = text if is_whole else None
    if kind_of(suffix, text, form) == JSON:
        items = _json_items(jsonl_records(place, form.dialect, scan, contents), form, base)
    else:
        dialect = _dialect_of(text, suffix, form)
        records = csv_records(place, dialect, scan, form.names, contents)
        items = _csv_items(records, text, dialect, form, place, base)
    num_reported = 0
    for item in items:
        yield from _skipped(scan, num_reported)
        num_reported = len(scan.skipped)
        yield item
    yield from _skipped(scan, num_reported)


def _skipped(scan: Scan, start: int) -> Iterator[Item]:
    for row in scan.skipped[start:]:
        yield Item(row["id"], None, row["reason"])


def _dialect_of(text: str, suffix: str, form: InputFormat) -> Dialect:
    """The dialect of the run's data, or that of the suffix where only that one finds the column."""
    usual = "\t" if suffix == TAB_SUFFIX else ","
    other = dataclasses.replace(form.dialect, delimiter=usual)
    if form.has_delimiter or other == form.dialect:
        return form.dialect
    line = text.split("\n", 1)[0].strip()
    for dialect in (form.dialect, other):
        if set(form.names) & {cell.strip() for cell in next(dialect.reader([line]), [])}:
            return dialect
    return other


def _csv_items(
    records: Iterator[tuple[str, dict[str, str]]],
    text: str,
    dialect: Dialect,
    form: InputFormat,
    place: pathlib.Path | str,
    base: pathlib.Path | str,
) -> Iterator[Item]:
    columns: list[str] = []
    for row_id, record in records:
        columns = columns or _columns(list(record), form, place)
        yield Item(row_id, _joined([_value(record[c], form.modality, base) for c in columns]))
    if not columns:
        header: list[str] = next(dialect.reader(first_lines(text, 1)), [])
        _columns([cell.strip() for cell in header if cell.strip()], form, place)


def _json_items(
    records: Iterator[tuple[str, dict[str, Any]]], form: InputFormat, base: pathlib.Path | str
) -> Iterator[Item]:
    """The Items of JSON rows, all read from the fields that the first row with such fields has."""
    chosen: dict[str, str] = {}
    for row_id, record in records:
        values, error = [], ""
        for wanted_field, names in form.columns.items():
            has = [column for column in names if column in columns_of(record, column)]
            name = chosen.get(wanted_field) or next(iter(has), None)
            value = field(record, name) if name else None
            if name is None or name not in columns_of(record, name):
                error = error or _no_column_text((name,) if name else names, "field", record)
            elif not isinstance(value, str):
                error = error or f"{name} is of type {type(value).__name__}, not a text"
            else:
                values.append(_value(value, form.modality, base))
            if name:
                chosen[wanted_field] = name
        yield Item(row_id, None if error else _joined(values), error)


def _joined(values: list[str]) -> str | tuple[str, ...]:
    """The value of an Item: the only text, or a tuple of all."""
    return values[0] if len(values) == 1 else tuple(values)


def _folder(folder: pathlib.Path, modality: str) -> Iterator[Item]:
    if modality != "image":
        what = f"{folder} is a folder, and this model takes texts"
        raise FlagError(what, flag="input", fix="--input=FILE.csv, or a text file")
    scan, found = row_scan.Scan("input"), 0
    for path in image_folder.walk_files(folder, folder, scan, follows_links=True):
        found += 1
        yield Item(str(path), str(path))
    for row in scan.skipped:
        yield Item(os.path.join(folder, row["id"]), None, row["reason"])
    if not found:
        raise DataError("has no images", flag="input", place=folder)
    if scan.num_ignored:
        what = f"{scan.num_ignored} files or folders in {folder} are not images and are left out"
        warnings.warn(what, stacklevel=2)


def _lines(
    lines: Iterable[bytes], name: str, form: InputFormat, base: pathlib.Path | str
) -> Iterator[Item]:
    """One Item per line of bytes; a path may hold bytes that are not UTF-8, as names of files may."""
    is_text = form.modality == "text"
    if len(form.columns) > 1:
        fields = ", ".join(form.columns)
        what = f"{name} has lines, but the model takes several texts per input: {fields}"
        raise FlagError(what, flag="input", fix="--input=FILE.csv with these columns")
    for number, line in enumerate(lines, 1):
        place = f"{name}:{number}"
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        encoding = form.dialect.encoding if is_text else "utf-8"
        try:
            text = line.decode(encoding, "strict" if is_text else "surrogateescape")
        except UnicodeDecodeError:
            yield Item(
                place, None, f"the line is not {encoding} (--encoding sets another encoding)"
            )
            continue
        text = text.rstrip("\r\n")
        if not text.strip():
            yield Item(place, None, "the line is empty")
        else:
            yield Item(place, _value(text, form.modality, base))


def _columns(names: list[str], form: InputFormat, place: pathlib.Path | str) -> list[str]:
    """The columns to read, one for each field; the table's only column where no name fits."""
    chosen = []
    for asked in form.columns.values():
        fitting = [name for name in asked if name in names]
        if not fitting and not form.has_column and len(names) == len(form.columns) == 1:
            fitting = names
        if not fitting:
            near = (nearest(asked[0], names, limit=1) or [*names, "COLUMN"])[0]
            what = _no_column_text(asked, "column", names)
            raise FlagError(what, flag="column", place=place, fix=f"--column={near}")
        chosen.append(fitting[0])
    return chosen


def _no_column_text(asked: tuple[str, ...], kind: str, names: Collection[str]) -> str:
    choices = choices_text(asked[0], names) or "none"
    return f"there is no {kind} {' or '.join(asked)} ({kind}s: {choices})"


def _value(text: str, modality: str, base: pathlib.Path | str) -> str:
    return os.path.join(base, text.strip()) if modality == "image" else text
