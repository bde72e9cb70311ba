"""From rows as a file gives them to a checked Source."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.data import label_kinds, row_scan
from tltf.data.label_kinds import LabelKind
from tltf.data.row_scan import Scan
from tltf.data.source import Column, Source, content_hashes, labelled


@dataclasses.dataclass(frozen=True)
class Rows:
    """Readable rows in the order of the data, lists of the same length.

    Args:
        ids: str per row.
        fields: name -> Column, as a Source has them.
        labels: str per row, several labels as `cat|dog`; None when unlabelled.
        roles: str per row; None when the data gives no splits.
        hashes: uint64[N] of the contents, if they are known already.
    """

    ids: list[str]
    fields: dict[str, Column]
    labels: list[str] | None
    roles: list[str] | None = None
    hashes: np.ndarray | None = None

    @property
    def values(self) -> Any:
        """The values of the only field."""
        (column,) = self.fields.values()
        return column.values

    def take(self, places: Sequence[int]) -> "Rows":
        """The rows at some places."""
        return Rows(
            [self.ids[place] for place in places],
            {name: column.take(places) for name, column in self.fields.items()},
            None if self.labels is None else [self.labels[place] for place in places],
            None if self.roles is None else [self.roles[place] for place in places],
            None if self.hashes is None else self.hashes[places],
        )


def assemble(
    name: Any,
    rows: Rows,
    scan: Any,
    settings: Any,
    class_names: Sequence[str] | None = None,
    *,
    kind: LabelKind | None = None,
    strict_labels: Any = None,
    are_names: bool = False,
) -> Source:
    """The Source of `rows` after the checks that all sources share.

    Args:
        name: of the source.
        rows: Rows.
        scan: Scan, to which the rows that were left out have been added.
        settings: LoadSettings.
        class_names: the order of classes, if the data has one.
        kind: of the labels; None for what the settings say.
        strict_labels: one content under two labels is a fault, not a warning; by default it is
            for classes of images.
        are_names: labels that look like numbers are names: of folders, or as the user says.

    Raises:
        DataError: no rows, one class, faulty class names, contents under two labels, or too
            many bad rows.
        FlagError: labels that are not classes.
    """
    if not rows.ids and not scan.failures and not scan.skipped:
        scan.fail("there are no rows", place=name)
    labels_kind = kind or label_kinds.KINDS[settings.target]
    if rows.labels is not None:
        rows = _with_readable_labels(rows, scan, labels_kind)
    labels = rows.labels
    if labels is not None:
        _check_names(scan, labels, labels_kind, settings.scan.allow_empty_classes, are_names)
    is_text = all(column.modality == "text" for column in rows.fields.values())
    is_strict = labels_kind.is_one_class and not is_text
    hashes = content_hashes(rows.fields) if rows.hashes is None else rows.hashes
    is_usable = row_scan.usable_contents(
        scan,
        rows.ids,
        hashes,
        labels_kind.spelled_alike(labels) if labels else [None] * len(rows.ids),
        rows.roles,
        strict_labels=is_strict if strict_labels is None else strict_labels,
        strict_splits=settings.scan.strict,
    )
    encoded: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def encode() -> Any:
        return labels_kind.encode(labels or [], class_names, name, settings.least_classes)

    if labels and not scan.failures:  # the classes of a part would be taken for all
        with scan.collecting():
            encoded, names = encode()
    counts = scan.finish(settings.scan.max_bad_fraction)
    if labels is not None and encoded is None:
        encoded, names = encode()
    source = Source(
        name=name,
        fields=rows.fields,
        label_fields={} if encoded is None else labelled(encoded, names),
        ids=rows.ids,
        roles=None if rows.roles is None else np.array(rows.roles, dtype="<U10"),
        scan=counts,
        hashes=hashes,
    )
    return source if is_usable.all() else source.take(np.flatnonzero(is_usable))


def _check_names(
    scan: Scan, labels: Sequence[str], kind: Any, allows_empty: bool, are_names: bool
) -> None:
    """Adds the faults of class names to a scan."""
    names = kind.names_in(labels)
    row_scan.check_class_names(scan, names)
    if not are_names:
        row_scan.check_spelling_of_numbers(scan, names)
    if kind.has_classes:
        row_scan.check_lost_classes(scan, names, kind, allows_empty=allows_empty)


def _with_readable_labels(rows: Any, scan: Scan, kind: Any) -> Rows:
    """The rows whose label can be read; the others are skipped."""
    kept = []
    for place, label in enumerate(rows.labels):
        fault = kind.fault_of(label)
        if fault:
            scan.skip(rows.ids[place], fault)
        else:
            kept.append(place)
    return rows if len(kept) == len(rows.ids) else rows.take(kept)
