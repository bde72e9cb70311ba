"""The loss of the best answer that does not look at its input: a measure of how large a head's loss is."""

import numpy as np

from tltf.data import label_kinds
from tltf.heads.head import Head

LEAST_SHARE = 1e-6
"""The smallest share of rows that a constant answer states of a class."""
SMALLEST = 1e-3
"""The smallest loss that is given, so that a weight of 1 / loss stays within bounds."""


def constant_loss(head: Head, labels: np.ndarray) -> float:
    """The mean loss of a head whose logits are the same for all rows and fit them best.

    Args:
        head: with its center and scale, if it predicts numbers.
        labels: of the training rows, of the kind that the head takes; at least one row.

    Returns:
        At least SMALLEST; in the unit of the head's loss.
    """
    row = _logits(head, labels)
    found = head.losses(np.broadcast_to(row, (len(labels), len(row))), labels).mean()
    return max(float(found), SMALLEST)


def _logits(head: Head, labels: np.ndarray) -> np.ndarray:
    """float[K]: the logits of the constant answer."""
    if head.target in (label_kinds.NUMBER, label_kinds.NUMBERS):
        scaled = np.atleast_2d(labels.astype(np.float64).T).T
        center, scale = np.atleast_1d(head.center), np.atleast_1d(head.unit)  # type: ignore[attr-defined]
        levels = head.quantiles  # type: ignore[attr-defined]
        return np.quantile((scaled - center) / scale, levels, axis=0).T.reshape(-1)
    if head.target == label_kinds.LABELS:
        return _log_odds(labels.mean(axis=0))
    shares = np.bincount(labels) / len(labels)
    if head.has_order:  # each logit is of a class above a threshold
        return _log_odds(1.0 - np.cumsum(shares)[:-1])
    return np.log(np.maximum(shares, LEAST_SHARE))


def _log_odds(shares: np.ndarray) -> np.ndarray:
    inner = np.clip(shares, LEAST_SHARE, 1.0 - LEAST_SHARE)
    return np.log(inner / (1.0 - inner))
