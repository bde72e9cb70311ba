"""What a data set is, before anything is trained: counts, splits, labels, faults, near duplicates."""

import pathlib

import numpy as np

from tltf import data_report, specs, targets
from tltf.catalogs import HEADS
from tltf.data import near, sources, splits
from tltf.data.source import require_labels
from tltf.errors import printable
from tltf.summaries import count_of

MOST_CLASSES, MOST_SHOWN, BAR = 20, 5, 30


def run(options):
    """Prints the summary of `--data` and, with --output, writes data_report.jsonl; returns a dict.

    Args:
        options: CheckOptions.

    Raises:
        FlagError, DataError, StorageError: as training would raise them.
    """
    head = specs.pick(HEADS, options.head, "head").build()
    source = sources.load(options.data, seed=options.seed,
                          scan=options.scan, target=head.target)  # fmt: skip
    require_labels(source)
    source = source.in_classes(head.ordered(source))
    parts = splits.split(source, options.split, options.seed, options.scan)
    scan = next(iter(parts.values())).scan
    near_rows = _near_rows(source, parts) if options.near_duplicates else []
    print(text(options.data, parts, scan, near_rows))
    if options.output:
        path = pathlib.Path(options.output)
        data_report.write(path, scan | {"near_rows": near_rows})
        print(f"report     {path / data_report.NAME}")
    return {"scan": scan, "near": near_rows}


def text(name, parts, scan, near_rows):
    """The summary as lines.

    Args:
        name: the call string of the data.
        parts: role -> Source.
        scan: counts, warnings and rows that were left out.
        near_rows: rows of `_near_rows`.
    """
    counts = f"{scan['found']:,} found = {scan['used']:,} used + {scan['skipped']:,} skipped + "
    counts += f"{scan['excluded']:,} excluded"
    if scan["ignored"]:
        counts += f"; {count_of(scan['ignored'], 'other file')} ignored"
    sizes = ", ".join(f"{len(part):,} {role}" for role, part in parts.items())
    lines = [f"data       {name}", f"rows       {counts}", f"splits     {sizes}",
             *_label_lines(parts["train"])]  # fmt: skip
    lines += [f"warning    {warning}" for warning in [*scan["warnings"], *_warnings(parts)]]
    for what in ("skipped", "excluded"):
        lines += _listed(what, scan[f"{what}_rows"], lambda row: f"{row['id']}: {row['reason']}")
    lines += _listed("near", near_rows, lambda row: f"{row['id']}: {row['reason']}")
    return "\n".join(map(printable, lines))


def _label_lines(part):
    kind = targets.kind_of(part.labels)
    if kind == targets.NUMBER:
        low, middle, high = np.quantile(part.labels, (0, 0.5, 1))
        return [f"numbers    {low:g} to {high:g}, median {middle:g}, "
                f"deviation {part.labels.std():.4g}"]  # fmt: skip
    counts = targets.counts(part.labels, len(part.class_names))
    what = "classes" if kind == targets.CLASS else "labels"
    lines = [f"{what:<10} {len(counts):,}, {counts.min():,} to {counts.max():,} training rows each"]
    if len(counts) <= MOST_CLASSES:
        width, most = max(map(len, part.class_names)), max(counts.max(), 1)
        lines += [f"           {name:<{width}} {count:>7,} {'█' * round(BAR * count / most)}"
                  for name, count in zip(part.class_names, counts.tolist(), strict=True)]  # fmt: skip
    return lines


def _warnings(parts):
    part = parts["train"]
    if targets.kind_of(part.labels) == targets.NUMBER:
        return
    counts = targets.counts(part.labels, len(part.class_names))
    if counts.min() and counts.max() >= 100 * counts.min():
        most, least = (part.class_names[place] for place in (counts.argmax(), counts.argmin()))
        is_class = targets.kind_of(part.labels) == targets.CLASS
        advice = ", try --class_weights=balanced" if is_class else ""
        yield (f"{most} has {counts.max() // counts.min()} times as many rows as {least}: judge by "
               f"macro F1{advice}")  # fmt: skip
    for place in np.flatnonzero(counts == 1):
        yield f"{part.class_names[place]} has one training row"


def _near_rows(source, parts):
    """Rows for data_report.jsonl: pairs across splits first."""
    role_of = {row_id: role for role, part in parts.items() for row_id in part.ids}
    rows = []
    for first, second in near.pairs(source):
        ids = source.ids[first], source.ids[second]
        roles = [role_of.get(row_id) for row_id in ids]
        if None in roles:
            continue
        across = roles[0] != roles[1]
        reason = f"nearly the same as {ids[1]}"
        reason += f" ({roles[0]} and {roles[1]})" if across else f" (both {roles[0]})"
        rows.append((not across, {"id": ids[0], "reason": reason}))
    return [row for _, row in sorted(rows, key=lambda row: row[0])]


def _listed(what, rows, shown):
    if not rows:
        return []
    lines = [f"{what:<10} {len(rows):,}:"] + [
        f"           {shown(row)}" for row in rows[:MOST_SHOWN]
    ]
    more = len(rows) - MOST_SHOWN
    return [*lines, f"           and {more:,} more"] if more > 0 else lines
