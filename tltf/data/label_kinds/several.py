"""The labels of several tasks, which stand beside each other in the fields of one array."""

from collections.abc import Mapping, Sequence

import numpy as np

from tltf.data.label_kinds.kind import TASKS, LabelKind

VALUES, IS_KNOWN = "values", "is_known"
"""The fields of a task: its labels, and whether a row has one."""
LEAST_ROWS = 10
"""The rows that each joint stratum must have for splits to keep all tasks in proportion."""


class SeveralTasks(LabelKind):
    """Labels of several tasks: an array [N] with a field per task, of labels of any other kind.

    `labels[task][VALUES]` are the labels of a task, as its own kind has them, and
    `labels[task][IS_KNOWN]`, bool[N], says which rows have one.

    Args:
        kinds: the kinds of labels that a task may have.
    """

    name, phrase, head, word = TASKS, "labels of several tasks", "", "task"
    has_classes = False

    def __init__(self, kinds: Sequence[LabelKind]) -> None:
        self._kinds = kinds

    def fits(self, labels: np.ndarray) -> bool:
        """Whether an array has a field per task."""
        return labels.dtype.names is not None

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """int64[N], the strata of all tasks together, or those of the first where these have few rows.

        Rows without a label of a task are a stratum of that task.
        """
        own = [self._strata_of(labels[task]) for task in labels.dtype.names or ()]
        _, joint, counts = np.unique(
            np.stack(own, axis=1), axis=0, return_inverse=True, return_counts=True
        )
        is_enough = len(counts) > 0 and counts.min() >= LEAST_ROWS
        return joint.reshape(-1).astype(np.int64) if is_enough else own[0]

    def _strata_of(self, labels: np.ndarray) -> np.ndarray:
        """int64[N]: the strata of one task; -1 for rows without a label."""
        values, is_known = labels[VALUES], labels[IS_KNOWN]
        kind = next(kind for kind in self._kinds if kind.fits(values))
        return np.where(is_known, kind.strata(values), -1)

    def convert_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """None, because one class is not the labels of several tasks."""
        return None

    def summary_lines(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """A line per task with the number of rows that have a label of it."""
        return [
            f"{task:<10} {int(labels[task][IS_KNOWN].sum()):,} of {len(labels):,} training rows"
            for task in labels.dtype.names or ()
        ]


def join(fields: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The labels of several tasks as one array, see `SeveralTasks`.

    Args:
        fields: task -> (labels of any other kind [N, ...], bool[N] whether a row has one).
    """
    kinds = [
        (task, [(VALUES, values.dtype, values.shape[1:]), (IS_KNOWN, bool)])
        for task, (values, _) in fields.items()
    ]
    length = len(next(iter(fields.values()))[1])
    joint = np.zeros(length, np.dtype(kinds))
    for task, (values, is_known) in fields.items():
        joint[task][VALUES], joint[task][IS_KNOWN] = values, is_known
    return joint


def arrays_of(labels: np.ndarray) -> list[np.ndarray]:
    """The arrays of numbers in labels of any kind: those of each task, or the labels themselves."""
    if labels.dtype.names is None:
        return [labels]
    return [labels[task][VALUES] for task in labels.dtype.names]
