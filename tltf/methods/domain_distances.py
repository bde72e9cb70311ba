"""Penalties on the distance between the features of two domains: their covariances, kernel means or norms."""

import tensorflow as tf

from tltf.errors import FlagError
from tltf.heads.light.class_shares import ESTIMATED
from tltf.methods.two_domains import TwoDomainsMethod

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The bandwidths of the kernels of `dan`, as factors of the mean squared distance in a batch."""


def coral(
    weight: float = 1.0, hidden: int = 64, last_groups: int = 0, shares: str = ESTIMATED
) -> "Coral":
    """A method that makes the covariances of the features of both domains alike.

    L(y) + w |C_s - C_t|_F^2 / (4 d^2), C the covariance float[d, d] of the features of a batch: Sun &
    Saenko 2016, arXiv:1607.01719, eq. 1 to 3. Departs: the features are those below the logits, not the
    logits; where the backbone is frozen they are those of a hidden layer of the head.

    Args:
        weight: w, at least 0.
        hidden: units of the hidden layer, where the head has none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.
        shares: estimated or source, see TwoDomainsMethod.

    Raises:
        FlagError: a number out of its range.
    """
    return Coral("coral", weight, hidden, last_groups, shares)


class Coral(TwoDomainsMethod):
    """The method that `coral` makes."""

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the squared distance of the covariances over 4 d^2."""
        (source, target), *_ = pairs
        size = tf.cast(tf.shape(source)[1], tf.float32)
        difference = _covariance(source) - _covariance(target)
        return tf.reduce_sum(tf.square(difference)) / (4.0 * size**2)


def dan(
    weight: float = 1.0, hidden: int = 64, last_groups: int = 0, shares: str = ESTIMATED
) -> "KernelMeans":
    """A method that makes the means of both domains alike in the spaces of several kernels.

    L(y) + w sum over l of MMD^2(source, target), l the features and the logits: Long et al. 2015,
    arXiv:1502.02791, eq. 2 and 5. The kernel is the mean of five Gaussian ones, exp(-|x - y|^2 / b) with
    b = 1/4, 1/2, 1, 2 and 4 times the mean squared distance of two rows of the batch; the estimator is the
    unbiased one over all pairs of different rows. Departs: the paper takes the estimator over a linear
    number of pairs and learns the weights of the kernels.

    Args:
        weight: w, at least 0.
        hidden: units of the hidden layer, where the head has none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.
        shares: estimated or source, see TwoDomainsMethod.

    Raises:
        FlagError: a number out of its range.
    """
    return KernelMeans("dan", weight, hidden, last_groups, shares)


class KernelMeans(TwoDomainsMethod):
    """The method that `dan` makes."""

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the sum of the squared distances of the kernel means."""
        return tf.add_n([kernel_distance(source, target) for source, target in pairs])


def afn(
    step: float = 1.0,
    weight: float = 0.05,
    hidden: int = 64,
    last_groups: int = 0,
    shares: str = ESTIMATED,
) -> "FeatureNorms":
    """A method that makes the features of both domains longer, step by step.

    L(y) + w (1 / n) sum (h(x_i; theta_0) + r - h(x_i; theta))^2 over the rows of both domains, h the
    Euclidean length of the features, theta_0 the present weights as constants and r the step: Xu et al.
    2019, arXiv:1811.07456, eq. 5. The paper's second loss, an entropy of the target, is left out.

    Args:
        step: r, above 0.
        weight: w, at least 0.
        hidden: units of the hidden layer, where the head has none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.
        shares: estimated or source, see TwoDomainsMethod.

    Raises:
        FlagError: a number out of its range.
    """
    return FeatureNorms(step, weight, hidden, last_groups, shares)


class FeatureNorms(TwoDomainsMethod):
    """The method that `afn` makes; see there for its arguments."""

    def __init__(
        self, step: float, weight: float, hidden: int, last_groups: int, shares: str
    ) -> None:
        if not step > 0:
            what = f"step must be above 0 (received {step})"
            raise FlagError(what, flag="method", fix="--method='afn(step=1)'")
        super().__init__("afn", weight, hidden, last_groups, shares)
        self.step = step

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the mean squared difference from a length that is longer by the step."""
        features = tf.concat(pairs[0], 0)
        lengths = tf.sqrt(tf.reduce_sum(tf.square(features), axis=1) + 1e-12)
        return tf.reduce_mean(tf.square(tf.stop_gradient(lengths) + self.step - lengths))


def kernel_distance(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """float[]: the estimate of MMD^2 that `dan` describes, of float32[n, d] and float32[m, d]."""
    pooled = tf.concat([source, target], 0)
    count = tf.shape(source)[0]
    squares = tf.reduce_sum(tf.square(pooled), axis=1)
    distances = tf.maximum(
        squares[:, None] + squares - 2.0 * tf.matmul(pooled, pooled, transpose_b=True), 0.0
    )
    total = tf.cast(tf.size(squares), tf.float32)
    width = tf.reduce_sum(distances) / tf.maximum(total * (total - 1.0), 1.0)
    width = tf.maximum(tf.stop_gradient(width), 1e-12)
    kernel = tf.add_n([tf.exp(-distances / (factor * width)) for factor in FACTORS]) / len(FACTORS)
    within = _mean_of_pairs(kernel[:count, :count]) + _mean_of_pairs(kernel[count:, count:])
    return within - 2.0 * tf.reduce_mean(kernel[:count, count:])


def _mean_of_pairs(kernel: tf.Tensor) -> tf.Tensor:
    """float[]: the mean of float32[n, n] without its diagonal."""
    count = tf.cast(tf.shape(kernel)[0], tf.float32)
    return (tf.reduce_sum(kernel) - tf.linalg.trace(kernel)) / tf.maximum(count * (count - 1), 1.0)


def _covariance(features: tf.Tensor) -> tf.Tensor:
    """float32[d, d]: the unbiased covariance of float32[n, d]."""
    count = tf.cast(tf.shape(features)[0], tf.float32)
    centered = features - tf.reduce_mean(features, axis=0)
    return tf.matmul(centered, centered, transpose_a=True) / tf.maximum(count - 1.0, 1.0)
