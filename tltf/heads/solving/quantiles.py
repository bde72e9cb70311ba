"""The convex problem of a linear probe for numbers: smoothed quantile regression solved to convergence.

The objective is the weighted mean over examples and levels t of t e + h log(1 + exp(-e / h)), plus
`penalty / 2 * ||W||^2` on standardised features; e is the number less the quantile. That is the pinball
loss convolved with a logistic density of scale h: Fernandes, Guerre & Horta 2021, Journal of Business &
Economic Statistics 39, section 2.1; He, Pan, Tan & Zhou 2023, Journal of Econometrics 232. A path of
penalties goes from strong to weak, and validation chooses among them, as in `convex`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import linalg, optimize, special

from tltf.data import blas_threads, hold_out
from tltf.errors import DataError
from tltf.heads.solving.convex import Solution, Weights
from tltf.heads.solving.standard_inputs import StandardInputs

BANDWIDTH = 0.1
"""h, in the unit of the aims, of which the numbers of the training split have a deviation of 1."""
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
TOLERANCE = 1e-5
"""The largest norm of the gradient at a solution, in coordinates in which the Hessian is near the identity."""
_MAX_ITERATIONS = 1000


@dataclasses.dataclass(frozen=True)
class Aims:
    """Examples of numbers.

    Args:
        features: float[N, d].
        numbers: float64[N], as the logits have them: without their centre, in units of their scale.
        weights: float64[N], 0 or more.
    """

    features: np.ndarray
    numbers: np.ndarray
    weights: np.ndarray

    def take(self, rows: np.ndarray) -> "Aims":
        """The examples of some rows, int[M]."""
        return Aims(self.features[rows], self.numbers[rows], self.weights[rows])


def path(
    given: Aims,
    levels: Sequence[float],
    validation: Aims | None = None,
    *,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Solution:
    """Solves for each penalty and keeps the solution that is best on validation.

    The best one has the smallest absolute error of the median; a tie is decided by the lower pinball
    loss.

    Args:
        given: the training examples; those with the weight 0 are left out.
        levels: Q levels of quantiles, .5 among them.
        validation: None holds a fifth of the examples back for the choice and then solves on all.
        penalties: each above 0.
        seed: of the draw of what is held back.
        groups: int[N]; rows with the same number are held back together.

    Returns:
        A Solution of Q columns; its rows have `loss`, `mean_absolute_error` and the same with `val_`, both
        in the unit of the numbers.

    Raises:
        DataError: there are too few examples to hold some back.
    """
    kept = np.flatnonzero(given.weights)
    given, groups = given.take(kept), None if groups is None else groups[kept]
    fitted = given
    if validation is None:
        is_held = hold_out.held_groups(np.zeros(len(kept), np.int64), groups, seed)
        if not is_held.any() or is_held.all():
            what = (
                f"{len(kept)} training examples are too few to choose a penalty on a fifth of them"
            )
            raise DataError(what, flag="split", fix="give a validation split")
        fitted, validation = (given.take(np.flatnonzero(rows)) for rows in (~is_held, is_held))
    with blas_threads.limit_threads(given.features.size):
        problem, tried = _Problem(fitted, levels), []
        start: Weights | None = None
        for penalty in sorted(penalties, reverse=True):
            start, steps, has_converged = problem.solve(penalty, start)
            weights = problem.unfold(start)
            row = {
                "penalty": penalty,
                **_judge(weights, fitted, levels, ""),
                **_judge(weights, validation, levels, "val_"),
                "num_iterations": steps,
                "has_converged": has_converged,
            }
            tried.append((row, weights))
        row, weights = min(tried, key=lambda one: _rank(one[0]))
        is_solved = bool(row["has_converged"])
        if fitted is not given:
            problem = _Problem(given, levels)
            found, _, is_solved = problem.solve(row["penalty"], problem.fold(weights))
            weights = problem.unfold(found)
    return Solution(*weights, row["penalty"], tuple(row for row, _ in tried), is_solved)


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    return row["val_mean_absolute_error"], row["val_loss"]


class _Problem:
    """The objective on standardised features, reduced to the span of the examples.

    Args:
        given: examples whose weights are above 0.
        levels: of the quantiles.
    """

    def __init__(self, given: Aims, levels: Sequence[float]) -> None:
        self.levels = np.array(levels)[:, None]
        self.weights = given.weights / given.weights.sum()
        self.numbers = given.numbers
        self.inputs = StandardInputs(given.features, np.arange(len(given.numbers)), self.weights)
        width = self.inputs.shape[1]
        self.gram = np.zeros((width, width))
        for part in self.inputs.parts:
            rows = self.inputs[part] * np.sqrt(self.weights[part, None])
            self.gram += rows.T @ rows

    def value(self, kernel: np.ndarray, bias: np.ndarray, penalty: float) -> tuple[float, Weights]:
        """`(objective, gradients by the kernel [Q, r] and by the bias [Q])`."""
        value, by_kernel = penalty / 2 * (kernel**2).sum(), penalty * kernel
        by_bias, count = np.zeros(len(bias)), len(self.levels)
        for part in self.inputs.parts:
            inputs, weights = self.inputs[part], self.weights[part] / count
            gaps = self.numbers[part] - kernel @ inputs.T - bias[:, None]
            value += (weights * (self.levels * gaps + _softplus(-gaps))).sum()
            slopes = weights * (special.expit(-gaps / BANDWIDTH) - self.levels)
            by_kernel += slopes @ inputs
            by_bias += slopes.sum(1)
        return value, (by_kernel, by_bias)

    def solve(self, penalty: float, start: Weights | None) -> tuple[Weights, int, bool]:
        """`((kernel[Q, r], bias[Q]), iterations, whether it has converged)` of one penalty."""
        count, width = len(self.levels), self.inputs.shape[1]
        if start is None:
            center = np.quantile(self.numbers, self.levels[:, 0])
            start = np.zeros((count, width)), center
        density = 0.3 / count  # about the mean curvature of the loss by a quantile near its place
        matrix = density * self.gram + penalty * np.eye(width)
        lower, scale = linalg.cholesky(matrix, lower=True), np.sqrt(density)

        def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
            value, (by_kernel, by_bias) = self.value(*unflatten(flat), penalty)
            turned = linalg.solve_triangular(lower, by_kernel.T, lower=True).T
            return value, np.concatenate([turned.ravel(), by_bias / scale])

        def unflatten(flat: np.ndarray) -> Weights:
            kernel, bias = flat[:-count].reshape(count, width), flat[-count:] / scale
            return linalg.solve_triangular(lower, kernel.T, lower=True, trans="T").T, bias

        first = np.concatenate([(start[0] @ lower).ravel(), start[1] * scale])
        options = {"maxiter": _MAX_ITERATIONS, "ftol": 0, "gtol": TOLERANCE / np.sqrt(len(first))}
        found = optimize.minimize(evaluate, first, jac=True, method="L-BFGS-B", options=options)
        has_converged = bool(np.linalg.norm(found.jac) <= 10 * TOLERANCE)
        return unflatten(found.x), int(found.nit), has_converged

    def unfold(self, found: Weights) -> Weights:
        """`(float32[d, Q], float32[Q])`: the weights for features as they are."""
        kernel, bias = found
        kernel = kernel if self.inputs.basis is None else kernel @ self.inputs.basis.T
        kernel = kernel.T / self.inputs.scale[:, None]
        return kernel.astype(np.float32), (bias - self.inputs.mean @ kernel).astype(np.float32)

    def fold(self, weights: Weights) -> Weights:
        """Weights for features as they are, turned into the coordinates of the problem."""
        kernel, bias = (np.asarray(part, np.float64) for part in weights)
        bias, kernel = bias + self.inputs.mean @ kernel, kernel.T * self.inputs.scale
        return kernel if self.inputs.basis is None else kernel @ self.inputs.basis, bias


def _softplus(values: np.ndarray) -> np.ndarray:
    """h log(1 + exp(v / h))."""
    return BANDWIDTH * np.logaddexp(0.0, values / BANDWIDTH)


def _judge(weights: Weights, given: Aims, levels: Sequence[float], prefix: str) -> dict[str, float]:
    """The pinball loss and the mean absolute error of the median, by name."""
    kernel, bias = weights
    found = np.sort(np.asarray(given.features, np.float32) @ kernel + bias, axis=1)
    gaps = given.numbers[:, None] - found
    steps = np.array(levels)
    loss = np.maximum(steps * gaps, (steps - 1) * gaps).mean()
    error = np.abs(gaps[:, list(levels).index(0.5)]).mean()
    return {f"{prefix}loss": float(loss), f"{prefix}mean_absolute_error": float(error)}
