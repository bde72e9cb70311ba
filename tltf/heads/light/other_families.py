"""Families that are not linear in the features: the nearest examples, and one hidden layer."""

from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

from tltf.data import blas_threads
from tltf.heads.light.light_model import (
    Family,
    FrozenRows,
    LightModel,
    Linear,
    Neighbors,
    Perceptron,
    Standardised,
)


class NearestExamples(Family):
    """The shares of the classes among the nearest training examples, see `Neighbors`.

    Cover & Hart 1967, IEEE Trans. Inf. Theory 13(1), weighted by cosines after centering. Weights only say
    which rows are stored. Beside the other families it is tried from 300 rows on: with fewer it was chosen too often.
    """

    name = "neighbors"
    least_beside_others = 300
    most_rows = 5000
    """Rows above which it is not tried: all of them would be in the model."""

    def settings(self, num_rows: int, num_classes: int) -> Sequence[float]:
        """Numbers of neighbours."""
        if num_rows > self.most_rows:
            return ()
        return tuple(count for count in (1, 3, 5, 10, 20) if 2 * count <= num_rows)

    def solve(self, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
        """A model for each number of neighbours; all share the stored examples."""
        kept = rows.take(np.flatnonzero(rows.weights))
        features = np.asarray(kept.features, np.float32)
        return [Neighbors.of(features, kept.targets, int(count)) for count in settings]

    def text(self, setting: float) -> str:
        """The number of neighbours."""
        return f"{setting:g} nearest"


class HiddenLayer(Family):
    """One hidden layer of rectified units on standardised features, fitted by L-BFGS.

    The objective is that of `convex` with the L2 penalty on both kernels. The first kernel starts as in He et
    al. 2015, arXiv:1502.01852, section 2.2, from the same numbers each time.

    Args:
        units: of the hidden layer.
        least_rows: rows below which it is not tried: it has more numbers than any linear family.
    """

    name = "hidden_layer"
    most_iterations = 100

    def __init__(self, units: int = 64, least_rows: int = 200) -> None:
        self.units, self.least_rows = units, least_rows

    def settings(self, num_rows: int, num_classes: int) -> Sequence[float]:
        """Penalties."""
        return () if num_rows < self.least_rows else (0.03, 0.003)

    def solve(self, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
        """A model for each penalty."""
        given = rows.standardised
        with blas_threads.limit_threads(given.inputs.size):
            return [self._solve(given, penalty) for penalty in settings]

    def _solve(self, given: Standardised, penalty: float) -> Perceptron:
        width, num_classes = given.inputs.shape[1], given.targets.shape[1]
        shapes = [(width, self.units), (self.units,), (self.units, num_classes), (num_classes,)]
        random = np.random.default_rng(0)
        start = [np.zeros(shape) for shape in shapes]
        start[0] = random.normal(0, np.sqrt(2 / len(given.given.mean)), shapes[0])
        start[2] = random.normal(0, np.sqrt(1 / self.units), shapes[2])

        def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
            value, slopes = _objective(given, _split(flat, shapes), penalty)
            return value, np.concatenate([slope.ravel() for slope in slopes])

        first = np.concatenate([array.ravel() for array in start])
        options = {"maxiter": self.most_iterations}
        found = optimize.minimize(evaluate, first, jac=True, method="L-BFGS-B", options=options)
        kernel, bias, *above = _split(found.x, shapes)
        output = Linear(*(array.astype(np.float32) for array in above))
        return Perceptron(*given.to_features(kernel, bias), output)

    def text(self, setting: float) -> str:
        """The penalty."""
        return f"{self.units} units, penalty {setting:g}"


def _split(flat: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Arrays of these shapes, one behind the other in a flat one."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [
        part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)
    ]


def _objective(
    given: Standardised, arrays: Sequence[np.ndarray], penalty: float
) -> tuple[float, list[np.ndarray]]:
    """The weighted cross-entropy with the penalty, and its gradients by the four arrays."""
    kernel, bias, output, output_bias = arrays
    hidden = np.maximum(given.inputs @ kernel + bias, 0.0)
    stated = special.log_softmax(hidden @ output + output_bias, axis=1)
    value = -(given.weights * (given.targets * stated).sum(axis=1)).sum()
    value += penalty / 2 * ((kernel**2).sum() + (output**2).sum())
    slopes = given.weights[:, None] * (np.exp(stated) - given.targets)
    below = (slopes @ output.T) * (hidden > 0)
    return value, [
        given.inputs.T @ below + penalty * kernel,
        below.sum(axis=0),
        hidden.T @ slopes + penalty * output,
        slopes.sum(axis=0),
    ]
