"""The base of all kinds of labels: how labels are read, held, counted and split."""

from collections.abc import Sequence

import numpy as np

CLASS, LABELS, NUMBER, NUMBERS, TASKS = "class", "labels", "number", "numbers", "tasks"
MOST_BARS, BAR = 20, 30
"""The most classes for which a summary draws bars, and the characters of the longest bar."""
NAMED = 5
"""Classes with the fewest and with the most rows that are named where there are too many for bars."""


class LabelKind:
    """A kind of labels, which says how they are read and held; the defaults are those of classes.

    Labels are arrays with a row for each example; class names are the names of what they hold.
    """

    name = ""
    """The name of the kind, as `Head.target` and reports have it."""
    phrase = ""
    """What a row has, in words such as `one class`."""
    head = ""
    """The name of the head that takes such labels."""
    word = "class"
    """The word for one of the labels."""
    has_classes = True
    """Whether labels stand for classes, of which each must have rows to train on."""
    is_one_class = False
    """Whether a row has one class, so that classes can be weighed and mixed, and one content must not
    have two of them."""
    columns_kind = ""
    """The name of the kind that labels are of where they stand in several columns; empty where they cannot."""
    single_kind = ""
    """The name of the kind with one value per row where this kind has several; `head` then takes the
    place of a head for that kind. Empty for other kinds."""

    def fits(self, labels: np.ndarray) -> bool:
        """Whether an array of labels is of this kind."""
        raise NotImplementedError

    def find_fault(self, text: str) -> str:
        """The reason why the text of a label cannot be read; empty where it can."""
        return ""

    def find_names(self, texts: Sequence[str]) -> set[str]:
        """The names of the classes in the texts of labels."""
        return set(texts)

    def normal_forms(self, texts: Sequence[str]) -> Sequence[str]:
        """A text for each row, equal where the labels are equal."""
        return texts

    def join_columns(self, texts: dict[str, str]) -> tuple[str, str]:
        """`(label, "")` for the texts of a row in several columns, or `("", why they cannot be read)`."""
        raise NotImplementedError

    def names_of_columns(self, columns: Sequence[str]) -> Sequence[str] | None:
        """The class names in their order where the columns are the classes; otherwise None."""
        return None

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """`(labels, class names)` for one text per row.

        Args:
            texts: labels as the data spells them.
            class_names: the order of the classes, if the data has one.
            name: name of the source, for errors.
            least_classes: the smallest number of different labels.

        Raises:
            DataError: there are fewer different labels.
        """
        raise NotImplementedError

    def convert_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """`(labels, class names)` of this kind for one class per row; None where that is impossible."""
        raise NotImplementedError

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """int64[N], the strata of the rows, which splits keep in proportion."""
        raise NotImplementedError

    def counts(self, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """int64[C], the number of rows of each class."""
        raise NotImplementedError

    def reorder(self, labels: np.ndarray, places: np.ndarray, num_classes: int) -> np.ndarray:
        """The labels where class c has the place `places[c]` of `num_classes`."""
        raise NotImplementedError

    def leave_out_unknown(
        self, labels: np.ndarray, is_known: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`(first, is_skipped, labels)` where some classes are not known.

        Args:
            labels: labels of this kind.
            is_known: bool[C], true for the known classes.

        Returns:
            first: int[N], for a skipped row its first class that is not known. is_skipped: bool[N],
            true for rows with such a class. labels: labels as places among the known classes alone.
        """
        raise NotImplementedError

    def training_values(self, labels: np.ndarray) -> np.ndarray:
        """The labels as training takes them."""
        return labels

    def summary_lines(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The lines of a summary that say how many rows each class has."""
        counts = self.counts(labels, len(class_names))
        plural = "classes" if self.word == "class" else f"{self.word}s"
        lines = [
            f"{plural:<10} {len(counts):,}, {counts.min():,} to {counts.max():,} training rows each"
        ]
        if len(counts) <= MOST_BARS:
            width, most = max(map(len, class_names)), max(counts.max(), 1)
            lines += [
                f"           {name:<{width}} {count:>7,} {'█' * round(BAR * count / most)}"
                for name, count in zip(class_names, counts.tolist(), strict=True)
            ]
        else:
            order = sorted(range(len(counts)), key=lambda place: (counts[place], place))
            for title, places in (("fewest", order[:NAMED]), ("most", order[::-1][:NAMED])):
                named = [f"{class_names[place]} {counts[place]:,}" for place in places]
                lines.append(f"{title:<10} {', '.join(named)}")
        return lines
