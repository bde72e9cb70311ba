"""How the errors of predicted numbers are spread: a histogram, and errors by the size of the number."""

import dataclasses
from typing import Any

import numpy as np

from tltf.evaluation import bootstrap
from tltf.evaluation.split_metrics import from_known_keys

DETAILS = "errors"
"""The name of NumberErrors in `SplitMetrics.details`."""
NUM_BARS = 30
MOST_GROUPS = 10
LEAST_ROWS = bootstrap.LEAST_SUPPORT
"""Rows of a group by the size of the number."""
TAIL = 0.5
"""Percent of the errors at either end that are counted in the outermost bar."""
SPREAD = (5, 95)
"""Percentiles between which the spread of numbers is."""


@dataclasses.dataclass(frozen=True)
class SizeGroup:
    """The rows whose true numbers are about equally large.

    Args:
        low: their smallest number.
        middle: their median.
        high: their largest number.
        count: rows, at least LEAST_ROWS.
        mean_absolute_error: of the answers, from 0.
        interval: [low, high] of that error; None where it has no width.
        mean_error: of the answers minus the numbers: above 0 they are too large.
    """

    low: float
    middle: float
    high: float
    count: int
    mean_absolute_error: float
    interval: list[float] | None
    mean_error: float


@dataclasses.dataclass(frozen=True)
class NumberErrors:
    """How the errors of a split are spread, in the unit of the numbers.

    Args:
        edges: K + 1 rising ends of the bars of a histogram of answers minus numbers.
        counts: rows of each bar; the outermost bars have all rows beyond them as well.
        num_beyond: rows beyond the outermost bars.
        groups: tenths of the rows, the smallest numbers first; fewer groups of fewer than 100 rows,
            and none of fewer than 20.
    """

    edges: list[float]
    counts: list[int]
    num_beyond: int
    groups: list[SizeGroup]

    @classmethod
    def from_details(cls, details: dict[str, Any]) -> "NumberErrors | None":
        """The errors among the details of a split's metrics; None where there are none."""
        values = details.get(DETAILS)
        if not isinstance(values, dict):
            return None
        groups = [from_known_keys(SizeGroup, row) for row in values["groups"]]
        return dataclasses.replace(from_known_keys(cls, values), groups=groups)


def measure(labels: np.ndarray, answers: np.ndarray, *, seed: int = 0) -> NumberErrors:
    """How the errors of N answers are spread.

    Args:
        labels: float[N], the true numbers, N >= 1.
        answers: float[N].
        seed: of the bootstrap.
    """
    errors = np.asarray(answers, np.float64) - labels
    low, high = np.percentile(errors, [TAIL, 100 - TAIL])
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(errors.clip(low, high), NUM_BARS, (low, high))
    return NumberErrors(
        [float(f"{edge:.6g}") for edge in edges],
        counts.tolist(),
        int(((errors < low) | (errors > high)).sum()),
        _groups(np.asarray(labels, np.float64), errors, seed),
    )


def spread_of(labels: np.ndarray) -> float:
    """The distance of the percentiles SPREAD of float[N] numbers, from 0."""
    low, high = np.percentile(np.asarray(labels, np.float64), SPREAD)
    return float(high - low)


def _groups(labels: np.ndarray, errors: np.ndarray, seed: int) -> list[SizeGroup]:
    num_groups = min(MOST_GROUPS, len(labels) // LEAST_ROWS)
    if num_groups < 2:
        return []
    order = np.argsort(labels, kind="stable")
    return [_group(labels[rows], errors[rows], seed) for rows in np.array_split(order, num_groups)]


def _group(labels: np.ndarray, errors: np.ndarray, seed: int) -> SizeGroup:
    found = bootstrap.intervals(
        np.abs(errors)[None], lambda totals: {"error": totals[0] / len(errors)}, seed=seed
    )
    return SizeGroup(
        float(labels[0]),
        float(np.median(labels)),
        float(labels[-1]),
        len(labels),
        float(np.abs(errors).mean()),
        found.get("error"),
        float(errors.mean()),
    )
