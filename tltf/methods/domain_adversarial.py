"""Domain-adversarial training: features from which a classifier cannot tell the domains."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.methods.alignments import sureness
from tltf.methods.context import FitContext
from tltf.methods.penalty import head_features
from tltf.methods.two_domains import DOMAIN, TwoDomains

MOST_PRODUCTS, RANDOM_PRODUCTS = 4096, 1024
"""The most products of features and answers that `cdan` takes as they are, and how many it takes at random."""


def dann(weight: float = 1.0, hidden: int = 256, last_groups: int = 0) -> "DomainAdversarial":
    """A method that trains features from which the domain cannot be told.

    L(y) + w R(features), where a classifier of two layers is trained to tell the domains by
    cross-entropy, and its gradient is reversed and multiplied by lambda_p = 2 / (1 + exp(-10 p)) - 1
    before it reaches the features: Ganin et al. 2016, arXiv:1505.07818, eq. 9 to 18 and section 5.2.2.
    Departs: where the backbone is frozen, the features are those of a hidden layer of the head; the
    learning rate follows --schedule.

    Args:
        weight: w, at least 0.
        hidden: units of the hidden layer, where the head has none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.

    Raises:
        FlagError: a number out of its range.
    """
    return DomainAdversarial("dann", weight, hidden, last_groups)


class DomainAdversarial(TwoDomains):
    """The method that `dann` makes."""

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The logits of the classifier of domains, and its layers."""
        domain, groups = self._classifier(head_features(core))
        return [domain], groups

    def _classifier(
        self, features: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, tuple[Group, ...]]:
        """`(float32[B, 1] the logits of the source, the group of its layers)`."""
        parts = (
            ReversedGradient(self.rising, name=f"{DOMAIN}_reversed"),
            layers.Dense(
                max(self.hidden, 64), activation="relu", dtype="float32", name=f"{DOMAIN}_hidden"
            ),
            layers.Dense(1, dtype="float32", name=f"{DOMAIN}_logit"),
        )
        for layer in parts:
            features = layer(features)
        return features, (Group(DOMAIN, parts[1:]),)

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the mean cross-entropy of the domains."""
        ((source, target),) = pairs
        return 0.5 * (
            tf.reduce_mean(tf.nn.softplus(-source)) + tf.reduce_mean(tf.nn.softplus(target))
        )


def cdan(
    weight: float = 1.0, entropy: bool = True, hidden: int = 256, last_groups: int = 0
) -> "ConditionalAdversarial":
    """A method like `dann` whose classifier of domains sees features together with answers.

    It takes the outer product of the features and the probabilities: Long et al. 2018,
    arXiv:1705.10667, eq. 4 and 6; with `entropy` rows weigh 1 + exp(-entropy of their probabilities),
    eq. 8 and 9 (CDAN+E). Above MOST_PRODUCTS numbers the product is that of two fixed random projections,
    eq. 5. As in `dann` the reversed gradient rises, and no gradient reaches the network through the
    probabilities, which is how the authors train it.

    Args:
        weight: at least 0.
        entropy: whether sure rows weigh more.
        hidden: units of the hidden layer, where the head has none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.

    Raises:
        FlagError: a number out of its range.
    """
    return ConditionalAdversarial(entropy, weight, hidden, last_groups)


class ConditionalAdversarial(DomainAdversarial):
    """The method that `cdan` makes."""

    def __init__(self, entropy: bool, weight: float, hidden: int, last_groups: int) -> None:
        super().__init__("cdan", weight, hidden, last_groups)
        self.entropy = entropy

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The logits of the classifier of domains and those of the classes, and its layers."""
        logits = core.model.output[core.head.name]
        joined = FeaturesWithAnswers(name=f"{DOMAIN}_product")([head_features(core), logits])
        domain, groups = self._classifier(joined)
        return [domain, logits], groups

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the mean cross-entropy of the domains, over weighted rows."""
        (source, target), logits = pairs
        losses = tf.nn.softplus(-source)[:, 0], tf.nn.softplus(target)[:, 0]
        if not self.entropy:
            return 0.5 * tf.add_n([tf.reduce_mean(loss) for loss in losses])
        weights = [tf.stop_gradient(sureness(tf.nn.softmax(part))) for part in logits]
        means = [
            tf.reduce_sum(weight * loss) / tf.reduce_sum(weight)
            for weight, loss in zip(weights, losses, strict=True)
        ]
        return 0.5 * tf.add_n(means)


class FeaturesWithAnswers(layers.Layer):
    """The outer product of features and of the probabilities of logits, flat, or a random one of it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.projections: list[np.ndarray] = []

    def build(self, shapes: list[tuple[int | None, ...]]) -> None:
        """Draws the random projections where the product is too long."""
        widths = [int(shape[-1] or 0) for shape in shapes]
        if widths[0] * widths[1] > MOST_PRODUCTS:
            random = np.random.default_rng(0)
            self.projections = [
                random.normal(size=(width, RANDOM_PRODUCTS)).astype(np.float32) for width in widths
            ]

    def call(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """float32[B, K]."""
        features, answers = tensors[0], tf.stop_gradient(tf.nn.softmax(tensors[1]))
        if self.projections:
            first, second = (
                tf.matmul(tensor, matrix)
                for tensor, matrix in zip((features, answers), self.projections, strict=True)
            )
            return first * second / float(RANDOM_PRODUCTS) ** 0.5
        product = features[:, :, None] * answers[:, None, :]
        return tf.reshape(product, [-1, features.shape[-1] * answers.shape[-1]])

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, int]:
        """[B, K]."""
        product = int(shapes[0][-1] or 0) * int(shapes[1][-1] or 0)
        return shapes[0][0], RANDOM_PRODUCTS if product > MOST_PRODUCTS else product


class ReversedGradient(layers.Layer):
    """A layer that returns its input, and multiplies the gradient with minus a factor.

    Args:
        factor: gives float[], at least 0.
    """

    def __init__(self, factor: Callable[[], tf.Tensor], **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.factor = factor

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The input."""
        factor = self.factor()

        @tf.custom_gradient
        def reverse(tensor: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            return tf.identity(tensor), lambda gradient: -factor * gradient

        reversed_inputs: tf.Tensor = reverse(inputs)
        return reversed_inputs
