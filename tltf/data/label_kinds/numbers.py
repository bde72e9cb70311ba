"""The kinds of labels that are a number for each row, or several numbers."""

from collections.abc import Sequence

import numpy as np

from tltf.data.label_kinds.kind import NUMBER, NUMBERS, LabelKind
from tltf.data.label_kinds.labels import SEPARATOR
from tltf.data.spelled_numbers import parse_number, parse_numbers, require_varied
from tltf.errors import DataError


class Number(LabelKind):
    """Labels float[N], a number for each row."""

    name, phrase, head, word, has_classes = NUMBER, "a number", "regress", "number", False
    columns_kind = NUMBERS

    def fits(self, labels: np.ndarray) -> bool:
        """Whether labels are floating-point numbers, one for each row."""
        return labels.ndim == 1 and labels.dtype.kind == "f"

    def find_fault(self, text: str) -> str:
        """The reason why a text is not a number; empty where it is."""
        return f"label {text!r} is not a finite number" if parse_number(text) is None else ""

    def find_names(self, texts: Sequence[str]) -> set[str]:
        """An empty set, because numbers have no names."""
        return set()

    def normal_forms(self, texts: Sequence[str]) -> Sequence[str]:
        """The numbers in one spelling, so that 1 and 1.0 are equal."""
        return [str(value) for value in parse_numbers(texts).astype(np.float32) + 0]

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """The numbers float64[N]; they must not all be equal where more than one class is needed."""
        values = parse_numbers(texts)
        if least_classes > 1:
            require_varied(values, name)
        return values, ()

    def convert_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """The numbers that the class names spell; None where a name is not a number."""
        spelled = [parse_number(name) for name in class_names]
        return None if None in spelled else (np.array(spelled, np.float64)[labels], ())

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """int64[N], one stratum for all rows."""
        return np.zeros(len(labels), np.int64)

    def training_values(self, labels: np.ndarray) -> np.ndarray:
        """The numbers as float32[N]."""
        return labels.astype(np.float32)

    def summary_lines(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The line of a summary with the range of the numbers."""
        low, middle, high = np.quantile(labels, (0, 0.5, 1))
        return [f"numbers    {low:g} to {high:g}, median {middle:g}, deviation {labels.std():.4g}"]


class Numbers(LabelKind):
    """Labels float[N, D], D numbers with names for each row, each in a column of its own."""

    name, phrase, head = NUMBERS, "several numbers", "multi_regress"
    word, has_classes = "number", False
    columns_kind, single_kind = NUMBERS, NUMBER

    def fits(self, labels: np.ndarray) -> bool:
        """Whether labels are floating-point numbers, several for each row."""
        return labels.ndim == 2 and labels.dtype.kind == "f"

    def join_columns(self, texts: dict[str, str]) -> tuple[str, str]:
        """The numbers joined, such as `1.5|20`, see `LabelKind.join_columns`."""
        for column, text in texts.items():
            if parse_number(text) is None:
                return "", f"{column} is {text!r}, not a finite number"
        return SEPARATOR.join(texts.values()), ""

    def names_of_columns(self, columns: Sequence[str]) -> Sequence[str]:
        """The names of the columns."""
        return columns

    def find_fault(self, text: str) -> str:
        """The reason why a text is not a list of numbers; empty where it is."""
        return next(filter(None, map(Number().find_fault, text.split(SEPARATOR))), "")

    def find_names(self, texts: Sequence[str]) -> set[str]:
        """An empty set, because the columns have names and the numbers have none."""
        return set()

    def normal_forms(self, texts: Sequence[str]) -> Sequence[str]:
        """The numbers in one spelling, so that `1|2` and `1.0|2` are equal."""
        columns = [Number().normal_forms(column) for column in _columns(texts)]
        return [SEPARATOR.join(row) for row in zip(*columns, strict=True)]

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """The numbers float64[N, D], each column as `Number.encode` reads it, and the names of the columns."""
        columns = _columns(texts)
        names = tuple(class_names or map(str, range(len(columns))))
        if len(names) != len(columns):
            raise _wrong_count(f"{len(columns)} numbers per row stand in {len(names)} column")
        values = [
            Number().encode(column, None, f"{name}: {column_name}", least_classes)[0]
            for column_name, column in zip(names, columns, strict=True)
        ]
        return np.stack(values, axis=1), names

    def convert_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """None, because one class is not several numbers."""
        return None

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """int64[N], one stratum for all rows."""
        return np.zeros(len(labels), np.int64)

    def reorder(self, labels: np.ndarray, places: np.ndarray, num_classes: int) -> np.ndarray:
        """The numbers float[N, D], with number c in the place `places[c]`.

        Raises:
            DataError: there are fewer numbers than `num_classes`.
        """
        if labels.shape[1] != num_classes:
            what = f"{labels.shape[1]} of the {num_classes} numbers per row that the model predicts"
            raise DataError(
                f"the data has {what}", flag="data", fix="label=height|width, all of them"
            )
        reordered = np.empty((len(labels), num_classes), labels.dtype)
        reordered[:, places] = labels
        return reordered

    def training_values(self, labels: np.ndarray) -> np.ndarray:
        """The numbers as float32[N, D]."""
        return labels.astype(np.float32)

    def summary_lines(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The lines of a summary with the range of each column of numbers."""
        lines = zip(class_names, labels.T, strict=True)
        return [
            line.replace("numbers   ", f"{name:<10}", 1)
            for name, column in lines
            for line in Number().summary_lines(column, ())
        ]


def _columns(texts: Sequence[str]) -> list[list[str]]:
    """The texts of each of D columns, from texts such as `1.5|20`.

    Raises:
        DataError: rows with different numbers of numbers.
    """
    rows = [text.split(SEPARATOR) for text in texts]
    counts = sorted({len(row) for row in rows})
    if len(counts) > 1:
        raise _wrong_count(f"some rows have {counts[0]} and others {counts[-1]} numbers")
    return [list(column) for column in zip(*rows, strict=True)]


def _wrong_count(what: str) -> DataError:
    return DataError(what, flag="data", fix="label=height|width, a column for each number")
