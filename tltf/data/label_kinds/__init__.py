"""Kinds of labels: one class, any number of labels, a number, or several numbers for each row.

A `LabelKind` says how labels are read, held, counted and split. Predictions of a kind are made in
`tltf.heads` and judged in `tltf.evaluation.evaluators`.
"""

import dataclasses

import numpy as np

from tltf.data.label_kinds.classes import OneClass, encode_classes
from tltf.data.label_kinds.kind import CLASS, LABELS, NUMBER, NUMBERS, LabelKind
from tltf.data.label_kinds.labels import SEPARATOR, SeveralLabels, encode_labels, join_labels
from tltf.data.label_kinds.numbers import Number, Numbers

__all__ = [
    "CLASS",
    "KINDS",
    "LABELS",
    "NUMBER",
    "NUMBERS",
    "SEPARATOR",
    "LabelKind",
    "Labels",
    "Number",
    "Numbers",
    "OneClass",
    "SeveralLabels",
    "encode_classes",
    "encode_labels",
    "join_labels",
    "kind_of",
]

KINDS: dict[str, LabelKind] = {
    kind.name: kind for kind in (OneClass(), SeveralLabels(), Number(), Numbers())
}


def kind_of(labels: np.ndarray) -> LabelKind:
    """The kind of an array of labels."""
    return next(kind for kind in KINDS.values() if kind.fits(labels))


@dataclasses.dataclass(frozen=True)
class Labels:
    """One field of labels of all examples.

    Args:
        values: int32[N], places in `class_names`; uint8[N, C], 1 for each label that a row has; or
            numbers, float[N] or float[N, D].
        class_names: a name for each class or label, or for each of D numbers; () for float[N].
    """

    values: np.ndarray
    class_names: tuple[str, ...] = ()

    @property
    def kind(self) -> LabelKind:
        """The kind of the values."""
        return kind_of(self.values)

    def take(self, indices: np.ndarray) -> "Labels":
        """The labels of rows `indices` (int[M]) only."""
        return Labels(self.values[indices], self.class_names)
