"""The easiest training rows, for a curriculum."""

from typing import Any

import numpy as np


def easiest(difficulty: Any, strata: np.ndarray, share: float) -> np.ndarray:
    """int64[M] in rising order: the share of each class with the smallest difficulty.

    Args:
        difficulty: float[N].
        strata: int[N], a class per row, see `LabelKind.strata`.
        share: above 0, at most 1; at least one row of each class is taken.
    """
    order = np.argsort(difficulty, kind="stable")
    parts = []
    for stratum in np.unique(strata):
        own = order[strata[order] == stratum]
        parts.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(parts)).astype(np.int64)
