"""What `--input` of tltf.predict names: files, folders, tables, lists and standard input."""

import csv
import dataclasses
import json
import os
import sys
import warnings

from tltf import specs
from tltf.catalogs import SOURCES
from tltf.data import checks, image_folder
from tltf.errors import DataError, FlagError, choices_text, nearest

TABLE_SUFFIXES = {".csv": ",", ".tsv": "\t"}
LINES_SUFFIXES = (".jsonl", ".ndjson")
COLUMNS = {"text": ("text",), "image": ("path", "image")}
MAX_FIELD_BYTES = 10 * 2**20
STANDARD_INPUT = "-"


@dataclasses.dataclass(frozen=True)
class Item:
    """One input.

    Args:
        id: where it comes from: a path, or `file:row`.
        value: the text, or the path of the image; None where there is an error.
        error: why it cannot be used; empty otherwise.
    """

    id: str
    value: str | None
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which column of a table is read.

    Args:
        names: the first that a table has.
        is_asked_for: whether --column names it, so that no other column will do.
    """

    names: tuple
    is_asked_for: bool


def column_of(data, modality):
    """The column that a run's --data reads texts or images from; empty where it names none.

    Args:
        data: a call string of SOURCES.
        modality: `image` or `text`.
    """
    row = SOURCES.get(data.partition("(")[0].strip())
    if row is None or modality not in row.args:
        return ""
    return specs.pick(SOURCES, data, "data").kwargs[modality]


def read(text, modality, column="", usual=""):
    """Yields an Item for each input that `--input` names.

    Args:
        text: `-`, or paths joined with commas: image files, folders of images (searched at
            every depth, in sorted order), CSV, TSV or JSON lines tables, text files with a
            text or a path a line. Paths in a file are relative to that file's folder.
        modality: `image` or `text`.
        column: of tables; empty takes `usual`, else `text`, or `path` or `image`.
        usual: the column that is taken by default if a table has it.

    Raises:
        FlagError: a path, or a column of a CSV table, that is not there.
        DataError: a table that cannot be read.
    """
    names = (column,) if column else tuple(filter(None, (usual, *COLUMNS[modality])))
    wanted = Wanted(names, bool(column))
    for part in _parts(text):
        if part == STANDARD_INPUT:
            yield from _lines(_decoded(sys.stdin.buffer), STANDARD_INPUT, modality, "")
        else:
            yield from _of_path(checks.existing_path(part, "input"), modality, wanted)


def _parts(text):
    if not text.strip():
        raise FlagError("names nothing", flag="input", fix="--input=FILE, or - for standard input")
    return (
        [text]
        if os.path.exists(text)
        else [part.strip() for part in text.split(",") if part.strip()]
    )


def _of_path(path, modality, wanted):
    suffix = path.suffix.lower()
    if path.is_dir():
        yield from _folder(path, modality)
    elif suffix in TABLE_SUFFIXES:
        yield from _table(path, TABLE_SUFFIXES[suffix], modality, wanted)
    elif suffix in LINES_SUFFIXES:
        yield from _json_lines(path, modality, wanted)
    elif modality == "text" or suffix == ".txt":
        with open(path, "rb") as file:
            yield from _lines(_decoded(file), str(path), modality, path.parent)
    else:
        yield Item(str(path), str(path))


def _folder(folder, modality):
    if modality != "image":
        what = f"{folder} is a folder, and this model takes texts"
        raise FlagError(what, flag="input", fix="--input=FILE.csv, or a text file")
    scan, found = checks.Scan("input"), 0
    for path in image_folder.files_below(folder, folder, scan, follows_links=True):
        found += 1
        yield Item(path, path)
    for row in scan.skipped:
        yield Item(os.path.join(folder, row["id"]), None, row["reason"])
    if not found:
        raise DataError("holds no images", flag="input", place=folder)
    if scan.num_ignored:
        what = f"{scan.num_ignored} files or folders in {folder} are no images and are left out"
        warnings.warn(what, stacklevel=2)


def _decoded(file):
    """Lines of a binary file; bytes that are no UTF-8 are kept as paths may have them."""
    for number, line in enumerate(file):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        yield line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def _lines(lines, name, modality, base):
    for number, line in enumerate(lines, 1):
        place = f"{name}:{number}"
        if not line.strip():
            yield Item(place, None, "the line is empty")
        else:
            yield Item(place, _value(line, modality, base))


def _table(path, delimiter, modality, wanted):
    csv.field_size_limit(MAX_FIELD_BYTES)
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            name = _column(header, wanted, path)
            for row in reader:
                place = f"{path}:{reader.line_num}"
                if len(row) == len(header):
                    yield Item(place, _value(row[header.index(name)], modality, path.parent))
                elif row:
                    yield Item(place, None, f"{len(row)} fields under {len(header)} columns")
        except UnicodeDecodeError as error:
            raise DataError(f"is no UTF-8: {error.reason}", place=path) from error
        except csv.Error as error:
            raise DataError(f"is no CSV: {error}", place=f"{path}:{reader.line_num}") from error


def _json_lines(path, modality, wanted):
    """An Item a line; all rows are read from the field that the first row with one has."""
    field = None
    with open(path, "rb") as file:
        for number, line in enumerate(_decoded(file), 1):
            place = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                yield Item(place, None, "the line is no JSON")
                continue
            if not isinstance(row, dict):
                yield Item(place, None, "the line is no JSON object")
                continue
            field = field or next((name for name in wanted.names if name in row), None)
            value = row.get(field)
            if field not in row:
                yield Item(place, None, _without((field,) if field else wanted.names, "field", row))
            elif isinstance(value, str):
                yield Item(place, _value(value, modality, path.parent))
            else:
                yield Item(place, None, f"a {type(value).__name__} where a text is needed")


def _column(names, wanted, place):
    """The column to read; the only one where nothing else fits."""
    found = [name for name in wanted.names if name in names]
    if not found and not wanted.is_asked_for and len(names) == 1:
        found = names
    if not found:
        near = (nearest(wanted.names[0], names, limit=1) or [*names, "COLUMN"])[0]
        what = _without(wanted.names, "column", names)
        raise FlagError(what, flag="column", place=place, fix=f"--column={near}")
    return found[0]


def _without(asked, kind, names):
    choices = choices_text(asked[0], names) or "none"
    return f"no {kind} {' or '.join(asked)} ({kind}s: {choices})"


def _value(text, modality, base):
    return os.path.join(base, text.strip()) if modality == "image" else text
