"""How hard examples are, and which are the easiest."""

import numpy as np


def losses(logits, labels):
    """float[N]: the cross-entropy of each row of float[N, C] logits with int[N] labels."""
    top = logits.max(axis=1, keepdims=True)
    norm = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return norm - logits[np.arange(len(labels)), labels]


def easiest(difficulty, strata, share):
    """int64[M] in rising order: the share of each class with the smallest difficulty.

    Args:
        difficulty: float[N].
        strata: int[N], a class a row, see `targets.strata`.
        share: above 0, at most 1; at least one row of each class is taken.
    """
    order = np.argsort(difficulty, kind="stable")
    parts = []
    for stratum in np.unique(strata):
        own = order[strata[order] == stratum]
        parts.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(parts)).astype(np.int64)
