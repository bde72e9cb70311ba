"""Kinds of labels: one class, any number of labels, or a number a row."""

import warnings

import numpy as np

from tltf.errors import DataError

CLASS, LABELS, NUMBER = TARGETS = ("class", "labels", "number")
SEPARATOR = "|"
"""Between the labels of one row, in tables and in answers."""


def kind_of(labels):
    """One of TARGETS: int[N] are classes, uint8[N, C] labels, float[N] numbers."""
    if labels.ndim == 2:
        return LABELS
    return NUMBER if labels.dtype.kind == "f" else CLASS


def strata(labels):
    """int64[N]: what splits keep in proportion.

    Classes are their own; of several labels the rarest of the row (the first of those that are
    equally rare) counts, and rows without one are a stratum of their own; numbers are all alike.
    """
    kind = kind_of(labels)
    if kind == CLASS:
        return labels.astype(np.int64)
    if kind == NUMBER:
        return np.zeros(len(labels), np.int64)
    rarity = np.where(labels > 0, labels.sum(axis=0, dtype=np.int64), len(labels) + 1)
    return np.where(labels.any(axis=1), rarity.argmin(axis=1), labels.shape[1])


def counts(labels, num_classes):
    """int64[C]: rows of each class, or with each label."""
    if kind_of(labels) == LABELS:
        return labels.sum(axis=0, dtype=np.int64)
    return np.bincount(labels, minlength=num_classes)


def names_in(texts, target):
    """The set of class or label names in one text a row; empty for numbers."""
    if target == NUMBER:
        return set()
    return set(texts) if target == CLASS else {name for text in texts for name in _parts(text)}


def number(text):
    """The number that a text spells, finite in float32, or None.

    1_0 spells none: Python reads it as 10, but in data it is a name.
    """
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= float(np.finfo(np.float32).max) else None


def numbers(texts):
    """float64[N]: as they are read, so that tables hold what the file says; training has float32.

    Args:
        texts: str a row, each a finite number.
    """
    return np.array([float(text) for text in texts], np.float64)


MOST_LOST = 1e-3
"""Of the deviation of numbers: more than float32 may round away without a warning."""


def require_varied(values, name):
    """Raises where all numbers are equal, and warns where float32 cannot tell them apart.

    Args:
        values: float[N].
        name: of the source.

    Raises:
        DataError: there is nothing to learn.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return
    if (values == values[0]).all():
        raise DataError(f"{name} has one number only ({values[0]:.9g})", flag="data",
                        fix="give examples of at least two numbers")  # fmt: skip
    lost = np.abs(values - values.astype(np.float32)).max()
    if lost > MOST_LOST * values.std():
        what = (f"{name}: training is in float32, which moves numbers such as {values[0]:.15g} by up "
                f"to {lost:.3g}, and they differ by {values.std():.3g} only; subtract a fixed number "
                f"from the column, such as {values.min():.15g}")  # fmt: skip
        warnings.warn(what, stacklevel=2)


def spelled_alike(texts, target):
    """One text a row, equal where the labels are: `b|a` as `a|b`, and 1.0 as 1 where it is a number.

    Args:
        texts: str a row, each a finite number where `target` is NUMBER.
        target: one of TARGETS.
    """
    if target == LABELS:
        return [SEPARATOR.join(sorted(set(_parts(text)))) for text in texts]
    return (
        [str(value) for value in numbers(texts).astype(np.float32) + 0]
        if target == NUMBER
        else texts
    )


def several(texts, class_names, name):
    """`(uint8[N, C], names)` of texts such as `cat|dog`; an empty one has no label.

    Args:
        texts: str a row.
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


def join_labels(names):
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


def _parts(text):
    return [part.strip() for part in text.split(SEPARATOR) if part.strip()]
