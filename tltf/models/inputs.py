"""What `--input` of tltf.predict names: files, folders, tables, lists and standard input."""

import dataclasses
import glob
import itertools
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from tltf.config import call_strings
from tltf.config.catalogs import SOURCES
from tltf.config.command_options import PredictOptions
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
    read_text,
)
from tltf.errors import DataError, FlagError, choices_text, nearest

TAB_SUFFIX, CSV_SUFFIXES = ".tsv", (".csv", ".tsv")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
COLUMNS = {"text": ("text",), "image": ("path", "image")}
STANDARD_INPUT = "-"


@dataclasses.dataclass(frozen=True)
class Item:
    """One input.

    Args:
        id: where it comes from: a path, or `file:row`.
        value: the text, or the path of the image; the texts of an example of several fields, in
            their order; None where there is an error.
        error: why it cannot be used; empty otherwise.
    """

    id: str
    value: str | tuple[str, ...] | None
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """How inputs are read.

    Args:
        modality: `image` or `text`.
        columns: field of an example -> names of columns, of which the first that a table has is read.
        is_asked_for: whether --column names it, so that no other column will do.
        usual: the column that the run's own data had; empty where there was none.
        dialect: table_files.Dialect of tables.
        is_given: whether --delimiter gives the dialect's.
    """

    modality: str
    columns: dict[str, tuple[str, ...]]
    is_asked_for: bool = False
    usual: str = ""
    dialect: Dialect = dataclasses.field(default_factory=lambda: Dialect(flag="input"))
    is_given: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that will do."""
        return tuple(name for names in self.columns.values() for name in names)


def wanted_of(
    options: PredictOptions, modality: str, data: str, fields: tuple[str, ...] = ()
) -> Wanted:
    """The Wanted of PredictOptions for a run whose --data is a call string; its dialect is taken over.

    Args:
        options: PredictOptions.
        modality: `image` or `text`.
        data: the call string.
        fields: of the run's examples; the modality alone by default.

    Raises:
        FlagError: a delimiter that parts no columns, or too few or too many names in --column.
    """
    kwargs = _read_arguments(data, modality)
    usual = kwargs.get(modality, "")
    kwargs = kwargs if usual else {}
    given = Dialect(
        options.delimiter or kwargs.get("delimiter", ","),
        options.encoding or kwargs.get("encoding", "utf-8"),
        options.quote or kwargs.get("quote", '"'),
        flag="input",
    )
    given.check()
    columns = _columns_of(options.column, fields or (modality,), usual, modality)
    is_given = bool(options.delimiter)
    return Wanted(modality, columns, bool(options.column), usual, given, is_given)


def _columns_of(
    asked: str, fields: tuple[str, ...], usual: str, modality: str
) -> dict[str, tuple[str, ...]]:
    """`Wanted.columns`; those of several fields have the fields' names unless others are asked for."""
    if len(fields) == 1:
        names = (asked,) if asked else (usual, *COLUMNS[modality])
        return {fields[0]: tuple(filter(None, names))}
    given = [part.strip() for part in asked.split("|")] if asked else fields
    if len(given) != len(fields):
        what = f"the model takes {len(fields)} columns for each input: {', '.join(fields)}"
        raise FlagError(what, flag="column", fix=f"--column='{'|'.join(fields)}'")
    return {field: (name,) for field, name in zip(fields, given, strict=True)}


def column_of(data: str, modality: str) -> str:
    """The column that a run's --data reads texts or images from; empty where it names none.

    Args:
        data: a call string of SOURCES.
        modality: `image` or `text`.
    """
    return _read_arguments(data, modality).get(modality, "")


def _read_arguments(data: str, modality: str) -> dict[str, Any]:
    """The arguments of a run's --data; {} where its source has no columns of the modality."""
    row = SOURCES.get(call_strings.name_of(data))
    if row is None or modality not in row.args:
        return {}
    return call_strings.pick(SOURCES, data, "data").kwargs


def read(text: str, wanted: Wanted) -> Iterator[Any]:
    """Yields an Item for each input that `--input` names.

    A table is known by its content: JSON lines by their first line, CSV by its suffix or by a first
    line with the column of the run's own data. Its rows are read as training reads them.

    Args:
        text: `-`, or paths joined with commas, which may be patterns such as `photos/*.jpg`: image
            files, folders of images (searched at every depth, in sorted order), CSV, TSV or JSON
            lines tables, text files with a text or a path a line. Paths in a file are relative to
            that file's folder.
        wanted: Wanted.

    Raises:
        FlagError: a path, or a column of a CSV table, that is not there.
        DataError: a table that cannot be read, or a file that is not a text.
    """
    for part in _parts(text, wanted.modality):
        if part == STANDARD_INPUT:
            yield from _standard_input(wanted)
        else:
            yield from _of_path(row_scan.existing_path(part, "input"), wanted)


