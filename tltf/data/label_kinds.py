"""Kinds of labels: one class, any number of labels, or a number for each row.

A `LabelKind` says how labels are read, held, counted and split. What judges answers of a kind is in
`tltf.evaluation.evaluators`, what gives them in `tltf.heads`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tltf.data.spelled_numbers import number, numbers, require_varied
from tltf.errors import DataError

CLASS, LABELS, NUMBER = "class", "labels", "number"
SEPARATOR = "|"
"""Between the labels of one row, in tables and in answers."""
MOST_BARS, BAR = 20, 30
"""Classes of which a summary draws bars, and the characters of the longest."""
_WHOLE_NUMBER = re.compile(r"-?\d{1,18}")


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


class OneClass(LabelKind):
    """int[N]: a place in the class names for each row."""

    name, phrase, head, is_one_class = CLASS, "one class", "classify", True

    def fits(self, labels: np.ndarray) -> bool:
        """Whether they are whole numbers, one for each row."""
        return labels.ndim == 1 and labels.dtype.kind != "f"

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """int32[N] and the names, see `encode_classes`."""
        return encode_classes(texts, name, class_names, least_classes)

    def from_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """As they are."""
        return labels, tuple(class_names)

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """The classes themselves."""
        return labels.astype(np.int64)

    def counts(self, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """int64[C]: rows of each class."""
        return np.bincount(labels, minlength=num_classes)

    def in_order(self, labels: np.ndarray, places: np.ndarray, num_classes: int) -> np.ndarray:
        """int32[N]."""
        return places[labels]

    def without(
        self, labels: np.ndarray, is_known: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of an unknown class are skipped."""
        return labels, ~is_known[labels], (np.cumsum(is_known) - 1).astype(np.int32)[labels]


class SeveralLabels(LabelKind):
    """uint8[N, C]: 1 for each label that a row has."""

    name, phrase, head, word = LABELS, "several labels", "multi_label", "label"

    def fits(self, labels: np.ndarray) -> bool:
        """Whether they are a matrix of whole numbers."""
        return labels.ndim == 2 and labels.dtype.kind != "f"

    def names_in(self, texts: Sequence[str]) -> set[str]:
        """The names between the separators."""
        return {name for text in texts for name in _parts(text)}

    def spelled_alike(self, texts: Sequence[str]) -> Sequence[str]:
        """`b|a` as `a|b`."""
        return [SEPARATOR.join(sorted(set(_parts(text)))) for text in texts]

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """uint8[N, C] and the names, see `several`."""
        return several(texts, class_names, name)

    def from_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """One label for each row."""
        return np.eye(len(class_names), dtype=np.uint8)[labels], tuple(class_names)

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """The rarest label of the row, the first of those that are equally rare; C without any."""
        rarity = np.where(labels > 0, labels.sum(axis=0, dtype=np.int64), len(labels) + 1)
        return np.where(labels.any(axis=1), rarity.argmin(axis=1), labels.shape[1])

    def counts(self, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """int64[C]: rows with each label."""
        return labels.sum(axis=0, dtype=np.int64)

    def in_order(self, labels: np.ndarray, places: np.ndarray, num_classes: int) -> np.ndarray:
        """uint8[N, num_classes]."""
        found = np.zeros((len(labels), num_classes), labels.dtype)
        found[:, places] = labels
        return found

    def without(
        self, labels: np.ndarray, is_known: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows with an unknown label are skipped."""
        has_unknown = (labels > 0) & ~is_known
        skipped = has_unknown.any(axis=1)
        return has_unknown.argmax(axis=1), skipped, labels[:, np.flatnonzero(is_known)]


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


KINDS: dict[str, LabelKind] = {kind.name: kind for kind in (OneClass(), SeveralLabels(), Number())}


def kind_of(labels: np.ndarray) -> LabelKind:
    """The kind of an array of labels."""
    return next(kind for kind in KINDS.values() if kind.fits(labels))


def encode_classes(
    texts: Sequence[str],
    name: str,
    class_names: Sequence[str] | None = None,
    least_classes: int = 2,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`(int32[N], class names)` from one label text per row.

    Args:
        texts: list of str.
        name: of the source, for errors.
        class_names: the order to use; sorted by default, numerically where all are numbers.
        least_classes: how many there must be.

    Raises:
        DataError: fewer classes.
    """
    if class_names is None:
        class_names = sorted(set(texts), key=_numbers_first(set(texts)))
    if len(class_names) < least_classes:
        raise DataError(
            f"{name} has one class only ({', '.join(class_names) or 'none'})",
            flag="data",
            fix="give examples of at least two classes",
        )
    places = {label: place for place, label in enumerate(class_names)}
    encoded = np.fromiter((places[text] for text in texts), np.int32, count=len(texts))
    return encoded, tuple(class_names)


def _numbers_first(names: set[str]) -> Callable[..., Any] | type:
    if all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        return int
    values = {name: number(name) for name in names}
    return str if None in values.values() else lambda name: (values[name], name)


def several(
    texts: Sequence[str], class_names: Any, name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`(uint8[N, C], names)` of texts such as `cat|dog`; an empty one has no label.

    Args:
        texts: str per row.
        class_names: their order, or None for that of their names.
        name: of the source, for errors.

    Raises:
        DataError: no row has a label.
    """
    rows = [_parts(text) for text in texts]
    names = tuple(class_names or sorted({part for row in rows for part in row}))
    if not any(rows):
        raise DataError(f"{name} has no row with a label", flag="data",
                        fix="label=COLUMN with labels such as cat|dog")  # fmt: skip
    places = {part: place for place, part in enumerate(names)}
    encoded = np.zeros((len(rows), len(names)), np.uint8)
    for row, parts in enumerate(rows):
        encoded[row, [places[part] for part in parts]] = 1
    return encoded, names


def join_labels(names: Sequence[str] | Iterator[Any] | np.ndarray) -> str:
    """`cat|dog`: the text that `several` reads.

    Raises:
        DataError: a name with the separator in it, which would be read as two.
    """
    texts = [str(name) for name in names]
    odd = [text for text in texts if SEPARATOR in text]
    if odd:
        raise DataError(f"the label {odd[0]!r} has a {SEPARATOR!r} in it, which parts labels",
                        flag="data", fix="give it another name")  # fmt: skip
    return SEPARATOR.join(texts)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(SEPARATOR) if part.strip()]
