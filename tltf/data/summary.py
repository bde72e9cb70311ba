"""The summary of a data set before anything is trained: counts, splits, labels, faults, near duplicates."""

import pathlib
from collections.abc import Sequence

from tltf.config.command_options import CheckOptions
from tltf.config.recipe import DataRecipe
from tltf.data import label_kinds, loader, near_duplicates, row_scan, scan_report, splits
from tltf.data.source import ScanCounts, Source, Splits, require_labels
from tltf.errors import printable

MOST_SHOWN = 5


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
    print(text(options.data, parts, scan))
    if options.output:
        path = pathlib.Path(options.output)
        scan_report.write(path, scan)
        print(f"report     {path / scan_report.NAME}")
    return parts.with_scan(scan)


def _load(options: CheckOptions, recipe: DataRecipe) -> tuple[Splits, Source]:
    source = loader.load(
        recipe.source, seed=options.seed, scan=options.scan, target=recipe.label_kind
    )
    require_labels(source)
    source = source.reorder_classes(recipe.head.build().class_order(source))
    return splits.split(source, recipe.split, options.seed, options.scan), source


def text(name: str, parts: Splits, scan: ScanCounts) -> str:
    """The summary as lines of text.

    Args:
        name: the call string of the data.
        parts: the splits.
        scan: counts, warnings, rows that were left out and near duplicates.
    """
    train = parts["train"]
    sizes = ", ".join(f"{len(part):,} {role}" for role, part in parts.items())
    lines = [
        f"data       {name}",
        f"rows       {row_scan.counts_text(scan)}",
        f"splits     {sizes}",
    ]
    if train.labels is not None:
        kind = label_kinds.kind_of(train.labels)
        lines += kind.summary_lines(train.labels, train.class_names)
    lines += [f"warning    {warning}" for warning in scan.warnings]
    for what in ("skipped", "excluded"):
        lines += _list_rows(what, getattr(scan, f"{what}_rows"))
    lines += _list_rows("near", scan.near_rows or ())
    return "\n".join(map(printable, lines))


def _list_rows(what: str, rows: Sequence[dict[str, str]]) -> list[str]:
    """Lines with the number of rows, and the first rows with their reasons."""
    if not rows:
        return []
    lines = [f"{what:<10} {len(rows):,}:"] + [
        f"           {row['id']}: {row['reason']}" for row in rows[:MOST_SHOWN]
    ]
    more = len(rows) - MOST_SHOWN
    return [*lines, f"           and {more:,} more"] if more > 0 else lines
