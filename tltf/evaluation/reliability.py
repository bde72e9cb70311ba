"""How far stated probabilities are from observed frequencies."""

from typing import Any

import numpy as np

NUM_BINS = 15


def bin_indices(confidence: np.ndarray, num_bins: int = NUM_BINS) -> np.ndarray:
    """The equal-width bin of each confidence: bin m holds ((m)/M, (m + 1)/M], 0 goes to bin 0.

    Args:
        confidence: float[N] in 0..1. Probability of the predicted class.
        num_bins: M >= 1.

    Returns:
        int64[N] in 0..M-1.
    """
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)


def reliability_bins(
    confidence: np.ndarray, is_correct: np.ndarray, num_bins: int = NUM_BINS
) -> list[dict[str, Any]]:
    """The reliability diagram as data, one row a bin.

    Guo et al. 2017, arXiv:1706.04599, equations 1 and 2.

    Args:
        confidence: float[N] in 0..1. Probability of the predicted class.
        is_correct: bool[N]. Whether the predicted class is the true one.
        num_bins: number of bins of equal width.

    Returns:
        list of dict `low high count confidence accuracy`; the last two are None in empty bins.
    """
    confidence, is_correct = np.asarray(confidence, float), np.asarray(is_correct, float)
    index = bin_indices(confidence, num_bins)
    counts = np.bincount(index, minlength=num_bins)
    sums = [np.bincount(index, values, num_bins) for values in (confidence, is_correct)]
    rows = []
    for position, count in enumerate(counts.tolist()):
        mean_confidence, accuracy = (float(s[position]) / count if count else None for s in sums)
        rows.append(
            {
                "low": position / num_bins,
                "high": (position + 1) / num_bins,
                "count": count,
                "confidence": mean_confidence,
                "accuracy": accuracy,
            }
        )
    return rows


def expected_calibration_error(
    confidence: np.ndarray, is_correct: np.ndarray, num_bins: int = NUM_BINS
) -> float:
    """Mean gap between confidence and accuracy over the bins, weighted by their counts.

    sum_m |B_m| / N * |acc(B_m) - conf(B_m)|, Guo et al. 2017, arXiv:1706.04599, equation 3.
    Departs from the paper: nothing.

    Args:
        confidence: float[N] in 0..1. Probability of the predicted class.
        is_correct: bool[N]. Whether the predicted class is the true one.
        num_bins: number of bins of equal width.

    Returns:
        float in 0..1; 0 is perfectly calibrated.
    """
    gaps = np.asarray(confidence, float) - np.asarray(is_correct, float)
    sums = np.bincount(bin_indices(confidence, num_bins), gaps, num_bins)
    return float(np.abs(sums).sum() / len(gaps))
