"""The kind of labels of which a row has any number."""

from collections.abc import Iterable, Sequence

import numpy as np

from tltf.data.label_kinds.kind import LABELS, LabelKind
from tltf.errors import DataError

SEPARATOR = "|"
"""What stands between the labels of one row, in tables and in predictions."""
_FLAGS = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
    **dict.fromkeys(("0", "0.0", "false", "no"), False),
}
"""What a column that stands for one label may hold, in lower case -> whether the row has the label."""


class SeveralLabels(LabelKind):
    """Labels uint8[N, C], 1 for each label that a row has."""

    name, phrase, head, word = LABELS, "several labels", "multi_label", "label"
    columns_kind = LABELS

    def fits(self, labels: np.ndarray) -> bool:
        """Whether labels are a matrix of whole numbers."""
        return labels.ndim == 2 and labels.dtype.kind != "f"

    def find_names(self, texts: Sequence[str]) -> set[str]:
        """The names of the labels in the texts."""
        return {name for text in texts for name in _parts(text)}

    def normal_forms(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts with their labels in sorted order, such as `a|b` for `b|a`."""
        return [SEPARATOR.join(sorted(set(_parts(text)))) for text in texts]

    def join_columns(self, texts: dict[str, str]) -> tuple[str, str]:
        """The names of the columns that hold 1, joined, see `LabelKind.join_columns`."""
        for column, text in texts.items():
            if text.lower() not in _FLAGS:
                return "", f"{column} is {text!r}, neither 0 nor 1"
        return join_labels(name for name, text in texts.items() if _FLAGS[text.lower()]), ""

    def encode(
        self, texts: Sequence[str], class_names: Sequence[str] | None, name: str, least_classes: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """The labels uint8[N, C] and their names, see `encode_labels`."""
        return encode_labels(texts, class_names, name)

    def convert_classes(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """The labels where each row has one, its class."""
        return np.eye(len(class_names), dtype=np.uint8)[labels], tuple(class_names)

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """int64[N], the rarest label of each row, the first of equally rare ones; C without labels."""
        rarity = np.where(labels > 0, labels.sum(axis=0, dtype=np.int64), len(labels) + 1)
        return np.where(labels.any(axis=1), rarity.argmin(axis=1), labels.shape[1])

    def counts(self, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """int64[C], the number of rows with each label."""
        return labels.sum(axis=0, dtype=np.int64)

    def reorder(self, labels: np.ndarray, places: np.ndarray, num_classes: int) -> np.ndarray:
        """The labels uint8[N, num_classes] where label c has the place `places[c]`."""
        reordered = np.zeros((len(labels), num_classes), labels.dtype)
        reordered[:, places] = labels
        return reordered

    def leave_out_unknown(
        self, labels: np.ndarray, is_known: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `LabelKind.leave_out_unknown`; rows with an unknown label are skipped."""
        has_unknown = (labels > 0) & ~is_known
        skipped = has_unknown.any(axis=1)
        return has_unknown.argmax(axis=1), skipped, labels[:, np.flatnonzero(is_known)]


def encode_labels(
    texts: Sequence[str], class_names: Sequence[str] | None, name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`(uint8[N, C], names)` for texts such as `cat|dog`; an empty text has no label.

    Args:
        texts: str per row.
        class_names: the order of the labels; None to sort their names.
        name: name of the source, for errors.

    Raises:
        DataError: no row has a label.
    """
    rows = [_parts(text) for text in texts]
    names = tuple(class_names or sorted({part for row in rows for part in row}))
    if not any(rows):
        raise DataError(
            f"{name} has no row with a label",
            flag="data",
            fix="label=COLUMN with labels such as cat|dog",
        )
    places = {part: place for place, part in enumerate(names)}
    encoded = np.zeros((len(rows), len(names)), np.uint8)
    for row, parts in enumerate(rows):
        encoded[row, [places[part] for part in parts]] = 1
    return encoded, names


def join_labels(names: Iterable[object]) -> str:
    """The text such as `cat|dog` that `encode_labels` reads.

    Raises:
        DataError: a name has the separator in it, so that it would be read as two.
    """
    texts = [str(name) for name in names]
    odd = [text for text in texts if SEPARATOR in text]
    if odd:
        raise DataError(
            f"the label {odd[0]!r} has a {SEPARATOR!r} in it, which separates labels",
            flag="data",
            fix="give it another name",
        )
    return SEPARATOR.join(texts)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(SEPARATOR) if part.strip()]
