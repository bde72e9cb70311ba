"""Families whose models are linear in the features, each with its solution in closed form or convex."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from scipy import linalg

from tltf.data import blas_threads
from tltf.heads.light.light_model import (
    Family,
    FrozenRows,
    LightModel,
    Linear,
    Neighbors,
    Standardised,
)
from tltf.heads.solving import convex


class Logistic(Family):
    """Multinomial logistic regression with an L2 penalty, see `convex`."""

    name = "logistic"
    is_steady = True
    power: ClassVar[float] = 1.0
    """Features are divided by this power of their deviation, see `standard_inputs.scales`."""

    def settings(self, num_rows: int, num_classes: int) -> Sequence[float]:
        """Penalties, strong to weak."""
        return (30.0, 10.0, *convex.PENALTIES)

    def solve(self, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
        """A model for each penalty."""
        found = convex.solutions(
            rows.features,
            rows.targets,
            weights=rows.weights,
            penalties=settings,
            power=self.power,
        )
        return [Linear(kernel, bias) for kernel, bias in found]

    def text(self, setting: float) -> str:
        """The penalty."""
        return f"penalty {setting:g}"


class ParetoLogistic(Logistic):
    """Logistic regression on features that are divided by the root of their deviation.

    On data unlike its own, the features of a network that vary most are often the useful ones; here their weights are
    penalised less than those of features that hardly vary (docs/measured.md).
    """

    name = "pareto_logistic"
    power = 0.5


class Ridge(Family):
    """Least squares on the classes as 0 and 1, with an L2 penalty on standardised features.

    W = (X^T D X + p I)^-1 X^T D (Y - m), D the weights, which sum to 1, m the mean of Y: Hoerl &
    Kennard 1970, eq. 2.1. Its logits are no log probabilities until they are scaled.
    """

    name = "ridge"

    def settings(self, num_rows: int, num_classes: int) -> Sequence[float]:
        """Penalties, strong to weak."""
        return (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)

    def solve(self, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
        """A model for each penalty, by one eigenvalue decomposition."""
        given = rows.standardised
        with blas_threads.limit_threads(given.inputs.size):
            weighted = given.inputs * given.weights[:, None]
            values, vectors = linalg.eigh(weighted.T @ given.inputs, check_finite=False)
            mean = given.weights @ given.targets
            turned = vectors.T @ (weighted.T @ (given.targets - mean))
            values = np.maximum(values, 0.0)[:, None]
            return [
                given.linear(vectors @ (turned / (values + penalty)), mean) for penalty in settings
            ]

    def text(self, setting: float) -> str:
        """The penalty."""
        return f"penalty {setting:g}"


class ClassMeans(Family):
    """The nearest class mean, by the distance of standardised features or by the cosine of centered ones.

    By distance the logits are x . m - |m|^2 / 2: Snell et al. 2017, arXiv:1703.05175, eq. 2, of which
    |x|^2 / 2 is the same for every class: the prototypes of few-shot learning, without a network that
    is trained for them. By cosine they are cos(x - c, m - c) / SHARPNESS, with c the mean of the classes'
    means and no feature scaled: with a few rows, deviations that are guessed from them do harm.
    """

    name = "class_means"
    _BY_DISTANCE, _BY_COSINE = 0.0, 1.0

    def settings(self, num_rows: int, num_classes: int) -> Sequence[float]:
        """By distance, and by cosine."""
        return (self._BY_DISTANCE, self._BY_COSINE)

    def solve(self, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
        """A model for each setting."""
        return [self._by_cosine(rows) if s else self._by_distance(rows) for s in settings]

    def _by_distance(self, rows: FrozenRows) -> Linear:
        given = rows.standardised
        means = means_of_classes(given)
        return given.linear(means.T, -0.5 * (means**2).sum(axis=1))

    def _by_cosine(self, rows: FrozenRows) -> Neighbors:
        """Its stored examples are the means, one for each class, all of which are counted."""
        parts = rows.targets * rows.weights[:, None]
        means = (parts.T @ np.asarray(rows.features, np.float64)) / parts.sum(axis=0)[:, None]
        return Neighbors.of(means, np.eye(len(means)), len(means))

    def text(self, setting: float) -> str:
        """How near is measured."""
        return "by cosine" if setting else "by distance"


class ShrunkDiscriminant(Family):
    """Linear discriminant analysis with a covariance that is shrunk towards a multiple of 1.

    S_a = (1 - a) S + a tr(S) / d I, logits x S_a^-1 m - m S_a^-1 m / 2 + log share: Friedman 1989,
    J. Am. Stat. Assoc. 84, eq. 18 with lambda = 1, S the covariance within classes. Departs: the
    features are standardised, and the share of a class is the weight of its rows.
    """

    name = "discriminant"

    def settings(self, num_rows: int, num_classes: int) -> Sequence[float]:
        """Shares of the multiple of 1, strong to weak."""
        return (0.9, 0.7, 0.5, 0.3, 0.1, 0.03, 0.01)

    def solve(self, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
        """A model for each share, by one eigenvalue decomposition."""
        given = rows.standardised
        means, shares = means_of_classes(given), given.weights @ given.targets
        with blas_threads.limit_threads(given.inputs.size):
            weighted = given.inputs * given.weights[:, None]
            within = weighted.T @ given.inputs - (means * shares[:, None]).T @ means
            values, vectors = linalg.eigh(within, check_finite=False)
            values = np.maximum(values, 0.0)
            width = len(given.given.mean)  # S is 0 outside the span of the examples
            turned, found = vectors.T @ means.T, list[LightModel]()
            for share in settings:
                kept = (1 - share) * values + share * values.sum() / width
                kernel = vectors @ (turned / np.maximum(kept, 1e-12)[:, None])
                bias = np.log(shares) - 0.5 * (kernel * means.T).sum(axis=0)
                found.append(given.linear(kernel, bias))
            return found

    def text(self, setting: float) -> str:
        """The share."""
        return f"shrinkage {setting:g}"


def means_of_classes(given: Standardised) -> np.ndarray:
    """float64[C, r]: the weighted mean of each class."""
    parts = given.targets * given.weights[:, None]
    means: np.ndarray = (parts.T @ given.inputs) / parts.sum(axis=0)[:, None]
    return means
