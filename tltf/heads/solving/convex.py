"""The convex problem of a linear probe: multinomial logistic regression solved to convergence.

The objective is the weighted mean cross entropy plus `penalty / 2 * ||W||^2` on standardised
features; the bias is not penalised. A path of penalties goes from strong to weak, each solution is the
start of the next one, and validation chooses among them (`path`).

How the solver is made fast; numbers of evaluations are for a path of eight penalties to one tolerance:

- L-BFGS runs in coordinates in which the Hessian is near the identity: those of the Cholesky
  factor of `sum_i h_i z_i z_i^T + penalty`, h_i the mean curvature of example i's softmax where
  the step starts. On 3,000 x 1,280 features of an EfficientNet-Lite0 that takes 463 evaluations
  where plain L-BFGS takes 1,102, and on 2,000 x 384 features of MiniLM 63 instead of 400; a factor
  costs as much as about 15 evaluations.
- The products are in float64. In float32 each takes half the time, but the rounding makes
  line searches fail before the gradient is at 1e-4, which costs more than it saves.
- With more features than examples the solution lies in the span of the examples: a QR
  factorisation turns the problem, without loss, into one with as many features as examples.
  1,000 x 1,280 take half the time, 300 x 1,280 a sixteenth.
- BLAS gets one thread below 2^25 numbers: products this small gain little from a second one, and
  threads that wait for busy cores cost much (2,000 x 384 beside other work: 12 s instead of 1.2 s).
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import linalg, optimize, special

from tltf.data import blas_threads
from tltf.heads.solving import weighted_examples as examples
from tltf.heads.solving.standard_inputs import StandardInputs

PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Half decades around the best penalties on features of EfficientNet-Lite0 and MiniLM for 1,000 to 3,000
examples, .01 to .1. Weaker ones cost the most iterations and were worse on validation."""
TOLERANCE = 1e-5
"""The largest norm of the gradient at the returned solution, in the coordinates above. Half its
square is about as much as the objective lies above its minimum."""
_PATH_TOLERANCE = 3e-4
"""The same for the solutions that are compared: an objective within 1e-6 of its minimum."""
_MAX_ITERATIONS = 1000
_MAX_FACTORED = 4096


Examples = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(features, targets, weights), as `weighted_examples.check_examples` returns them."""
Weights = tuple[np.ndarray, np.ndarray]
"""(kernel, bias)."""


@dataclasses.dataclass(frozen=True)
class Solution:
    """A solved path; `features @ kernel + bias` are the logits.

    Args:
        kernel: float32[d, C], for features as they are: the standardisation is folded in.
        bias: float32[C].
        penalty: the penalty that was chosen.
        rows: one dict per penalty, strong to weak: penalty, loss and accuracy on the examples that
            it was fitted on (weighted mean cross entropy, without the penalty), val_loss and
            val_accuracy (None where nothing was chosen), num_iterations, has_converged. The chosen
            penalty's row is that of the returned weights, unless they were fitted again on all.
        has_converged: whether the returned weights reached `TOLERANCE`.
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: float
    rows: tuple
    has_converged: bool


