"""Prototypical fine-tuning: rows come near the mean of their class, which then is the head."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.data.ordering import GivenOrder
from tltf.errors import FlagError
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.heads.light.light_model import Family, FrozenRows, LightModel, Linear
from tltf.methods.context import FitContext
from tltf.methods.episodes import episode_order
from tltf.methods.method import Phase, RowsToOrder
from tltf.methods.penalty import head_features, require_one_class
from tltf.methods.probe import Probe
from tltf.methods.tuned_head import TunedHeadMethod

ABSENT = 1e9
"""The distance of a class that an episode does not have."""


def prototypes(
    ways: int = 0, sharpness: float = 10.0, last_groups: int = 0, backbone_rate: float = 1.0
) -> "Prototypes":
    """A method that trains the network so that rows are near the mean of their class.

    In an episode of some classes the prototype m_c is the mean of the features of half the rows of a
    class. Each other row x has the loss -log softmax_c(-|x - m_c|^2), of which the mean is taken:
    Snell et al. 2017, arXiv:1703.05175, eq. 1 and 2. The head is then linear, 2 x . m_c - |m_c|^2 with
    the means of all training rows (eq. 8), and logits that are scaled by cross-validation.
    Departs: the network is pretrained, and its classes are those of the data. Distances are divided by
    the mean distance of the episode, which gets no gradient, and multiplied by `sharpness`: those of
    pretrained features are of any size. Supports and queries are the rows of a class by turns. Weights
    of rows count for the head alone, whose accuracy in the log of the first phase is that of random
    weights.

    Args:
        ways: classes in an episode; 0 for as many as fit, with two rows each, or all.
        sharpness: what the mean distance becomes; 0 takes distances as they are, as the paper does.
        last_groups: number of groups of layers that are trained, from the top; 0 for all. What the
            others give is computed once.
        backbone_rate: factor on --learning_rate, above 0.

    Raises:
        FlagError: a number out of its range.
        DataError: when training begins, rows of one class, or no class with two rows.
    """
    if ways < 0 or ways == 1 or not sharpness >= 0:
        raise FlagError(
            "ways must be at least 2, or 0 for as many as fit, and sharpness at least 0 "
            f"(received {ways}, {sharpness})",
            flag="method",
            fix="--method=prototypes",
        )
    return Prototypes(ways, sharpness, last_groups, backbone_rate)


class Prototypes(TunedHeadMethod):
    """The method that `prototypes` makes."""

    def __init__(self, ways: int, sharpness: float, last_groups: int, backbone_rate: float) -> None:
        super().__init__("prototypes", Probe([PlainMeans()]), last_groups, backbone_rate)
        self.ways, self.sharpness = ways, sharpness
        self.num_classes = 0

    def order(self, phase: Phase, rows: RowsToOrder) -> GivenOrder | None:
        """Episodes side by side."""
        return episode_order(rows, self.ways)

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The features that the head takes; no more groups."""
        self.num_classes = core.num_classes
        return [head_features(core)], ()

    def penalty(self, targets: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """float[]: the mean loss of the queries; of each class by turns a support and a query."""
        require_one_class(targets, self.name)
        members = ops.one_hot(targets, self.num_classes, dtype="float32")
        places = ops.sum((ops.cumsum(members, axis=0) - 1.0) * members, axis=1)
        is_support = ops.cast(ops.equal(ops.mod(places, 2.0), 0.0), "float32")
        supports = members * is_support[:, None]
        counts = ops.sum(supports, axis=0)
        means = ops.matmul(ops.transpose(supports), features) / ops.maximum(counts, 1.0)[:, None]
        distances = _squared_distances(features, means)
        is_query, is_there = 1.0 - is_support, ops.cast(counts > 0, "float32")
        if self.sharpness:
            parts = is_query[:, None] * is_there
            mean = ops.sum(parts * distances) / ops.maximum(ops.sum(parts), 1.0)
            distances = self.sharpness * distances / ops.maximum(ops.stop_gradient(mean), 1e-12)
        logits = -distances - ABSENT * (1.0 - is_there)
        losses = -ops.sum(members * ops.log_softmax(logits, axis=-1), axis=-1)
        return ops.sum(is_query * losses) / ops.maximum(ops.sum(is_query), 1.0)


def _squared_distances(features: tf.Tensor, means: tf.Tensor) -> tf.Tensor:
    """float[B, C]: |x - m|^2."""
    products = ops.matmul(features, ops.transpose(means))
    lengths = ops.sum(ops.square(features), axis=1, keepdims=True)
    return ops.maximum(lengths - 2.0 * products + ops.sum(ops.square(means), axis=1), 0.0)


class PlainMeans(Family):
    """The nearest class mean by the distance of features as they are, without |x|^2."""

    name = "class means"

    def settings(self, num_rows: int, num_classes: int) -> Sequence[float]:
        """One; there is nothing to set."""
        return (0.0,)

    def solve(self, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
        """The model, for each setting."""
        parts = rows.targets * rows.weights[:, None]
        means = parts.T @ np.asarray(rows.features, np.float64) / parts.sum(axis=0)[:, None]
        kernel, bias = 2.0 * means.T, -(means**2).sum(axis=1)
        return [Linear(kernel.astype(np.float32), bias.astype(np.float32)) for _ in settings]

    def text(self, setting: float) -> str:
        """Nothing is set."""
        return ""
