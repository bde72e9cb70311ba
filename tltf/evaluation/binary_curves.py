"""Two classes, of which the second is the positive one: curves over all thresholds, and a choice of them."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from tltf.console import lazy_imports
from tltf.evaluation import bootstrap
from tltf.evaluation.split_metrics import from_known_keys

metrics = lazy_imports.Module("sklearn.metrics")
stats, optimize = lazy_imports.Module("scipy.stats"), lazy_imports.Module("scipy.optimize")

DETAILS = "binary"
"""The name of BinaryCurves in `SplitMetrics.details`."""
MOST_POINTS = 100
"""Points of a curve that a report keeps."""
PLAIN_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Thresholds that every table has."""
PRECISIONS = (0.9, 0.95, 0.99)
"""Precisions for which a threshold is chosen."""
LEAST_ALARMS = bootstrap.LEAST_SUPPORT
"""Positive answers from which on their share of right ones is taken for a precision."""
BEST_F1 = "best F1"


@dataclasses.dataclass(frozen=True)
class ThresholdRow:
    """What comes of answering the positive class from one probability on.

    Args:
        threshold: that probability, 0..1.
        num_alarms: rows that get the positive answer.
        num_hits: of them, those that are positive.
        num_positive: rows that are positive.
        num_examples: all rows, at least 1.
        chosen_for: what the threshold was chosen for, such as `99% precision`; empty for a plain one.
    """

    threshold: float
    num_alarms: int
    num_hits: int
    num_positive: int
    num_examples: int
    chosen_for: str = ""

    @property
    def precision(self) -> float | None:
        """The share of the positive answers that is right, 0..1; None without any."""
        return self.num_hits / self.num_alarms if self.num_alarms else None

    @property
    def precision_interval(self) -> list[float] | None:
        """Wilson's interval of the precision; None without positive answers."""
        if not self.num_alarms:
            return None
        return bootstrap.share_interval(self.num_hits, self.num_alarms, bootstrap.CONFIDENCE)

    @property
    def recall(self) -> float | None:
        """The share of the positive rows that is found, 0..1; None without any."""
        return self.num_hits / self.num_positive if self.num_positive else None

    @property
    def alarms_per_thousand(self) -> float:
        """Positive answers among 1,000 rows."""
        return 1000 * self.num_alarms / self.num_examples


@dataclasses.dataclass(frozen=True)
class BinaryCurves:
    """What a report shows of two classes.

    Args:
        positive: name of the positive class.
        roc: [false positive rate, true positive rate] of up to MOST_POINTS thresholds, rising.
        precision_recall: [recall, precision] likewise, recall falling.
        thresholds: rows with rising thresholds.
        is_chosen_elsewhere: whether the thresholds were chosen on other rows, those of the
            validation split.
    """

    positive: str
    roc: list[list[float]]
    precision_recall: list[list[float]]
    thresholds: list[ThresholdRow]
    is_chosen_elsewhere: bool = False

    @classmethod
    def from_details(cls, details: dict[str, Any]) -> "BinaryCurves | None":
        """The curves among the details of a split's metrics; None where there are none.

        Details may come from a file that somebody has changed: values that are not those of curves
        count as none.
        """
        values = details.get(DETAILS)
        try:
            rows = [from_known_keys(ThresholdRow, row) for row in (values or {})["thresholds"]]
            if not all(0.0 <= row.threshold <= 1.0 for row in rows):
                return None
            return dataclasses.replace(from_known_keys(cls, values or {}), thresholds=rows)
        except (KeyError, TypeError, AttributeError):
            return None

    @property
    def positive_share(self) -> float:
        """The share of the rows that is positive, 0..1."""
        row = self.thresholds[0]
        return row.num_positive / row.num_examples

    @property
    def chosen(self) -> dict[float, str]:
        """Threshold -> what it was chosen for."""
        return {row.threshold: row.chosen_for for row in self.thresholds if row.chosen_for}


def measure(
    labels: np.ndarray, stated: np.ndarray, positive: str, chosen: "BinaryCurves | None" = None
) -> BinaryCurves | None:
    """The curves of rows of two classes; None where only one of the two occurs.

    Args:
        labels: int[N], 1 for the positive class.
        stated: float[N], the probability of the positive class.
        positive: its name.
        chosen: the curves of the validation split, whose thresholds are judged on these rows; None
            chooses them on these rows.
    """
    labels, stated = np.asarray(labels), np.asarray(stated, np.float64)
    if np.ptp(labels) == 0:
        return None
    thresholds = chosen.chosen if chosen else choose_thresholds(labels, stated)
    named = dict.fromkeys(PLAIN_THRESHOLDS, "") | thresholds
    false_rates, true_rates, _ = metrics.roc_curve(labels, stated)
    precisions, recalls, _ = metrics.precision_recall_curve(labels, stated, drop_intermediate=True)
    return BinaryCurves(
        positive,
        thinned(false_rates, true_rates),
        thinned(recalls, precisions),
        [_row(labels, stated, threshold, named[threshold]) for threshold in sorted(named)],
        is_chosen_elsewhere=chosen is not None,
    )


def _row(labels: np.ndarray, stated: np.ndarray, threshold: float, chosen_for: str) -> ThresholdRow:
    is_alarm = stated >= threshold
    hits = int((is_alarm & (labels == 1)).sum())
    positive = int((labels == 1).sum())
    return ThresholdRow(threshold, int(is_alarm.sum()), hits, positive, len(labels), chosen_for)


