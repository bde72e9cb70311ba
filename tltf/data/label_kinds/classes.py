"""The kind of labels that are one class for each row."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from tltf.data.label_kinds.kind import CLASS, LabelKind
from tltf.data.spelled_numbers import parse_number
from tltf.errors import DataError

_WHOLE_NUMBER = re.compile(r"-?\d{1,18}")


class OneClass(LabelKind):
    """Labels int[N], a place in the class names for each row."""

    name, phrase, head, is_one_class = CLASS, "one class", "classify", True

    def fits(self, labels: np.ndarray) -> bool:
        """Whether labels are whole numbers, one for each row."""
        return labels.ndim == 1 and labels.dtype.kind not in "fV"

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """The labels int32[N] and the class names, see `encode_classes`."""
        return encode_classes(texts, name, class_names, least_classes)

    def convert_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """The labels as they are."""
        return labels, tuple(class_names)

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """The classes themselves, int64[N]."""
        return labels.astype(np.int64)

    def counts(self, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """int64[C], the number of rows of each class."""
        return np.bincount(labels, minlength=num_classes)

    def reorder(self, labels: np.ndarray, places: np.ndarray, num_classes: int) -> np.ndarray:
        """The labels int32[N] where class c has the place `places[c]`."""
        return places[labels]

    def leave_out_unknown(
        self, labels: np.ndarray, is_known: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `LabelKind.leave_out_unknown`; rows of an unknown class are skipped."""
        return labels, ~is_known[labels], (np.cumsum(is_known) - 1).astype(np.int32)[labels]


def encode_classes(
    texts: Sequence[str],
    name: str,
    class_names: Sequence[str] | None = None,
    least_classes: int = 2,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`(int32[N], class names)` from one label text per row.

    Args:
        texts: str per row.
        name: name of the source, for errors.
        class_names: the order of the classes; by default sorted, numerically where all are numbers.
        least_classes: the smallest number of classes.

    Raises:
        DataError: there are fewer classes.
    """
    if class_names is None:
        class_names = sorted(set(texts), key=_sort_key(set(texts)))
    if len(class_names) < least_classes:
        raise DataError(
            f"{name} has only one class ({', '.join(class_names) or 'none'})",
            flag="data",
            fix="give examples of at least two classes",
        )
    places = {label: place for place, label in enumerate(class_names)}
    encoded = np.fromiter((places[text] for text in texts), np.int32, count=len(texts))
    return encoded, tuple(class_names)


def _sort_key(names: set[str]) -> Callable[[str], int | str | tuple[float | None, str]]:
    """The key that sorts names by their values where all are numbers, otherwise as texts."""
    if all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        return int
    values = {name: parse_number(name) for name in names}
    return str if None in values.values() else lambda name: (values[name], name)
