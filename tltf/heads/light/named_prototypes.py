"""Class prototypes that start from vectors of the classes' names and move towards their examples."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tltf.heads.light.light_model import SHORTEST, Family, FrozenRows, LightModel, Linear


@dataclasses.dataclass(frozen=True)
class NamedPrototypes(Family):
    """The class whose prototype has the largest cosine with a row; linear in its features.

    With x' the unit vector of x - c, n_c the number of examples of a class and v_c the unit vector of
    its name, the prototype is the unit vector of

        p_c = (w v_c + sum of x' over its examples) / (w + n_c),

    w the number of examples that the name counts as: the mean of a Gaussian posterior whose prior has
    the mean v_c and 1 / w of the variance of an example. The logits are (x - c) . p_c, whose order
    is that of the cosines. A class without examples keeps its name.

    Args:
        vectors: float[C, d], unit vectors of the names.
        weights: the w that are tried; infinity for the names alone.
        is_centered: whether c is the mean of the rows, whatever their labels, and not 0.
    """

    vectors: np.ndarray
    weights: tuple[float, ...]
    is_centered: bool

    name = "label names"
    takes_absent_classes = True

    def settings(self, num_rows: int, num_classes: int) -> Sequence[float]:
        """The weights of the names."""
        return self.weights

    def solve(self, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
        """A model for each weight of the names."""
        features = np.asarray(rows.features, np.float64)
        weights = rows.weights / rows.weights.mean()
        center = np.zeros(features.shape[1])
        if self.is_centered:
            center = weights @ features / weights.sum()
        parts = rows.targets * weights[:, None]
        sums, counts = parts.T @ unit_rows(features - center), parts.sum(axis=0)[:, None]
        found = list[LightModel]()
        for setting in settings:
            if math.isinf(setting):
                means = self.vectors
            else:  # a class without examples has its name, also where names count as nothing
                own = np.where(counts, setting, 1.0)
                means = unit_rows((own * self.vectors + sums) / (own + counts))
            bias = -means @ center
            found.append(Linear(means.T.astype(np.float32), bias.astype(np.float32)))
        return found

    def text(self, setting: float) -> str:
        """What a name counts as."""
        return "alone" if math.isinf(setting) else f"worth {setting:g} examples"


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """float64[N, d]: each row divided by its length."""
    rows = np.asarray(rows, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: np.ndarray = rows / np.maximum(lengths, SHORTEST)
    return found
