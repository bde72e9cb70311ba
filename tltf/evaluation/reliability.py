"""Calibration: how far stated probabilities are from observed frequencies."""

import dataclasses
from collections.abc import Sequence

import numpy as np

NUM_BINS = 15
LEAST_GROUP = 5
"""Answers of the smallest group that a diagram shows."""


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """The answers whose stated probability is in one range.

    Args:
        low: lower end of the range, 0..1; it belongs to the range in the first bin only.
        high: upper end of the range, 0..1; it belongs to the range.
        count: number of answers.
        confidence: mean of the stated probabilities, 0..1; None without answers.
        accuracy: share of the answers that are right, 0..1; None without answers.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


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
) -> list[ReliabilityBin]:
    """The bins of a reliability diagram.

    Guo et al. 2017, arXiv:1706.04599, equations 1 and 2.

    Args:
        confidence: float[N] in 0..1. Probability of the predicted class.
        is_correct: bool[N]. Whether the predicted class is the true one.
        num_bins: number of bins of equal width.
    """
    confidence, is_correct = np.asarray(confidence, float), np.asarray(is_correct, float)
    index = bin_indices(confidence, num_bins)
    counts = np.bincount(index, minlength=num_bins)
    sums = [np.bincount(index, values, num_bins) for values in (confidence, is_correct)]
    rows = []
    for position, count in enumerate(counts.tolist()):
        mean_confidence, accuracy = (float(s[position]) / count if count else None for s in sums)
        low, high = position / num_bins, (position + 1) / num_bins
        rows.append(ReliabilityBin(low, high, count, mean_confidence, accuracy))
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


def merged_bins(bins: Sequence[ReliabilityBin], least: int = LEAST_GROUP) -> list[ReliabilityBin]:
    """The bins with neighbours put together, so that each holds `least` answers or more.

    Too few answers at the end go to the last group; of too few in all there is one group. Ranges
    without answers at either end belong to no group.

    Args:
        bins: of `reliability_bins`, rising.
        least: answers of a group, at least 1.
    """
    groups: list[list[ReliabilityBin]] = []
    waiting: list[ReliabilityBin] = []
    for row in bins:
        if row.count:
            waiting.append(row)
        if sum(part.count for part in waiting) >= least:
            groups.append(waiting)
            waiting = []
    if waiting:
        groups[-1:] = [[*(groups[-1] if groups else []), *waiting]]
    return [_merged(group) for group in groups]


def _merged(group: Sequence[ReliabilityBin]) -> ReliabilityBin:
    counts = [row.count for row in group]
    confidence = np.average([row.confidence or 0.0 for row in group], weights=counts)
    accuracy = np.average([row.accuracy or 0.0 for row in group], weights=counts)
    return ReliabilityBin(
        group[0].low, group[-1].high, sum(counts), float(confidence), float(accuracy)
    )
