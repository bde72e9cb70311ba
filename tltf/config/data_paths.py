"""A path as --data, the first thing that anybody types: which source reads it, and which columns."""

import csv
import json
import os

from tltf.config.call_strings import render
from tltf.config.catalogs import SOURCES
from tltf.errors import FlagError

TEXTS = ("text", "review", "sentence", "content", "message", "comment", "body", "tweet", "document")
IMAGES = ("image", "image_path", "path", "filename", "file", "filepath", "file_name", "img")
LABELS = ("label", "labels", "class", "category", "target", "sentiment", "stars", "rating")
"""Usual names of columns, in lower case."""
MOST_BYTES = 1 << 20
"""Of the first line of a table."""


def name_source(data: str) -> str:
    """The call string for a path that exists; names of the catalog and other texts as they are.

    A folder is read as one with a folder of pictures per class, and a table by the columns with usual
    names.

    Args:
        data: as --data has it.

    Raises:
        FlagError: a table whose columns cannot be told; the fix has them filled in.
    """
    path = os.path.expanduser(data.strip())
    if "(" in data or data.strip() in SOURCES or not os.path.exists(path):
        return data
    if os.path.isdir(path):
        return render("image_folder", {"path": path})
    kind = path.rpartition(".")[2].lower()
    if kind not in ("csv", "tsv", "jsonl", "ndjson"):
        return data
    name = "csv" if kind in ("csv", "tsv") else "jsonl"
    columns = _first_line(path, kind)
    dialect = {"delimiter": "\t"} if kind == "tsv" else {}
    return render(name, {"path": path, **_choose_columns(path, name, columns), **dialect})


def _first_line(path: str, kind: str) -> list[str]:
    """The names of the columns; [] where they cannot be read."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            line = file.readline(MOST_BYTES)
        if kind in ("csv", "tsv"):
            return next(csv.reader([line], delimiter="\t" if kind == "tsv" else ","), [])
        record = json.loads(line)
        return list(record) if isinstance(record, dict) else []
    except (OSError, ValueError, csv.Error):
        return []


def _choose_columns(path: str, name: str, columns: list[str]) -> dict[str, str]:
    """The arguments that name the columns of examples and of labels."""
    texts, images, labels = (
        [column for column in columns if column.strip().lower() in usual]
        for usual in (TEXTS, IMAGES, LABELS)
    )
    argument, found = ("image", images) if images and not texts else ("text", texts)
    if len(columns) == 2 and len(labels) == 1 and not found:
        found = [column for column in columns if column not in labels]
    if len(found) == 1 and len(labels) == 1 and found != labels:
        return {argument: found[0], "label": labels[0]}
    first = (found or columns or ["COLUMN"])[0]
    label = (labels or columns[1:] or ["COLUMN"])[-1]
    raise FlagError(
        f"which columns of {path} hold the examples and the labels? "
        f"(columns: {', '.join(columns[:20]) or 'none that can be read'})",
        flag="data",
        fix=f"--data='{render(name, {'path': path, argument: first, 'label': label})}'",
    )
