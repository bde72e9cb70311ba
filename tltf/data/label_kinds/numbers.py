"""A number for each row."""

from collections.abc import Sequence

import numpy as np

from tltf.data.label_kinds.kind import NUMBER, LabelKind
from tltf.data.spelled_numbers import number, numbers, require_varied


class Number(LabelKind):
    """float[N]: a number for each row."""

    name, phrase, head, word, has_classes = NUMBER, "a number", "regress", "number", False

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
