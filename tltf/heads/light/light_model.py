"""The rows that light heads are fitted on, and the three kinds of models that they may be."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar, TypeAlias

import numpy as np
from scipy import special

from tltf.heads.solving.standard_inputs import StandardInputs

SHARPNESS = 0.07
"""What divides cosines before their softmax over the nearest examples."""
SHORTEST = 1e-6
"""The least length that a centered vector is divided by."""
SMALLEST_SHARE = 1e-3
"""What stands for the share of a class that none of the nearest examples has."""


@dataclasses.dataclass(frozen=True)
class FrozenRows:
    """Training rows as a frozen network gives them to a head.

    Args:
        features: float[N, d], finite; maybe a numpy.memmap.
        targets: float64[N, C], rows that sum to 1.
        weights: float64[N], 0 or more.
        groups: int[N], equal for rows that cross-validation keeps together; None where each is alone.
    """

    features: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    groups: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "FrozenRows":
        """Some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        return FrozenRows(self.features[rows], self.targets[rows], self.weights[rows], groups)

    @functools.cached_property
    def standardised(self) -> "Standardised":
        """The Standardised of the rows with a weight above 0, which several families take."""
        keep = np.flatnonzero(self.weights)
        weights = self.weights[keep] / self.weights[keep].sum()
        given = StandardInputs(np.asarray(self.features), keep, weights)
        return Standardised(given[slice(None)], self.targets[keep], weights, given)


@dataclasses.dataclass(frozen=True)
class Linear:
    """`features @ kernel + bias`.

    Args:
        kernel: float32[d, C].
        bias: float32[C].
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See LightModel."""
        return np.asarray(features, np.float64) @ self.kernel + self.bias

    def scaled(self, factor: float) -> "Linear":
        """See LightModel."""
        return Linear((self.kernel * factor).astype(np.float32), (self.bias * factor).astype("f"))

    def with_classes(self, present: np.ndarray, num_classes: int, least: float) -> "Linear":
        """See LightModel."""
        kernel = np.zeros((len(self.kernel), num_classes), np.float32)
        kernel[:, present] = self.kernel - self.kernel.mean(axis=1, keepdims=True)
        bias = np.full(num_classes, least, np.float32)
        bias[present] = self.bias - self.bias.mean()
        return Linear(kernel, bias)


@dataclasses.dataclass(frozen=True)
class Perceptron:
    """`relu(features @ kernel + bias)` below a Linear.

    Args:
        kernel: float32[d, H].
        bias: float32[H].
        output: Linear of H numbers.
    """

    kernel: np.ndarray
    bias: np.ndarray
    output: Linear

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See LightModel."""
        hidden = np.asarray(features, np.float64) @ self.kernel + self.bias
        return self.output.logits(np.maximum(hidden, 0.0))

    def scaled(self, factor: float) -> "Perceptron":
        """See LightModel."""
        return dataclasses.replace(self, output=self.output.scaled(factor))

    def with_classes(self, present: np.ndarray, num_classes: int, least: float) -> "Perceptron":
        """See LightModel."""
        output = self.output.with_classes(present, num_classes, least)
        return dataclasses.replace(self, output=output)


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """Logarithms of the shares of the classes among the nearest stored examples.

    The share of an example is the softmax of cosine / SHARPNESS over the nearest: Wu et al. 2018,
    arXiv:1805.01978, section 3.4. So the logits change with the features, as explanations need.

    Args:
        center: float32[d], taken from features before their cosine.
        bank: float32[N, d], the centered stored examples, each of length 1.
        targets: float32[N, C].
        count: how many of the nearest are counted, 1..N.
        factor: of the logits.
    """

    center: np.ndarray
    bank: np.ndarray
    targets: np.ndarray
    count: int
    factor: float = 1.0

    @classmethod
    def of(cls, features: np.ndarray, targets: np.ndarray, count: int) -> "Neighbors":
        """The model that stores float[N, d] features with float[N, C] targets; their mean is the center."""
        center = features.mean(axis=0)
        bank = features - center
        bank = bank / np.maximum(np.linalg.norm(bank, axis=1, keepdims=True), SHORTEST)
        kept, stored = targets.astype(np.float32), bank.astype(np.float32)
        return cls(center.astype(np.float32), stored, kept, min(count, len(bank)))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See LightModel."""
        given = np.asarray(features, np.float32) - self.center
        given = given / np.maximum(np.linalg.norm(given, axis=1, keepdims=True), SHORTEST)
        cosines = given @ self.bank.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : self.count]
        chosen = np.take_along_axis(cosines, nearest, 1).astype(np.float64)
        parts = special.softmax(chosen / SHARPNESS, axis=1)
        shares = np.einsum("nk,nkc->nc", parts, self.targets[nearest])
        return self.factor * np.log(np.maximum(shares, SMALLEST_SHARE))

    def scaled(self, factor: float) -> "Neighbors":
        """See LightModel."""
        return dataclasses.replace(self, factor=self.factor * factor)

    def with_classes(self, present: np.ndarray, num_classes: int, least: float) -> "Neighbors":
        """See LightModel; a class that no stored example has keeps SMALLEST_SHARE."""
        targets = np.zeros((len(self.targets), num_classes), np.float32)
        targets[:, present] = self.targets
        return dataclasses.replace(self, targets=targets)


LightModel: TypeAlias = Linear | Perceptron | Neighbors
"""A model on features as the backbone gives them.

`logits` gives float64[M, C] for float[M, d], whose softmax is the probabilities; `scaled` gives the
model with all logits multiplied by a factor above 0; `with_classes` that with more classes, of which
its own are `present`: the largest logit is then never below 0, and those of the others are `least`.
"""


class Family:
    """One kind of light model with the settings that are tried of it."""

    name: ClassVar[str]
    takes_absent_classes: ClassVar[bool] = False
    """Whether it has a model for classes that no row has."""
    is_steady: ClassVar[bool] = False
    """Whether it is taken among equals once there are enough rows."""
    least_beside_others: ClassVar[int] = 0
    """Rows below which it is tried alone only, as cross-validation on few rows thinks too well of it."""

    def settings(self, num_rows: int, num_classes: int) -> Sequence[float]:
        """The settings that are tried on so many rows; () where it is not worth the time."""
        raise NotImplementedError

    def solve(self, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
        """A model for each setting; every class has at least one row with a weight above 0."""
        raise NotImplementedError

    def text(self, setting: float) -> str:
        """A setting in words, such as `penalty .1`."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Standardised:
    """Standardised rows in the span of the examples, and the way back to features as they are.

    Args:
        inputs: float64[N, r].
        targets: float64[N, C].
        weights: float64[N], which sum to 1.
        given: the StandardInputs.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    given: StandardInputs

    def to_features(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(float32[d, K], float32[K])` for features as they are, of float[r, K] and float[K]."""
        basis = self.given.basis
        kernel = (kernel if basis is None else basis @ kernel) / self.given.scale[:, None]
        return kernel.astype(np.float32), (bias - self.given.mean @ kernel).astype(np.float32)

    def linear(self, kernel: np.ndarray, bias: np.ndarray) -> Linear:
        """The Linear for features as they are."""
        return Linear(*self.to_features(kernel, bias))
