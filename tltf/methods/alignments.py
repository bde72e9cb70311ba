"""Penalties that make the features of two domains alike, or the answers for the target sure."""

import tensorflow as tf

from tltf.errors import FlagError
from tltf.methods.two_domains import TwoDomains

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The widths of the kernels of `dan`, as multiples of the mean squared distance of a batch's rows."""
SMALLEST = 1e-12
"""What keeps a square root or a logarithm finite."""


def coral(weight: float = 100.0, hidden: int = 256, last_groups: int = 0) -> "Coral":
    """A method that makes the covariances of the features of two domains alike.

    L(y) + w |C_s - C_t|_F^2 / (4 d^2), C the covariance over the rows of a batch: Sun & Saenko 2016,
    arXiv:1607.01719, eq. 1 to 4. Departs: the features are those below the logits, and not the logits.

    Args:
        weight: w, at least 0.
        hidden: units of the hidden layer, where the head has none; 0 adds none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.

    Raises:
        FlagError: a number out of its range.
    """
    return Coral("coral", weight, hidden, last_groups)


class Coral(TwoDomains):
    """The method that `coral` makes."""

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: |C_s - C_t|_F^2 / (4 d^2)."""
        source, target = pairs[0]
        size = tf.cast(tf.shape(source)[1], tf.float32)
        difference = _covariance(source) - _covariance(target)
        return tf.reduce_sum(tf.square(difference)) / (4.0 * tf.square(size))


def dan(weight: float = 1.0, hidden: int = 256, last_groups: int = 0) -> "DeepAdaptation":
    """A method that makes the means of the features of two domains alike in a kernel's space.

    L(y) + w MMD^2(features), with the mean of five Gaussian kernels exp(-|x - y|^2 / (s m)), m the mean
    squared distance of the rows of a batch, s of SCALES: Long et al. 2015, arXiv:1502.02791, eq. 4 and 5.
    Departs: all pairs of a batch count (the biased quadratic estimate), the paper's estimate takes each
    row once; the weights of kernels are equal and not learned; one layer is aligned.

    Args:
        weight: w, at least 0.
        hidden: see `coral`.
        last_groups: see `coral`.

    Raises:
        FlagError: a number out of its range.
    """
    return DeepAdaptation("dan", weight, hidden, last_groups)


class DeepAdaptation(TwoDomains):
    """The method that `dan` makes."""

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the squared maximum mean discrepancy."""
        source, target = pairs[0]
        rows = tf.concat([source, target], 0)
        squares = tf.reduce_sum(tf.square(rows), axis=1, keepdims=True)
        distances = tf.maximum(
            squares - 2.0 * rows @ tf.transpose(rows) + tf.transpose(squares), 0.0
        )
        width = tf.maximum(tf.stop_gradient(tf.reduce_mean(distances)), SMALLEST)
        kernels = [tf.exp(-distances / (scale * width)) for scale in SCALES]
        kernel = tf.add_n(kernels) / len(SCALES)
        count = tf.shape(source)[0]
        own, other = kernel[:count], kernel[count:]
        within = tf.reduce_mean(own[:, :count]) + tf.reduce_mean(other[:, count:])
        return within - 2.0 * tf.reduce_mean(own[:, count:])


def afn(
    weight: float = 0.05, step: float = 1.0, hidden: int = 256, last_groups: int = 0
) -> "AdaptiveNorm":
    """A method that lets the length of the features of both domains grow, step by step.

    L(y) + w mean((|f|' + step - |f|)^2) over the rows of both domains, |f|' the length without a
    gradient: Xu et al. 2019, arXiv:1811.07456, eq. 8 (stepwise). Departs: no entropy term.

    Args:
        weight: w, at least 0.
        step: how much longer features become, above 0.
        hidden: see `coral`.
        last_groups: see `coral`.

    Raises:
        FlagError: a number out of its range.
    """
    if not step > 0:
        raise FlagError(
            f"step must be above 0 (received {step})", flag="method", fix="--method=afn"
        )
    return AdaptiveNorm(step, weight, hidden, last_groups)


class AdaptiveNorm(TwoDomains):
    """The method that `afn` makes."""

    def __init__(self, step: float, weight: float, hidden: int, last_groups: int) -> None:
        super().__init__("afn", weight, hidden, last_groups)
        self.step = step

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the sum over both domains of the mean squared distance to a longer feature."""
        return tf.add_n([self._lengthen(features) for features in pairs[0]])

    def _lengthen(self, features: tf.Tensor) -> tf.Tensor:
        lengths = tf.sqrt(tf.reduce_sum(tf.square(features), axis=1) + SMALLEST)
        return tf.reduce_mean(tf.square(tf.stop_gradient(lengths) + self.step - lengths))


def mcc(
    weight: float = 1.0, temperature: float = 2.5, hidden: int = 256, last_groups: int = 0
) -> "ClassConfusion":
    """A method that trains answers for the target in which classes are not confused.

    L(y) + w / C times the sum over j != k of N_jk, N the matrix Y^T W Y with rows divided by their
    sums, Y the target's probabilities at the temperature, W weights of rows in proportion to
    1 + exp(-entropy): Jin et al. 2020, arXiv:1912.03699, eq. 2 to 6.

    Args:
        weight: w, at least 0.
        temperature: of the probabilities, above 0.
        hidden: see `coral`.
        last_groups: see `coral`.

    Raises:
        FlagError: a number out of its range.
    """
    if not temperature > 0:
        what = f"temperature must be above 0 (received {temperature})"
        raise FlagError(what, flag="method", fix="--method=mcc")
    return ClassConfusion(temperature, weight, hidden, last_groups)


class ClassConfusion(TwoDomains):
    """The method that `mcc` makes."""

    def __init__(self, temperature: float, weight: float, hidden: int, last_groups: int) -> None:
        super().__init__("mcc", weight, hidden, last_groups)
        self.temperature = temperature

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the mean confusion of the classes."""
        _, target = pairs[1]
        found = tf.nn.softmax(target / self.temperature)
        weights = tf.stop_gradient(sureness(found))
        weights = weights / tf.reduce_mean(weights)
        matrix = tf.matmul(found, found * weights[:, None], transpose_a=True)
        matrix = matrix / tf.reduce_sum(matrix, axis=1, keepdims=True)
        return (tf.reduce_sum(matrix) - tf.linalg.trace(matrix)) / tf.cast(
            tf.shape(matrix)[0], tf.float32
        )


def sureness(probabilities: tf.Tensor) -> tf.Tensor:
    """float[B]: 1 + exp(-entropy) of float[B, C] probabilities."""
    entropy = -tf.reduce_sum(probabilities * tf.math.log(probabilities + SMALLEST), axis=1)
    return 1.0 + tf.exp(-entropy)


def _covariance(rows: tf.Tensor) -> tf.Tensor:
    """float[d, d]: the covariance of float[B, d] rows."""
    centered = rows - tf.reduce_mean(rows, axis=0)
    count = tf.maximum(tf.cast(tf.shape(rows)[0], tf.float32) - 1.0, 1.0)
    return tf.matmul(centered, centered, transpose_a=True) / count
