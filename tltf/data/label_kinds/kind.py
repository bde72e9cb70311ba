"""What all kinds of labels are: how labels are read, held, counted and split."""

from collections.abc import Sequence

import numpy as np

CLASS, LABELS, NUMBER, NUMBERS = "class", "labels", "number", "numbers"
MOST_BARS, BAR = 20, 30
"""Classes of which a summary draws bars, and the number of characters of the longest bar."""


class LabelKind:
    """How labels of one kind are read and held; the defaults are those of classes.

    Labels are arrays with a row for each example; `class_names` names what they hold.
    """

    name = ""
    """As `Head.target` and reports have it."""
    phrase = ""
    """What a row has, in words."""
    head = ""
    """The head that takes it."""
    word = "class"
    has_classes = True
    """Whether labels are places in class names, of which each must have rows to train on."""
    is_one_class = False
    """Whether a row has one class: then classes can be weighed and mixed, and one content must not
    have two."""
    several = ""
    """The kind of labels that stand in several columns; empty where a label has one column."""
    widens = ""
    """The kind of which a row has several here: `head` takes the place of a head for that kind."""

    def fits(self, labels: np.ndarray) -> bool:
        """Whether an array of labels is of this kind."""
        raise NotImplementedError

    def fault_of(self, text: str) -> str:
        """Why the text of a label cannot be read; empty where it can."""
        return ""

    def names_in(self, texts: Sequence[str]) -> set[str]:
        """The names of classes in the texts of labels."""
        return set(texts)

    def spelled_alike(self, texts: Sequence[str]) -> Sequence[str]:
        """A text for each row, equal where the labels are."""
        return texts

    def join_columns(self, texts: dict[str, str]) -> tuple[str, str]:
        """`(label, "")` of the texts of several columns, or `("", why they cannot be read)`."""
        raise NotImplementedError

    def names_of_columns(self, columns: Sequence[str]) -> Sequence[str] | None:
        """The class names, in their order, where the columns of labels are they; else None."""
        return None

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """`(labels, class names)` of one text for each row.

        Args:
            texts: labels as the data spells them.
            class_names: their order, if the data has one.
            name: of the source, for errors.
            least_classes: how many different labels there must be.

        Raises:
            DataError: too few of them.
        """
        raise NotImplementedError

    def from_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """`(labels, class names)` of this kind for one class per row; None where none can be."""
        raise NotImplementedError

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """int64[N]: what splits keep in proportion."""
        raise NotImplementedError

    def counts(self, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """int64[C]: rows of each class."""
        raise NotImplementedError

    def in_order(self, labels: np.ndarray, places: np.ndarray, num_classes: int) -> np.ndarray:
        """The labels where class c has the place `places[c]` of `num_classes`."""
        raise NotImplementedError

    def without(
        self, labels: np.ndarray, is_known: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`(first, is_skipped, labels)` where some classes are not known.

        Args:
            labels: of this kind.
            is_known: bool[C].

        Returns:
            first: int[N], a class that a skipped row has and that is not known. is_skipped:
            bool[N]. labels: in the places of the known classes alone.
        """
        raise NotImplementedError

    def trained(self, labels: np.ndarray) -> np.ndarray:
        """The labels as training takes them."""
        return labels

    def described(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """Lines of a summary: how many rows each class has."""
        counts = self.counts(labels, len(class_names))
        plural = "classes" if self.word == "class" else f"{self.word}s"
        lines = [
            f"{plural:<10} {len(counts):,}, {counts.min():,} to {counts.max():,} training rows each"
        ]
        if len(counts) <= MOST_BARS:
            width, most = max(map(len, class_names)), max(counts.max(), 1)
            lines += [f"           {name:<{width}} {count:>7,} {'█' * round(BAR * count / most)}"
                      for name, count in zip(class_names, counts.tolist(), strict=True)]  # fmt: skip
        return lines
