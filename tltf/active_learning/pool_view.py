"""The rows of a pool as a query strategy sees them."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class PoolView:
    """The rows that may be asked for, and what is known so far.

    Args:
        features: float32[N, d], the rows without a label.
        known: float32[L, d], the rows whose label is known; L may be 0.
        known_labels: int64[L], places of their classes, 0..C - 1.
        probabilities_of: float[M, d] features -> float64[M, C], what the head of this round says.
        random: the generator of the round, for strategies that draw.
    """

    features: np.ndarray
    known: np.ndarray
    known_labels: np.ndarray
    probabilities_of: Callable[[np.ndarray], np.ndarray]
    random: np.random.Generator

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """float64[N, C]: what the head says of the rows without a label."""
        return np.asarray(self.probabilities_of(self.features), np.float64)
