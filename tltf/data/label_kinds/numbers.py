"""A number for each row, or several."""

from collections.abc import Sequence

import numpy as np

from tltf.data.label_kinds.kind import NUMBER, NUMBERS, LabelKind
from tltf.data.label_kinds.labels import SEPARATOR
from tltf.data.spelled_numbers import number, numbers, require_varied
from tltf.errors import DataError


class Number(LabelKind):
    """float[N]: a number for each row."""

    name, phrase, head, word, has_classes = NUMBER, "a number", "regress", "number", False
    several = NUMBERS

    def fits(self, labels: np.ndarray) -> bool:
        """Whether they are fractions, one for each row."""
        return labels.ndim == 1 and labels.dtype.kind == "f"

    def fault_of(self, text: str) -> str:
        """Of a text that spells no number."""
        return f"label {text!r} is not a finite number" if number(text) is None else ""

    def names_in(self, texts: Sequence[str]) -> set[str]:
        """None."""
        return set()

    def spelled_alike(self, texts: Sequence[str]) -> Sequence[str]:
        """1.0 as 1."""
        return [str(value) for value in numbers(texts).astype(np.float32) + 0]

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """float64[N], of which more than one must differ where more than one class must be there."""
        values = numbers(texts)
        if least_classes > 1:
            require_varied(values, name)
        return values, ()

    def from_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """The numbers that the names spell, where all of them do."""
        spelled = [number(name) for name in class_names]
        return None if None in spelled else (np.array(spelled, np.float64)[labels], ())

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """All rows are alike."""
        return np.zeros(len(labels), np.int64)

    def trained(self, labels: np.ndarray) -> np.ndarray:
        """float32[N]."""
        return labels.astype(np.float32)

    def described(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """Their range."""
        low, middle, high = np.quantile(labels, (0, 0.5, 1))
        return [f"numbers    {low:g} to {high:g}, median {middle:g}, deviation {labels.std():.4g}"]


class Numbers(LabelKind):
    """float[N, D]: D numbers for each row, each in a column of its own; they have names."""

    name, phrase, head = NUMBERS, "several numbers", "multi_regress"
    word, has_classes = "number", False
    several, widens = NUMBERS, NUMBER

    def fits(self, labels: np.ndarray) -> bool:
        """Whether they are fractions, several for each row."""
        return labels.ndim == 2 and labels.dtype.kind == "f"

    def join_columns(self, texts: dict[str, str]) -> tuple[str, str]:
        """The numbers, such as `1.5|20`."""
        for column, text in texts.items():
            if number(text) is None:
                return "", f"{column} is {text!r}, not a finite number"
        return SEPARATOR.join(texts.values()), ""

    def names_of_columns(self, columns: Sequence[str]) -> Sequence[str]:
        """Those of the columns."""
        return columns

    def fault_of(self, text: str) -> str:
        """Of a text that does not spell numbers."""
        return next(filter(None, map(Number().fault_of, text.split(SEPARATOR))), "")

    def names_in(self, texts: Sequence[str]) -> set[str]:
        """None: the columns are named, not the labels."""
        return set()

    def spelled_alike(self, texts: Sequence[str]) -> Sequence[str]:
        """`1.0|2` as `1|2`."""
        columns = [Number().spelled_alike(column) for column in _columns(texts)]
        return [SEPARATOR.join(row) for row in zip(*columns, strict=True)]

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """float64[N, D], each as `Number.encode` reads it."""
        columns = _columns(texts)
        names = tuple(class_names or map(str, range(len(columns))))
        values = [
            Number().encode(column, None, f"{name}: {column_name}", least_classes)[0]
            for column_name, column in zip(names, columns, strict=True)
        ]
        return np.stack(values, axis=1), names

    def from_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """None: one class is not several numbers."""
        return None

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """All rows are alike."""
        return np.zeros(len(labels), np.int64)

    def in_order(self, labels: np.ndarray, places: np.ndarray, num_classes: int) -> np.ndarray:
        """float[N, D] with the number c in the place `places[c]`.

        Raises:
            DataError: fewer numbers than `num_classes`.
        """
        if labels.shape[1] != num_classes:
            what = f"{labels.shape[1]} of the {num_classes} numbers per row that the model predicts"
            raise DataError(
                f"the data has {what}", flag="data", fix="label=height|width, all of them"
            )
        found = np.empty((len(labels), num_classes), labels.dtype)
        found[:, places] = labels
        return found

    def trained(self, labels: np.ndarray) -> np.ndarray:
        """float32[N, D]."""
        return labels.astype(np.float32)

    def described(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The range of each."""
        lines = zip(class_names, labels.T, strict=True)
        return [
            line.replace("numbers   ", f"{name:<10}", 1)
            for name, column in lines
            for line in Number().described(column, ())
        ]


def _columns(texts: Sequence[str]) -> list[list[str]]:
    """The texts of each of D columns, from texts such as `1.5|20`."""
    return [list(column) for column in zip(*(text.split(SEPARATOR) for text in texts), strict=True)]