def choose_thresholds(labels: np.ndarray, stated: np.ndarray) -> dict[float, str]:
    """Threshold -> what it is best for: the best F1, and the most recall at each of PRECISIONS.

    A precision that no LEAST_ALARMS positive answers reach has no threshold. A threshold is the
    shortest number between the least probability that is answered and the next one below it.

    Args:
        labels: int[N], 1 for the positive class, which occurs.
        stated: float[N].
    """
    order = np.argsort(-stated, kind="stable")
    ranked, hits = stated[order], np.cumsum(labels[order] == 1)
    is_border = np.append(ranked[1:] < ranked[:-1], True)
    lower = np.append(ranked[1:], 0.0)[is_border]
    ranked, hits, alarms = ranked[is_border], hits[is_border], np.flatnonzero(is_border) + 1
    f1 = 2 * hits / (alarms + hits[-1])
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    places = {BEST_F1: int(best[np.abs(ranked[best] - 0.5).argmin()])}
    for wanted in PRECISIONS:
        fits = np.flatnonzero((hits / alarms >= wanted) & (alarms >= LEAST_ALARMS))
        if fits.size:
            places[f"{wanted:.0%} precision"] = int(fits[-1])
    found: dict[float, list[str]] = {}
    for name, place in places.items():
        found.setdefault(_short(lower[place], ranked[place]), []).append(name)
    return {threshold: ", ".join(names) for threshold, names in found.items()}


def _short(lower: float, upper: float) -> float:
    """The number with the fewest digits above `lower` and up to `upper`."""
    for digits in range(1, 17):
        middle = round(float(lower + upper) / 2, digits)
        if lower < middle <= upper:
            return middle
    return float(upper)


def thinned(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> list[list[float]]:
    """Up to `most` of the points of a curve, its ends among them, evenly along its way.

    Args:
        x: float[N], in the order of the curve.
        y: float[N].
        most: at least 2.
    """
    way = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
    kept: Iterable[int] = range(len(way))
    if len(way) > most:
        kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], most)).clip(0, len(way) - 1))
        kept = np.unique(np.r_[0, kept[1:-1], len(way) - 1]).tolist()
    return [[round(float(x[place]), 4), round(float(y[place]), 4)] for place in kept]


def area(labels: np.ndarray, stated: np.ndarray) -> float:
    """The area under the ROC curve, 0..1, of rows of both classes; .5 is chance."""
    return float(metrics.roc_auc_score(labels, stated))


def area_resamples(
    labels: np.ndarray, stated: np.ndarray, *, seed: int, num_resamples: int
) -> np.ndarray:
    """float64[R]: the area under the ROC curve in resamples of the rows.

    It is the share of pairs of a positive and a negative row that are in the right order, where a tie
    counts half: Hanley & McNeil 1982, Radiology 143. A resample without one of the classes is NaN.

    Args:
        labels: int[N], 1 for the positive class.
        stated: float[N].
        seed: of the resampling.
        num_resamples: R.
    """
    order = np.argsort(stated, kind="stable")
    ranked, is_positive = stated[order], labels[order, None] == 1
    starts = np.flatnonzero(np.r_[True, ranked[1:] > ranked[:-1]])
    rng, parts = np.random.default_rng(seed), []
    for drawn in bootstrap.counts(rng, len(labels), num_resamples):
        drawn = drawn[order]
        above = np.add.reduceat(drawn * is_positive, starts)
        below = np.add.reduceat(drawn * ~is_positive, starts)
        before = np.cumsum(below, axis=0) - below / 2
        pairs = above.sum(axis=0) * below.sum(axis=0)
        parts.append(
            np.where(pairs > 0, (above * before).sum(axis=0) / np.maximum(pairs, 1), np.nan)
        )
    return np.concatenate(parts)


def area_interval(labels: np.ndarray, stated: np.ndarray) -> list[float]:
    """[low, high] of the area under the ROC curve, as Wilson's interval is of a share.

    Newcombe 2006, Statistics in Medicine 25, 559, method 5: the areas t whose distance from the
    measured one is at most z V(t), with V(t)^2 = t (1 - t) [1 + N (1 - t) / (2 - t) + N t / (1 + t)]
    / (m n), N = (m + n) / 2 - 1, for m positive and n negative rows. In simulations with areas of .76
    to .98 and 30 to 100 positive rows it holds the true value in 96 to 98 of 100 samples, and the
    percentile interval of the bootstrap in 83 to 96.

    Args:
        labels: int[N], 1 for the positive class; both classes occur.
        stated: float[N].
    """
    measured, num_positive = area(labels, stated), int((np.asarray(labels) == 1).sum())
    num_negative = len(labels) - num_positive
    half, z = (num_positive + num_negative) / 2 - 1, stats.norm.ppf((1 + bootstrap.CONFIDENCE) / 2)

    def excess(true: float) -> float:
        factor = 1 + half * (1 - true) / (2 - true) + half * true / (1 + true)
        deviation = np.sqrt(true * (1 - true) * factor / (num_positive * num_negative))
        return float(abs(measured - true) - z * deviation)

    ends = 1e-9, 1 - 1e-9  # at 0 and 1 themselves the deviation is 0
    middle = min(max(measured, ends[0]), ends[1])
    low = optimize.brentq(excess, ends[0], middle) if excess(ends[0]) > 0 else 0.0
    high = optimize.brentq(excess, middle, ends[1]) if excess(ends[1]) > 0 else 1.0
    return [float(low), float(high)]
