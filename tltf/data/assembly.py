"""From rows as a file gives them to a checked Source."""

import dataclasses
from typing import Any

import numpy as np

from tltf.data import checks
from tltf.data.source import Column, Source, content_hashes, encode_labels

MODALITIES = {"text": "text", "path": "image", "bytes": "image", "array": "image"}


@dataclasses.dataclass(frozen=True)
class Rows:
    """Readable rows in the order of the data, lists of the same length.

    Args:
        ids: str a row.
        values: of a Column.
        labels: str a row; None when unlabelled.
        roles: str a row; None when the data gives no splits.
        hashes: uint64[N] of the contents, if they are known already.
    """

    ids: list
    values: Any
    labels: list | None
    roles: list | None = None
    hashes: np.ndarray | None = None


def assemble(name, kind, rows, scan, settings, class_names=None, *, strict_labels=None):
    """The Source of `rows` after the checks that all sources share.

    Args:
        name: of the source.
        kind: of its Column.
        rows: Rows.
        scan: Scan, to which the rows that were left out have been added.
        settings: LoadSettings.
        class_names: the order of classes, if the data has one.
        strict_labels: one content under two labels is a fault, not a warning; by default it is
            for images.

    Raises:
        DataError: no rows, one class, faulty class names, contents under two labels, or too
            many bad rows.
        FlagError: labels that are no classes.
    """
    if not rows.ids and not scan.failures and not scan.skipped:
        scan.fail("there are no rows", place=name)
    labels = rows.labels
    if labels is not None:
        checks.check_class_names(scan, set(labels))
        checks.check_spelling_of_numbers(scan, set(labels))
    column = Column(kind, rows.values)
    hashes = content_hashes(column) if rows.hashes is None else rows.hashes
    is_usable = checks.usable_contents(
        scan,
        rows.ids,
        hashes,
        labels or [None] * len(rows.ids),
        rows.roles,
        strict_labels=kind != "text" if strict_labels is None else strict_labels,
    )
    counts = scan.finish(settings.max_bad_fraction)
    encoded, names = None, ()
    if labels is not None:
        encoded, names = encode_labels(labels, name, class_names, settings.least_classes)
    source = Source(
        name=name,
        columns={MODALITIES[kind]: column},
        labels=encoded,
        class_names=names,
        ids=rows.ids,
        roles=None if rows.roles is None else np.array(rows.roles, dtype="<U10"),
        scan=counts,
        hashes=hashes,
    )
    return source if is_usable.all() else source.take(np.flatnonzero(is_usable))