def _standard_input(wanted: Wanted) -> Iterator[Any]:
    """Lines as they come; a table, which its first line shows, is read whole."""
    first = sys.stdin.buffer.readline()
    table_hints.refuse_binary(first, STANDARD_INPUT, "input")
    text = first.decode(wanted.dialect.encoding, "replace").removeprefix("\ufeff")
    if _is_json(text) or _has_run_column(text, wanted):
        contents = first + sys.stdin.buffer.read()
        text = decode_table(contents, STANDARD_INPUT, wanted.dialect)
        yield from _table(STANDARD_INPUT, "", text, wanted, "")
    else:
        lines = itertools.chain([first] if first else [], sys.stdin.buffer)
        yield from _lines(lines, STANDARD_INPUT, wanted, "")


def _is_json(text: str) -> bool:
    """Whether a line is an object, or begins an array of them."""
    line = next((line.strip() for line in text.split("\n", 3) if line.strip()), "")
    return line in ("[", "{") or line.startswith("[{") or not parse_json_line(line)[1]


def _has_run_column(text: str, wanted: Wanted) -> bool:
    """Whether the first line is a header: it has the column of the run's data, or of --column."""
    is_known = wanted.is_asked_for or wanted.usual or len(wanted.columns) > 1
    columns = {names[0] for names in wanted.columns.values()} if is_known else set()
    header: list[str] = next(wanted.dialect.reader([text.split("\n", 1)[0]]), []) if columns else []
    return bool(columns) and columns <= {cell.strip() for cell in header}


def _parts(text: str, modality: str) -> list[str]:
    if not text.strip():
        raise FlagError("names nothing", flag="input", fix="--input=FILE, or - for standard input")
    if os.path.exists(text):
        return [text]
    parts = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        found = sorted(glob.glob(os.path.expanduser(part))) if glob.has_magic(part) else []
        parts += found or [part]
    absent = [part for part in parts if part != STANDARD_INPUT and not _exists(part)]
    if absent and modality == "text" and " " in text:
        raise FlagError(
            f"no file or folder {absent[0]}: a text is not a file name",
            flag="input",
            fix="--input=- reads texts from standard input, a line each",
        )
    if absent and len(parts) > 1:
        raise FlagError(
            f"no file or folder {absent[0]} (names are parted at commas)",
            flag="input",
            fix=f"--input={os.path.dirname(absent[0]) or '.'}/ takes a folder, whatever its names",
        )
    return parts


def _exists(path: str) -> bool:
    try:
        return os.path.exists(os.path.expanduser(path))
    except (OSError, ValueError):
        return False


def _of_path(path: pathlib.Path, wanted: Wanted) -> Iterator[Any]:
    suffix = path.suffix.lower()
    if path.is_dir():
        yield from _folder(path, wanted.modality)
        return
    is_listed = suffix in (*CSV_SUFFIXES, *JSON_SUFFIXES, ".txt")
    if wanted.modality == "image" and not is_listed:
        yield Item(str(path), str(path))
        return
    with open(path, "rb") as file:
        beginning = file.read(1 << 16)
    table_hints.refuse_binary(beginning, path, "input")
    text = beginning.decode(wanted.dialect.encoding, "replace").removeprefix("\ufeff")
    if suffix in (*CSV_SUFFIXES, *JSON_SUFFIXES) or _is_json(text) or _has_run_column(text, wanted):
        yield from _table(path, suffix, read_text(path, wanted.dialect), wanted, path.parent)
    else:
        with open(path, "rb") as file:
            yield from _lines(file, str(path), wanted, path.parent)


def _table(
    place: pathlib.Path | str, suffix: str, text: str, wanted: Wanted, base: pathlib.Path | str
) -> Iterator[Any]:
    """Items of a table, by the readers of training; what they skip is an Item with an error."""
    scan = row_scan.Scan("input")
    is_json = suffix in JSON_SUFFIXES or (suffix not in CSV_SUFFIXES and _is_json(text))
    if is_json:
        items = _json_items(jsonl_records(place, wanted.dialect, scan, text), wanted, base)
    else:
        dialect = _dialect_of(text, suffix, wanted)
        records = csv_records(place, dialect, scan, wanted.names, text)
        items = _csv_items(records, text, dialect, wanted, place, base)
    told = 0
    for item in items:
        yield from _skipped(scan, told)
        told = len(scan.skipped)
        yield item
    yield from _skipped(scan, told)


def _skipped(scan: Scan, start: int) -> Iterator[Any]:
    for row in scan.skipped[start:]:
        yield Item(row["id"], None, row["reason"])


