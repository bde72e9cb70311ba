"""The summary of a data set before anything is trained: counts, splits, labels, faults, near duplicates."""

import io
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from tltf.config.command_options import CheckOptions
from tltf.config.defaults import usual_backbone
from tltf.config.recipe import DataRecipe
from tltf.console.lines import wrap
from tltf.data import label_kinds, loader, near_duplicates, row_scan, scan_report, splits
from tltf.data.source import Column, ScanCounts, Source, Splits
from tltf.errors import printable

MOST_SHOWN = 5
MOST_LOOKED_AT = 500
"""Pictures whose sizes are read."""


def run(options: CheckOptions, recipe: DataRecipe) -> Splits:
    """Prints the summary of --data and, with --output, writes data_report.jsonl.

    Args:
        options: the options of the command.
        recipe: what their call strings name.

    Returns:
        The splits, with the counts of the data.

    Raises:
        FlagError, DataError, StorageError: as training would raise them.
    """
    with scan_report.write_on_failure(options.output):
        parts, source = _load(options, recipe)
    scan = parts.scan
    if options.near_duplicates:
        scan = near_duplicates.find_near_duplicates(source, parts)
    print(text(options, parts, scan))
    if options.output:
        path = pathlib.Path(options.output)
        scan_report.write(path, scan)
        print(f"report     {path / scan_report.NAME}")
    return parts.with_scan(scan)


def _load(options: CheckOptions, recipe: DataRecipe) -> tuple[Splits, Source]:
    source = loader.load_labelled(recipe.source, recipe.head, seed=options.seed, scan=options.scan)
    return splits.split(source, recipe.split, options.seed, options.scan), source


def text(options: CheckOptions, parts: Splits, scan: ScanCounts) -> str:
    """The summary as lines of text.

    Args:
        options: the options of the command.
        parts: the splits.
        scan: counts, warnings, rows that were left out and near duplicates.
    """
    train = parts["train"]
    sizes = ", ".join(f"{len(part):,} {role}" for role, part in parts.items())
    lines = [
        f"data       {options.data}",
        f"rows       {row_scan.counts_text(scan)}",
        f"splits     {sizes}",
    ]
    if train.labels is not None:
        kind = label_kinds.kind_of(train.labels)
        lines += kind.summary_lines(train.labels, train.class_names)
    if len(train.label_fields) > 1:
        for task in train.label_fields:
            own = train.of_task(task)
            kind, labels = label_kinds.kind_of(np.asarray(own.labels)), np.asarray(own.labels)
            lines += ["", f"task       {task}", *kind.summary_lines(labels, own.class_names)]
    lines += content_lines(train)
    for warning in scan.warnings:
        lines += wrap("warning", warning)
    lines += _list_rows("skipped", "cannot be used", scan.skipped_rows)
    lines += _list_rows("excluded", "could be used, but must not be", scan.excluded_rows)
    lines += _list_rows("near", "are nearly the same as another row", scan.near_rows or ())
    return "\n".join(map(printable, [*lines, next_line(options, train)]))


def next_line(options: CheckOptions, train: Source) -> str:
    """The command that trains on the data, with a backbone that takes it.

    Args:
        options: the options of the command.
        train: the training split.
    """
    usual = CheckOptions()
    changed = [
        f"--{name}={shlex.quote(str(getattr(options, name)))}"
        for name in ("data", "split", "head", "seed")
        if getattr(options, name) != getattr(usual, name)
    ]
    flags = " ".join([*changed, f"--backbone={usual_backbone(train.modality)}"])
    return f"{'next':<10} python -m tltf.train {flags} --output=runs/NEW"


def content_lines(train: Source) -> list[str]:
    """A line on the lengths of the texts, or on the sizes of the pictures."""
    if train.modality == "text":
        counts = np.array([len(text.split()) for text in train.texts()])
        return [
            f"{'texts':<10} {counts.min():,} to {counts.max():,} words, median {np.median(counts):,.0f}"
        ]
    sizes = picture_sizes(train)
    if not sizes:
        return []
    smallest, largest = (pick(sizes, key=lambda size: size[0] * size[1]) for pick in (min, max))
    looked = "" if len(sizes) == len(train) else f" in {len(sizes):,} pictures looked at"
    ends = dict.fromkeys(f"{width:,} x {height:,}" for width, height in (smallest, largest))
    return [f"{'pictures':<10} {' to '.join(ends)} pixels{looked}"]


def picture_sizes(train: Source) -> list[tuple[int, int]]:
    """`(width, height)` of some pictures in pixels, without those that Pillow cannot open."""
    return list(filter(None, map(_picture_size, _some_pictures(train.column))))


def _some_pictures(column: Column) -> list[Any]:
    """At most MOST_LOOKED_AT values, evenly spaced."""
    num = min(len(column), MOST_LOOKED_AT)
    return [column.values[int(place)] for place in np.linspace(0, len(column) - 1, num)]


def _picture_size(value: Any) -> tuple[int, int] | None:
    """`(width, height)` of a path, of encoded bytes or of an array; None where Pillow cannot tell."""
    if isinstance(value, np.ndarray):
        return value.shape[1], value.shape[0]
    try:
        with Image.open(io.BytesIO(value) if isinstance(value, bytes) else value) as picture:
            return picture.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _list_rows(what: str, verb: str, rows: Sequence[dict[str, str]]) -> list[str]:
    """Lines with the number of rows, and the first rows with their reasons."""
    if not rows:
        return []
    count = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    lines = [f"{what:<10} {count} {verb}:"] + [
        f"           {row['id']}: {row['reason']}" for row in rows[:MOST_SHOWN]
    ]
    more = len(rows) - MOST_SHOWN
    return [*lines, f"           and {more:,} more"] if more > 0 else lines
