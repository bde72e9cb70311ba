"""The inputs of the convex problem: features that are standardised once, or block by block from a file."""

import numpy as np
from scipy import linalg

from tltf.heads.solving import weighted_examples as examples

_DEAD = 1e-5
"""A feature counts as switched off if it varies by less than this share of the median deviation."""


class StandardInputs:
    """Standardised features of the examples that are kept, reduced to their span.

    Features in memory are standardised once, into 8 * N * min(N, d) bytes, and are one part. Those
    of a numpy.memmap with N of at least d stay where they are and have a part for each few thousand
    rows, which is standardised whenever it is read: sums over the parts then differ from
    the others in the rounding, and in nothing else.

    Args:
        features: float[N, d] of any precision.
        keep: int64[M], the rows that are kept.
        weights: float64[M], which sum to 1.
        power: features are divided by this power of their deviation, see `scales`.

    Attributes:
        shape: (M, r); r is d, or M where that is less.
        mean: float64[d], weighted.
        scale: float64[d]: what features are divided by; with a power of 1 their weighted deviation, 1 where
            one is constant.
        basis: float64[d, r] of the span; None where r is d.
        parts: slices that cover the M rows.
    """

    def __init__(
        self, features: np.ndarray, keep: np.ndarray, weights: np.ndarray, power: float = 1.0
    ) -> None:
        self._features, self._keep = features, keep
        self.mean, deviation = moments(features, keep, weights)
        self.scale = scales(deviation, power)
        self.basis: np.ndarray | None = None
        self._array: np.ndarray | None = None
        self.shape: tuple[int, int] = (len(keep), features.shape[1])
        self.parts = examples.blocks(len(keep))
        if isinstance(features, np.memmap) and self.shape[1] <= self.shape[0]:
            most = min(self.shape[0], max(part.stop - part.start for part in self.parts))
            self._raw = np.empty((most, self.shape[1]), features.dtype)
            self._block = np.empty((most, self.shape[1]))
            return
        inputs = np.empty(self.shape)
        for part in self.parts:
            rows = np.asarray(features[keep[part]], np.float64)
            inputs[part] = (rows - self.mean) / self.scale
        self._array, self.basis = _reduced(inputs)
        self.parts, self.shape = [slice(None)], self._array.shape

    def __getitem__(self, part: slice) -> np.ndarray:
        """float64[B, r], the inputs of one of `parts`; the next call may overwrite them."""
        if self._array is not None:
            return self._array[part]
        rows = self._keep[part]  # in arrays that are there already: new ones take twice the time
        raw = np.take(self._features, rows, axis=0, out=self._raw[: len(rows)], mode="clip")
        block = np.subtract(raw, self.mean, out=self._block[: len(rows)])
        return np.divide(block, self.scale, out=block)


def moments(
    features: np.ndarray, keep: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """float64[d] weighted mean, and deviation: 0 where a feature is constant but for rounding.

    The deviation is 0 too where it is less than _DEAD times the median deviation: the network has
    switched such a feature off, which has a scale of 1e-8, say. If it were standardised it would get
    weights of 1e6, with which fine-tuning cannot go on.
    """
    mean = sum(
        weights[part] @ features[keep[part]].astype(np.float64)
        for part in examples.blocks(len(keep))
    )
    square = sum(
        weights[part] @ (features[keep[part]].astype(np.float64) - mean) ** 2
        for part in examples.blocks(len(keep))
    )
    deviation = np.sqrt(square)
    varied = deviation[deviation > 0]
    dead = _DEAD * np.median(varied) if varied.size else 0.0
    is_constant = deviation <= np.maximum(np.maximum(1e-7 * np.abs(mean), 1e-20), dead)
    return mean, np.where(is_constant, 0.0, deviation)


def scales(deviation: np.ndarray, power: float = 1.0) -> np.ndarray:
    """float64[d]: what features of float64[d] deviations are divided by; 1 where the deviation is 0.

    A power of 1 standardises each feature. Of 1/2 it is Pareto scaling, van den Berg et al. 2006,
    doi:10.1186/1471-2164-7-142, table 1: features that vary more stay larger, so that a penalty on their weights is
    weaker. The mean square of all is 1 with any power, so that one penalty means the same.
    """
    varied = deviation > 0
    spread = deviation[varied] ** (2 - 2 * power)
    factor = np.sqrt(spread.mean()) if varied.any() else 1.0
    return np.where(varied, deviation**power * factor, 1.0)


def _reduced(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """`(inputs[N, r], basis[d, r])`; the inputs as they are and None unless d is larger than N."""
    if inputs.shape[1] <= len(inputs):
        return inputs, None
    basis, upper = linalg.qr(inputs.T, mode="economic", overwrite_a=True, check_finite=False)
    return np.ascontiguousarray(upper.T), basis
