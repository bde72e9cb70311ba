"""Kinds of labels: one class, any number of labels, a number, or several numbers for each row.

Rows of several tasks have labels of several kinds beside each other, see `tasks`.

A `LabelKind` says how labels are read, held, counted and split. Predictions of a kind are made in
`tltf.heads` and judged in `tltf.evaluation.evaluators`.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tltf.data.label_kinds import several
from tltf.data.label_kinds.classes import OneClass, encode_classes
from tltf.data.label_kinds.kind import CLASS, LABELS, NUMBER, NUMBERS, TASKS, LabelKind
from tltf.data.label_kinds.labels import SEPARATOR, SeveralLabels, encode_labels, join_labels
from tltf.data.label_kinds.numbers import Number, Numbers
from tltf.data.label_kinds.several import SeveralTasks

__all__ = [
    "CLASS",
    "KINDS",
    "LABELS",
    "NUMBER",
    "NUMBERS",
    "SEPARATOR",
    "TASKS",
    "LabelKind",
    "Labels",
    "Number",
    "Numbers",
    "OneClass",
    "SeveralLabels",
    "SeveralTasks",
    "encode_classes",
    "encode_labels",
    "join_fields",
    "join_labels",
    "kind_of",
]

_OF_ONE_TASK: tuple[LabelKind, ...] = (OneClass(), SeveralLabels(), Number(), Numbers())
KINDS: dict[str, LabelKind] = {
    kind.name: kind for kind in (*_OF_ONE_TASK, SeveralTasks(_OF_ONE_TASK))
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
        is_known: bool[N], whether a row has a label; None where all rows have. The value of a row
            without one means nothing.
    """

    values: np.ndarray
    class_names: tuple[str, ...] = ()
    is_known: np.ndarray | None = None

    @property
    def kind(self) -> LabelKind:
        """The kind of the values."""
        return kind_of(self.values)

    def take(self, indices: np.ndarray) -> "Labels":
        """The labels of rows `indices` (int[M]) only."""
        is_known = None if self.is_known is None else self.is_known[indices]
        return Labels(self.values[indices], self.class_names, is_known)

    @property
    def known(self) -> np.ndarray:
        """bool[N]: whether a row has a label."""
        return np.ones(len(self.values), bool) if self.is_known is None else self.is_known


def join_fields(fields: Mapping[str, Labels]) -> np.ndarray:
    """The labels of several tasks as one array with a field per task, see `SeveralTasks`."""
    return several.join({name: (labels.values, labels.known) for name, labels in fields.items()})
