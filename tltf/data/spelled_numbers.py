"""Numbers as the texts of data spell them."""

import warnings
from collections.abc import Sequence

import numpy as np

from tltf.errors import DataError


def parse_number(text: str) -> float | None:
    """The number that a text spells, if it is finite in float32; otherwise None.

    1_0 is not a number: Python reads it as 10, but in data it is a name.
    """
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= float(np.finfo(np.float32).max) else None


def parse_numbers(texts: Sequence[str]) -> np.ndarray:
    """The numbers of texts, float64[N], so that tables hold what the file says; training uses float32.

    Args:
        texts: str per row, each a finite number.
    """
    return np.array([float(text) for text in texts], np.float64)


MOST_LOST = 1e-3
"""The largest share of the deviation of numbers that float32 may round away without a warning."""


def require_varied(values: np.ndarray, name: str) -> None:
    """Raises where all numbers are equal, and warns where float32 cannot tell them apart.

    Args:
        values: float[N].
        name: of the source.

    Raises:
        DataError: all numbers are equal, so there is nothing to learn.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return
    if (values == values[0]).all():
        raise DataError(
            f"{name} has only one number ({values[0]:.9g})",
            flag="data",
            fix="give examples of at least two numbers",
        )
    lost = np.abs(values - values.astype(np.float32)).max()
    if lost > MOST_LOST * values.std():
        what = (
            f"{name}: training is in float32, which moves numbers such as {values[0]:.15g} by up "
            f"to {lost:.3g}, and they differ by {values.std():.3g} only; subtract a fixed number "
            f"from the column, such as {values.min():.15g}"
        )
        warnings.warn(what, stacklevel=2)