def path(
    features: np.ndarray,
    targets: np.ndarray,
    validation: tuple[np.ndarray, ...] | None = None,
    *,
    weights: np.ndarray | None = None,
    penalties: Sequence[float] = PENALTIES,
    initial: tuple[np.ndarray, ...] | None = None,
    num_classes: int = 0,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Solution:
    """Solves for each penalty and keeps the solution that is best on validation.

    The best one has the highest accuracy; a tie is decided by the lower cross entropy, then by the
    stronger penalty. Weights act as repeated examples do, on mean and deviation of the features too. A
    class that no training example has gets a kernel of 0 and a bias with which its probability
    stays below 1 / N.

    Args:
        features: float[N, d] of any precision. What is held is a standardised copy of
            8 * N * min(N, d) bytes; but a numpy.memmap is read in blocks each time, and with N of
            at least d nothing of its size is held.
        targets: int[N] in 0..C-1, or float[N, C] of rows that sum to 1 (label smoothing).
        validation: `(float[M, d] features, int[M] labels)`; None holds a fifth of each class's
            examples back for the choice and then solves on all. One penalty needs no choice.
        weights: float[N], 0 or more; None gives all examples the same weight.
        penalties: each above 0, in any order.
        initial: `(float[d, C] kernel, float[C] bias)` to start from, as a Solution has them;
            it changes the time only.
        num_classes: C; 0 takes the largest label or the width of the soft targets.
        seed: seed of the draw of what is held back.
        groups: int[N]; rows with the same number are held back together, as copies of one row must be.

    Returns:
        Solution.

    Raises:
        DataError: there are no examples, labels or weights are out of range, all targets are the
            same, or there are too few examples to hold some back.
        ShapeError: features are not a matrix, or numbers of examples, features or classes differ.
        NumericError: a feature, a target or a weight is not finite.
        ValueError: there are no penalties, or one is not above 0.
    """
    penalties = sorted((float(penalty) for penalty in penalties), reverse=True)
    if not penalties or not penalties[-1] > 0:
        raise ValueError(f"penalties must be above 0 (received {penalties})")
    given, validation = examples.check_examples(
        (features, targets, weights), validation, num_classes
    )
    if initial is not None:
        examples.check_initial(initial, given)
    with blas_threads.limit_threads(given[0].size):
        return _path(given, validation, penalties, initial, seed, groups)


def solutions(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    penalties: Sequence[float] = PENALTIES,
    power: float = 1.0,
) -> list[Weights]:
    """`(kernel, bias)` of each penalty, in the order given, precise enough to be compared.

    See `path` for the arguments and the errors, and `standard_inputs.scales` for the power; a solution starts from that
    of the next stronger penalty.
    """
    given, _ = examples.check_examples((features, targets, weights), None, 0)
    found = dict[float, Weights]()
    with blas_threads.limit_threads(given[0].size):
        problem = _Problem(*given, power)
        start = problem.origin()
        for penalty in sorted(penalties, reverse=True):
            solved = _solve(problem, penalty, start, _PATH_TOLERANCE)
            start = solved.kernel, solved.bias
            found[penalty] = problem.unfold(*start)
    return [found[penalty] for penalty in penalties]


def _path(
    given: Examples,
    validation: tuple[np.ndarray, ...] | None,
    penalties: Sequence[float],
    initial: tuple[np.ndarray, ...] | None,
    seed: int,
    groups: np.ndarray | None,
) -> Solution:
    """The Solution of `path` for examples that have been checked."""
    fitted = given
    if validation is None and len(penalties) > 1:
        fitted, validation = examples.hold_back(given, seed, groups)
    problem = _Problem(*fitted)
    start = problem.fold(*initial) if initial is not None else problem.origin()
    candidates = []
    for penalty in penalties:
        found = _solve(problem, penalty, start, _PATH_TOLERANCE)
        start = found.kernel, found.bias
        candidates.append((found, _row(problem, found, validation)))
    found, row = max(candidates, key=_quality)
    rows = [row for _, row in candidates]
    start = found.kernel, found.bias
    if fitted is not given:
        raw, problem = problem.unfold(*start), _Problem(*given)
        start = problem.fold(*raw)
    best = _solve(problem, found.penalty, start, TOLERANCE)
    if fitted is given:
        num_iterations = row["num_iterations"] + best.num_iterations
        refined = _row(problem, best, validation) | {"num_iterations": num_iterations}
        rows[penalties.index(found.penalty)] = refined
    kernel, bias = problem.unfold(best.kernel, best.bias)
    return Solution(kernel, bias, best.penalty, tuple(rows), best.has_converged)


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """The solution of one penalty, in the coordinates of the problem."""

    penalty: float
    kernel: np.ndarray
    bias: np.ndarray
    num_iterations: int
    has_converged: bool


class _Problem:
    """The objective on standardised features, reduced to the span of the examples.

    Examples with the weight 0 and classes that no target has a share of are left out.

    Args:
        features: float[N, d].
        targets: float64[N, C].
        weights: float64[N]; only their proportions count.
        power: see `standard_inputs.scales`.
    """

    def __init__(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        power: float = 1.0,
    ) -> None:
        keep = np.flatnonzero(weights)
        self.num_classes, self.num_kept = targets.shape[1], len(keep)
        self.classes = np.flatnonzero(targets[keep].sum(0))
        self.weights = weights[keep] / weights[keep].sum()
        self.targets = np.ascontiguousarray(targets[keep][:, self.classes].T)
        self.inputs = StandardInputs(features, keep, self.weights, power)
        self.mean, self.scale = self.inputs.mean, self.inputs.scale
        self.basis = self.inputs.basis

    def origin(self) -> Weights:
        """`(kernel[K, r], bias[K])` of zeros; a row per class, the order in which BLAS is fastest."""
        return np.zeros((len(self.classes), self.inputs.shape[1])), np.zeros(len(self.classes))

    def passes(
        self, kernel: np.ndarray, bias: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """`(part, its inputs [B, r], its log probabilities [K, B])` of each part of the examples."""
        for part in self.inputs.parts:
            inputs = self.inputs[part]
            scores = kernel @ inputs.T + bias[:, None]
            yield part, inputs, special.log_softmax(scores, axis=0)

    def value(
        self, kernel: np.ndarray, bias: np.ndarray, penalty: float
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """`(objective, gradient by the kernel, gradient by the bias)`."""
        value, by_kernel = penalty / 2 * (kernel**2).sum(), penalty * kernel
        by_bias = np.zeros(len(self.classes))
        for part, inputs, stated in self.passes(kernel, bias):
            weights, targets = self.weights[part], self.targets[:, part]
            value -= (weights * (targets * stated).sum(0)).sum()
            slopes = weights * (np.exp(stated) - targets)
            by_kernel += slopes @ inputs
            by_bias += slopes.sum(1)
        return value, by_kernel, by_bias

    def fold(self, kernel: np.ndarray, bias: np.ndarray) -> Weights:
        """Weights for features as they are, turned into the coordinates of the problem."""
        kernel = np.asarray(kernel, np.float64)[:, self.classes]
        bias = np.asarray(bias, np.float64)[self.classes] + self.mean @ kernel
        kernel = kernel.T * self.scale
        return np.ascontiguousarray(kernel if self.basis is None else kernel @ self.basis), bias

    def unfold(self, kernel: np.ndarray, bias: np.ndarray) -> Weights:
        """`(float32[d, C], float32[C])`: the weights for features as they are.

        The mean over the classes is taken out, so that the largest logit is never below 0:
        against it a class without examples, at -log N, stays below 1 / N.
        """
        kernel = kernel if self.basis is None else kernel @ self.basis.T
        kernel = (kernel - kernel.mean(0)).T / self.scale[:, None]
        whole = np.zeros((len(kernel), self.num_classes))
        whole[:, self.classes] = kernel
        biases = np.full(self.num_classes, -np.log(self.num_kept))
        biases[self.classes] = bias - bias.mean() - self.mean @ kernel
        return whole.astype(np.float32), biases.astype(np.float32)


class _Coordinates:
    """Linear coordinates in which the Hessian at `start` is near the identity."""

    def __init__(self, problem: _Problem, penalty: float, start: Weights) -> None:
        self.shape = start[0].shape
        width = self.shape[1]
        matrix = np.zeros((width, width)) if width <= _MAX_FACTORED else None
        total = squares = 0.0
        for part, inputs, stated in problem.passes(*start):
            chances = np.exp(stated)
            curvatures = problem.weights[part] * (chances * (1 - chances)).mean(0)
            total += curvatures.sum()
            if matrix is None:
                squares += np.einsum("nd,nd,n->", inputs, inputs, curvatures)
                continue
            for block in examples.blocks(len(inputs)):
                rows = inputs[block] * np.sqrt(curvatures[block, None])
                matrix += rows.T @ rows
        self.bias_scale = np.sqrt(max(total, 1e-8))
        self.lower = None
        if matrix is None:
            self.scale = np.sqrt(squares / width + penalty)
            return
        matrix.flat[:: width + 1] += penalty
        self.lower = linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)

    def flatten(self, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """The flat vector of a kernel and a bias."""
        kernel = kernel * self.scale if self.lower is None else kernel @ self.lower
        return np.concatenate([kernel.ravel(), bias * self.bias_scale])

    def unflatten(self, flat: np.ndarray) -> Weights:
        """The kernel and the bias of a flat vector."""
        kernel, bias = np.split(flat, [-self.shape[0]])
        return self._divided(kernel.reshape(self.shape), is_transposed=True), bias / self.bias_scale

    def gradient(self, by_kernel: np.ndarray, by_bias: np.ndarray) -> np.ndarray:
        """The flat gradient, made from the gradients by the kernel and by the bias."""
        by_kernel = self._divided(by_kernel, is_transposed=False)
        return np.concatenate([by_kernel.ravel(), by_bias / self.bias_scale])

    def _divided(self, rows: np.ndarray, is_transposed: bool) -> np.ndarray:
        if self.lower is None:
            return rows / self.scale
        return linalg.blas.dtrsm(1.0, self.lower, rows.T, lower=1, trans_a=int(is_transposed)).T


def _solve(problem: _Problem, penalty: float, start: Weights, tolerance: float) -> _Candidate:
    """The _Candidate of one penalty, whose gradient has at most the norm `tolerance`."""
    coordinates = _Coordinates(problem, penalty, start)
    norm = np.inf

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal norm
        value, by_kernel, by_bias = problem.value(*coordinates.unflatten(flat), penalty)
        gradient = coordinates.gradient(by_kernel, by_bias)
        norm = np.sqrt(gradient @ gradient)
        return value, gradient

    def stop(intermediate_result: optimize.OptimizeResult) -> None:
        if norm <= tolerance:
            raise StopIteration

    options = {"maxiter": _MAX_ITERATIONS, "maxfun": 2 * _MAX_ITERATIONS, "ftol": 0, "gtol": 0}
    first = coordinates.flatten(*start)
    evaluate(first)
    if norm <= tolerance:
        return _Candidate(penalty, start[0], start[1], 0, True)
    result = optimize.minimize(
        evaluate, first, jac=True, method="L-BFGS-B", callback=stop, options=options
    )
    evaluate(result.x)
    kernel, bias = coordinates.unflatten(result.x)
    return _Candidate(penalty, kernel, bias, int(result.nit), bool(norm <= tolerance))


def _row(
    problem: _Problem, found: _Candidate, validation: tuple[np.ndarray, ...] | None
) -> dict[str, Any]:
    """The row of `Solution.rows` of a solution, as plain JSON."""
    loss, num_right = 0.0, 0
    for part, _, stated in problem.passes(found.kernel, found.bias):
        targets = problem.targets[:, part]
        loss -= (problem.weights[part] * (targets * stated).sum(0)).sum()
        num_right += int((stated.argmax(0) == targets.argmax(0)).sum())
    row = {
        "penalty": found.penalty,
        "loss": float(loss),
        "accuracy": num_right / len(problem.weights),
        "val_loss": None,
        "val_accuracy": None,
        "num_iterations": found.num_iterations,
        "has_converged": found.has_converged,
    }
    if validation is None:
        return row
    loss, accuracy = _judge(*problem.unfold(found.kernel, found.bias), *validation)
    return row | {"val_loss": loss, "val_accuracy": accuracy}


def _judge(
    kernel: np.ndarray,
    bias: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray | None = None,
) -> tuple[float, float]:
    """`(mean cross entropy, accuracy)` of the weights as they are returned, on `rows` of the features."""
    loss, num_right = 0.0, 0
    for part in examples.blocks(len(labels)):
        taken = features[part if rows is None else rows[part]]
        logits = np.asarray(taken, np.float32) @ kernel + bias
        stated = special.log_softmax(logits.astype(np.float64), axis=1)
        loss -= np.take_along_axis(stated, labels[part, None], 1).sum()
        num_right += int((logits.argmax(1) == labels[part]).sum())
    return float(loss / len(labels)), num_right / len(labels)


def _quality(candidate: tuple[_Candidate, dict[str, Any]]) -> tuple[float, float]:
    """The key by which solutions are compared; (0, 0) where there is no validation."""
    row = candidate[1]
    return (0, 0) if row["val_loss"] is None else (row["val_accuracy"], -row["val_loss"])
