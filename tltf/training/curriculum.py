"""The easiest training rows, for a curriculum."""

import numpy as np


def easiest(difficulty: np.ndarray, strata: np.ndarray, share: float) -> np.ndarray:
    """int64[M] in rising order: the rows of each class that have the smallest difficulty.

    Args:
        difficulty: float[N], e.g. the loss of each row.
        strata: int[N], a class per row, see `LabelKind.strata`.
        share: the share of the rows of each class that is taken, above 0 and at most 1; at least
            one row of each class is taken.
    """
    order = np.argsort(difficulty, kind="stable")
    parts = []
    for stratum in np.unique(strata):
        own = order[strata[order] == stratum]
        parts.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(parts)).astype(np.int64)
