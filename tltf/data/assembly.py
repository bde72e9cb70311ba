"""The assembly of a checked Source from the rows of a file."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from tltf.data import class_checks, label_kinds, packed_texts, row_scan
from tltf.data.label_kinds import LabelKind
from tltf.data.row_scan import Scan
from tltf.data.source import Column, LoadSettings, Source, content_hashes, one_label_field


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

    ids: Sequence[str]
    fields: dict[str, Column]
    labels: list[str] | None
    roles: list[str] | None = None
    hashes: np.ndarray | None = None

    @property
    def values(self) -> Sequence[Any] | np.ndarray:
        """The values of the only field."""
        (column,) = self.fields.values()
        return column.values

    def append(
        self, row_id: str, values: Mapping[str, Any], label: str | None, role: str | None
    ) -> None:
        """Adds a row to columns that are lists.

        Args:
            row_id: id of the row.
            values: field -> value.
            label: text of the label; None where the rows are unlabelled.
            role: role of the row; None where the data gives no splits.
        """
        cast("list[str]", self.ids).append(row_id)
        for name, value in values.items():
            cast("list[Any]", self.fields[name].values).append(value)
        if self.labels is not None and label is not None:
            self.labels.append(label)
        if self.roles is not None and role is not None:
            self.roles.append(role)

    def take(self, places: Sequence[int]) -> "Rows":
        """The rows at the given places, in that order."""
        return Rows(
            packed_texts.take(self.ids, places),
            {name: column.take(places) for name, column in self.fields.items()},
            None if self.labels is None else [self.labels[place] for place in places],
            None if self.roles is None else [self.roles[place] for place in places],
            None if self.hashes is None else self.hashes[places],
        )


def assemble(
    name: str,
    rows: Rows,
    scan: Scan,
    settings: LoadSettings,
    class_names: Sequence[str] | None = None,
    *,
    kind: LabelKind | None = None,
    strict_labels: bool | None = None,
    are_names: bool = False,
) -> Source:
    """The Source of `rows`, after the checks that all sources share.

    Args:
        name: name of the source.
        rows: Rows.
        scan: Scan, to which the rows that were left out have been added.
        settings: LoadSettings.
        class_names: the order of the classes, if the data has one.
        kind: the kind of the labels; None for the one that the settings name.
        strict_labels: whether one content under two labels is a fault instead of a warning; by
            default it is a fault for classes of images.
        are_names: whether labels that look like numbers are names, as those of folders are.

    Raises:
        DataError: there are no rows or one class only, faulty class names, contents under two
            labels, or too many bad rows.
        FlagError: the labels are not classes.
    """
    if not rows.ids and not scan.failures and not scan.skipped:
        scan.fail("there are no rows", place=name)
    labels_kind = kind or label_kinds.KINDS[settings.target]
    if rows.labels is not None:
        rows = _skip_unreadable_labels(rows, scan, labels_kind)
    labels = rows.labels
    if labels is not None:
        _check_names(scan, labels, labels_kind, settings.scan.allow_empty_classes, are_names)
    is_text = all(column.modality == "text" for column in rows.fields.values())
    is_strict = labels_kind.is_one_class and not is_text
    hashes = content_hashes(rows.fields) if rows.hashes is None else rows.hashes
    is_usable = row_scan.find_usable_rows(
        scan,
        rows.ids,
        hashes,
        labels_kind.normal_forms(labels) if labels else [None] * len(rows.ids),
        rows.roles,
        strict_labels=is_strict if strict_labels is None else strict_labels,
        strict_splits=settings.scan.strict,
    )
    encoded: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def encode() -> tuple[np.ndarray, tuple[str, ...]]:
        return labels_kind.encode(labels or [], class_names, name, settings.least_classes)

    if labels and not scan.failures:  # otherwise a part of the classes would be taken for all
        with scan.collect_errors():
            encoded, names = encode()
    counts = scan.finish(settings.scan.max_bad_fraction)
    if labels is not None and encoded is None:
        encoded, names = encode()
    source = Source(
        name=name,
        fields=rows.fields,
        label_fields={} if encoded is None else one_label_field(encoded, names),
        ids=rows.ids,
        roles=None if rows.roles is None else np.array(rows.roles, dtype="<U10"),
        scan=counts,
        hashes=hashes,
    )
    return source if is_usable.all() else source.take(np.flatnonzero(is_usable))


def _check_names(
    scan: Scan, labels: Sequence[str], kind: LabelKind, allows_empty: bool, are_names: bool
) -> None:
    """Adds the faults of class names to a scan."""
    names = kind.find_names(labels)
    class_checks.check_class_names(scan, names)
    if not are_names:
        class_checks.check_spelling_of_numbers(scan, names)
    if kind.has_classes:
        class_checks.check_lost_classes(scan, names, kind, allows_empty=allows_empty)


def _skip_unreadable_labels(rows: Rows, scan: Scan, kind: LabelKind) -> Rows:
    """The rows whose label can be read; the others are skipped."""
    kept = []
    for place, label in enumerate(rows.labels or ()):
        fault = kind.find_fault(label)
        if fault:
            scan.skip(rows.ids[place], fault)
        else:
            kept.append(place)
    return rows if len(kept) == len(rows.ids) else rows.take(kept)
