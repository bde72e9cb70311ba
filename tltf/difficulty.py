"""How hard examples are, and which are the easiest."""

import numpy as np


def losses(logits, labels):
    """float[N]: the cross-entropy of each row of float[N, C] logits with int[N] labels."""
    top = logits.max(axis=1, keepdims=True)
    norm = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return norm - logits[np.arange(len(labels)), labels]


def easiest(difficulty, labels, share):
    """int64[M] in rising order: the share of each class with the smallest difficulty.

    Args:
        difficulty: float[N].
        labels: int[N].
        share: above 0, at most 1; at least one row of each class is taken.
    """
    order = np.argsort(difficulty, kind="stable")
    parts = []
    for label in np.unique(labels):
        own = order[labels[order] == label]
        parts.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(parts)).astype(np.int64)
