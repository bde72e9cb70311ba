"""The accuracy of a model by the number of its training rows: a power law, and what twice the rows are worth.

The law is a - b n^-c, as measured for many data sets and models: Figueroa et al. 2012, BMC Med. Inform. Decis. Mak.
12:8; Hestness et al. 2017, arXiv:1712.00409. Extrapolations of it are the less sure the further they go: Mahmood et
al. 2022, arXiv:2207.01725.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

FEWEST_SIZES = 4
"""Sizes below which a law of three numbers is not fitted."""
WIDEST = 0.1
"""The width of the interval of a gain, as accuracy, above which the rows are too few to tell."""
NUM_DRAWS = 500
"""How often the law is fitted to accuracies that are drawn anew, for intervals."""
LEVEL = 0.9
"""The share of these draws that an interval holds."""
EXPONENTS = np.geomspace(0.05, 2.0, 38)
USUAL_EXPONENT, SPREAD = 0.5, 0.7
"""An exponent is held near the first with the second as the standard deviation of its logarithm: a handful of noisy points
say little about it, and most that Hestness et al. report lie between 0.07 and 0.5, simpler models near 0.5."""

MISFIT = 0.02
"""How far, as accuracy, the law may be off per halving below the most rows, beside the errors of the points: without it the
intervals of tools/learning_curves.py held 2 of 8 foretold accuracies of its seed 0, with it all; its seed 1 is in the guide."""


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """What a model reaches with some number of training rows.

    Args:
        num_rows: that it was trained on.
        accuracies: 0..1, one for each subset of so many rows, on rows outside of it.
        num_judged: rows on which each was judged.
    """

    num_rows: int
    accuracies: tuple[float, ...]
    num_judged: int

    @property
    def mean(self) -> float:
        """The mean over the subsets."""
        return float(np.mean(self.accuracies))

    @property
    def error(self) -> float:
        """The standard error of the mean: by the subsets, and no less than half of a binomial one."""
        count = len(self.accuracies)
        between = float(np.std(self.accuracies, ddof=1)) / count**0.5 if count > 1 else 0.0
        judged = count * self.num_judged
        share = (self.mean * judged + 1) / (judged + 2)
        return max(between, (share * (1 - share) / judged) ** 0.5 / 2)


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """Accuracy = limit - height * rows^-exponent.

    Args:
        limit: 0..1, the accuracy with any number of rows.
        height: 0 or more.
        exponent: above 0.
    """

    limit: float
    height: float
    exponent: float

    def at(self, num_rows: float) -> float:
        """The accuracy with so many rows."""
        return self.limit - self.height * float(num_rows) ** -self.exponent


@dataclasses.dataclass(frozen=True)
class Expected:
    """A number that was extrapolated.

    Args:
        value: of the fitted law.
        low: of the interval of LEVEL.
        high: likewise.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """Measured points with the law that was fitted to them.

    Args:
        points: with a rising number of rows.
        law: None where there are too few points.
        draws: laws that were fitted to points drawn from their errors; () without a law.
    """

    points: tuple[CurvePoint, ...]
    law: PowerLaw | None = None
    draws: tuple[PowerLaw, ...] = ()

    def accuracy(self, num_rows: float) -> Expected | None:
        """The accuracy with so many rows; None without a law."""
        return self._expected(lambda law: law.at(num_rows))

    def doubling_gain(self, num_rows: float) -> Expected | None:
        """How much the accuracy rises from so many rows to twice as many.

        None where there are too few rows to tell: too few points for a law, or an interval wider than WIDEST.
        """
        found = self._expected(lambda law: law.at(2 * num_rows) - law.at(num_rows))
        return found if found and found.high - found.low <= WIDEST else None

    def _expected(self, value_of: Callable[[PowerLaw], float]) -> Expected | None:
        if self.law is None:
            return None
        values = [float(value_of(law)) for law in self.draws]
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Expected(float(value_of(self.law)), float(low), float(high))


def fit_curve(points: Sequence[CurvePoint], seed: int = 0) -> LearningCurve:
    """The LearningCurve of some points.

    Args:
        points: with different numbers of rows.
        seed: of the draws for intervals.
    """
    given = tuple(sorted(points, key=lambda point: point.num_rows))
    if len(given) < FEWEST_SIZES:
        return LearningCurve(given)
    sizes = np.array([point.num_rows for point in given], np.float64)
    means = np.array([point.mean for point in given])
    errors = np.maximum([point.error for point in given], 1e-4)
    errors = np.hypot(errors, MISFIT * np.log2(sizes[-1] / sizes))
    noise = np.random.default_rng(seed).normal(size=(NUM_DRAWS, len(given)))
    drawn = np.clip(means + noise * errors, 0.0, 1.0)
    law, *draws = fit_laws(sizes, np.vstack([means, drawn]), errors)
    return LearningCurve(given, law, tuple(draws))


def fit_laws(sizes: np.ndarray, accuracies: np.ndarray, errors: np.ndarray) -> list[PowerLaw]:
    """The law of each row of accuracies: weighted least squares for each exponent, of which the best is taken.

    Args:
        sizes: float64[S], numbers of rows.
        accuracies: float64[R, S].
        errors: float64[S], standard errors of the accuracies, above 0; their inverse squares are the weights.
    """
    weights = errors**-2
    best = np.full(len(accuracies), np.inf)
    found = np.zeros((len(accuracies), 3))
    for exponent in EXPONENTS:
        falls = sizes**-exponent
        limit, height = _two_numbers(falls, accuracies, weights)
        residuals = accuracies - (limit[:, None] - height[:, None] * falls)
        cost = (weights * residuals**2).sum(axis=1)
        cost = cost + (np.log(exponent / USUAL_EXPONENT) / SPREAD) ** 2
        is_better = cost < best
        best = np.where(is_better, cost, best)
        found[is_better] = np.stack([limit, height, np.full_like(limit, exponent)], 1)[is_better]
    return [PowerLaw(*map(float, row)) for row in found]


def _two_numbers(
    falls: np.ndarray, accuracies: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`(limit, height)`, float64[R] each, of the least squares with height >= 0 and limit <= 1."""
    total = weights.sum()
    mean_fall, means = weights @ falls / total, accuracies @ weights / total
    centred = falls - mean_fall
    height = -(accuracies @ (weights * centred)) / (weights @ centred**2)
    height = np.maximum(height, 0.0)
    limit = means + height * mean_fall
    at_most = ((1 - accuracies) @ (weights * falls)) / (weights @ falls**2)
    is_above = limit > 1
    return np.where(is_above, 1.0, limit), np.where(is_above, np.maximum(at_most, 0), height)