def _dialect_of(text: str, suffix: str, wanted: Wanted) -> Dialect:
    """That of the run's data, or the suffix's own where only that finds the column."""
    usual = "\t" if suffix == TAB_SUFFIX else ","
    other = dataclasses.replace(wanted.dialect, delimiter=usual)
    if wanted.is_given or other == wanted.dialect:
        return wanted.dialect
    line = text.split("\n", 1)[0].strip()
    for dialect in (wanted.dialect, other):
        if set(wanted.names) & {cell.strip() for cell in next(dialect.reader([line]), [])}:
            return dialect
    return other


def _csv_items(
    records: Iterator[Any],
    text: str,
    dialect: Dialect,
    wanted: Wanted,
    place: pathlib.Path | str,
    base: pathlib.Path | str,
) -> Iterator[Any]:
    columns: list[str] = []
    for row_id, record in records:
        columns = columns or _columns(list(record), wanted, place)
        yield Item(row_id, _joined([_value(record[c], wanted.modality, base) for c in columns]))
    if not columns:
        header: list[str] = next(dialect.reader(first_lines(text, 1)), [])
        _columns([cell.strip() for cell in header if cell.strip()], wanted, place)


def _json_items(records: Iterator[Any], wanted: Wanted, base: pathlib.Path | str) -> Iterator[Any]:
    """All rows are read from the fields of JSON that the first row with them has."""
    chosen: dict[str, str] = {}
    for row_id, record in records:
        values, error = [], ""
        for wanted_field, names in wanted.columns.items():
            has = [column for column in names if column in columns_of(record, column)]
            name = chosen.get(wanted_field) or next(iter(has), None)
            value = field(record, name) if name else None
            if name is None or name not in columns_of(record, name):
                error = error or _without((name,) if name else names, "field", record)
            elif not isinstance(value, str):
                error = error or f"a {type(value).__name__} where a text is needed"
            else:
                values.append(_value(value, wanted.modality, base))
            if name:
                chosen[wanted_field] = name
        yield Item(row_id, None if error else _joined(values), error)


def _joined(values: list[str]) -> str | tuple[str, ...]:
    """The value of an Item: the only one, or all."""
    return values[0] if len(values) == 1 else tuple(values)


def _folder(folder: pathlib.Path, modality: str) -> Iterator[Any]:
    if modality != "image":
        what = f"{folder} is a folder, and this model takes texts"
        raise FlagError(what, flag="input", fix="--input=FILE.csv, or a text file")
    scan, found = row_scan.Scan("input"), 0
    for path in image_folder.walk_files(folder, folder, scan, follows_links=True):
        found += 1
        yield Item(path, path)
    for row in scan.skipped:
        yield Item(os.path.join(folder, row["id"]), None, row["reason"])
    if not found:
        raise DataError("holds no images", flag="input", place=folder)
    if scan.num_ignored:
        what = f"{scan.num_ignored} files or folders in {folder} are not images and are left out"
        warnings.warn(what, stacklevel=2)


def _lines(lines: Any, name: str, wanted: Wanted, base: pathlib.Path | str) -> Iterator[Any]:
    """An Item a line of bytes; those of paths may hold what is not a text, as names of files may."""
    is_text = wanted.modality == "text"
    if len(wanted.columns) > 1:
        fields = ", ".join(wanted.columns)
        what = f"{name} holds lines, and the model takes several texts for each input: {fields}"
        raise FlagError(what, flag="input", fix="--input=FILE.csv with these columns")
    for number, line in enumerate(lines, 1):
        place = f"{name}:{number}"
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        encoding = wanted.dialect.encoding if is_text else "utf-8"
        try:
            text = line.decode(encoding, "strict" if is_text else "surrogateescape")
        except UnicodeDecodeError:
            yield Item(place, None, f"the line is not {encoding}; --encoding says another")
            continue
        text = text.rstrip("\r\n")
        if not text.strip():
            yield Item(place, None, "the line is empty")
        else:
            yield Item(place, _value(text, wanted.modality, base))


def _columns(names: list[str], wanted: Wanted, place: pathlib.Path | str) -> list[str]:
    """The columns to read, one for each field; the only one where nothing else fits."""
    chosen = []
    for asked in wanted.columns.values():
        fitting = [name for name in asked if name in names]
        if not fitting and not wanted.is_asked_for and len(names) == len(wanted.columns) == 1:
            fitting = names
        if not fitting:
            near = (nearest(asked[0], names, limit=1) or [*names, "COLUMN"])[0]
            what = _without(asked, "column", names)
            raise FlagError(what, flag="column", place=place, fix=f"--column={near}")
        chosen.append(fitting[0])
    return chosen


def _without(asked: tuple[str, ...], kind: str, names: Sequence[str] | dict[str, Any]) -> str:
    choices = choices_text(asked[0], names) or "none"
    return f"no {kind} {' or '.join(asked)} ({kind}s: {choices})"


def _value(text: str, modality: str, base: pathlib.Path | str) -> str:
    return os.path.join(base, text.strip()) if modality == "image" else text
