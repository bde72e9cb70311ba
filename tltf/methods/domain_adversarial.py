"""Domain-adversarial training: features from which a classifier cannot tell the domains."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.heads.light.class_shares import ESTIMATED
from tltf.methods.context import FitContext
from tltf.methods.other_rows import DOMAIN
from tltf.methods.penalty import head_features
from tltf.methods.target_predictions import entropies
from tltf.methods.two_domains import TwoDomainsMethod


def dann(
    weight: float = 1.0, hidden: int = 64, last_groups: int = 0, shares: str = ESTIMATED
) -> "DomainAdversarial":
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
        shares: estimated or source, see TwoDomainsMethod.

    Raises:
        FlagError: a number out of its range.
    """
    return DomainAdversarial("dann", weight, hidden, last_groups, shares)


class DomainAdversarial(TwoDomainsMethod):
    """The method that `dann` makes."""

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The logits of the classifier of domains, and its layers."""
        logit, group = self.classifier(head_features(core))
        return [logit], (group,)

    def classifier(self, features: keras.KerasTensor) -> tuple[keras.KerasTensor, Group]:
        """`(float32[B, 1], layers)` of the classifier of domains, behind a reversed gradient."""
        units = max(self.hidden, 64)
        parts = (
            ReversedGradient(self.rising, name=f"{DOMAIN}_reversed"),
            layers.Dense(units, activation="relu", dtype="float32", name=f"{DOMAIN}_hidden"),
            layers.Dense(1, dtype="float32", name=f"{DOMAIN}_logit"),
        )
        for layer in parts:
            features = layer(features)
        return features, Group(DOMAIN, parts[1:])

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the mean cross-entropy of the domains."""
        ((source, target),) = pairs
        return 0.5 * (
            tf.reduce_mean(tf.nn.softplus(-source)) + tf.reduce_mean(tf.nn.softplus(target))
        )


def cdan(
    entropy: bool = True,
    weight: float = 1.0,
    hidden: int = 64,
    last_groups: int = 0,
    shares: str = ESTIMATED,
) -> "ConditionalAdversarial":
    """A method like `dann` whose classifier of domains also sees what the model predicts.

    It takes the outer product of features and predictions, float[B, d C], and with `entropy` a row counts
    1 + exp(-H), H the entropy of its prediction: Long et al. 2018, arXiv:1705.10667, eq. 5 to 8. Departs as
    `dann` does; the outer product is never a random projection, so with many classes take fewer hidden
    units; the factors of rows are constants for the gradient.

    Args:
        entropy: whether rows count by their entropy, which the paper calls CDAN+E.
        weight: w, at least 0.
        hidden: units of the hidden layer, where the head has none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.
        shares: estimated or source, see TwoDomainsMethod.

    Raises:
        FlagError: a number out of its range.
    """
    return ConditionalAdversarial(entropy, weight, hidden, last_groups, shares)


class ConditionalAdversarial(DomainAdversarial):
    """The method that `cdan` makes."""

    def __init__(
        self, entropy: bool, weight: float, hidden: int, last_groups: int, shares: str
    ) -> None:
        super().__init__("cdan", weight, hidden, last_groups, shares)
        self.entropy = entropy

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The logits of the classifier of domains and those of the model, and the classifier's layers."""
        features, logits = head_features(core), core.model.output[core.head.name]
        size = features.shape[-1] * logits.shape[-1]
        shares = ops.softmax(ops.cast(logits, "float32"), axis=-1)
        product = shares[:, :, None] * ops.cast(features, "float32")[:, None, :]
        logit, group = self.classifier(ops.reshape(product, (-1, size)))
        return [logit, logits], (group,)

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the mean cross-entropy of the domains, of rows that count by their entropy."""
        (source, target), logits = pairs
        losses = [tf.nn.softplus(-source)[:, 0], tf.nn.softplus(target)[:, 0]]
        if self.entropy:
            factors = [1.0 + tf.exp(-entropies(tf.nn.softmax(part))) for part in logits]
            losses = [
                loss * tf.stop_gradient(factor)
                for loss, factor in zip(losses, factors, strict=True)
            ]
        return 0.5 * tf.add_n([tf.reduce_mean(loss) for loss in losses])


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

        return reverse(inputs)
