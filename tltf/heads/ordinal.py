"""A head for classes that have an order: one score, and a threshold between neighbours."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.data.source import Source
from tltf.errors import FlagError
from tltf.heads import classify, losses
from tltf.heads.head import checked_fields

LEAST_LOG = -60.0
"""The logarithm in place of that of a class that lies between thresholds in the wrong order."""


def ordinal(
    pooling: str = "auto",
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    features: tuple[str, ...] = (),
    order: tuple[str, ...] = (),
    temperature: float | None = None,
    sure_from: float | None = None,
    set_from: float | None = None,
) -> "Ordinal":
    """A head for one class of several that have an order.

    Args:
        pooling: see `Head`.
        hidden: see `Head`.
        activation: see `Head`.
        dropout: see `Head`.
        features: see `Head`.
        order: the class names from the lowest to the highest; may be empty where all are whole
            numbers, which have an order.
        temperature: T in the probabilities p^(1/T) over their sum, above 0; none: it is chosen on the
            validation split, as --calibrate says.
        sure_from: see `classify`.
        set_from: see `classify`.

    Raises:
        FlagError: an unknown pooling or activation, or a number out of its range.
    """
    fields = checked_fields(pooling, hidden, activation, dropout, features)
    limits = classify.checked_limits(temperature, sure_from, set_from)
    return Ordinal(**fields, **limits, order=tuple(str(name) for name in order))


@dataclasses.dataclass(frozen=True)
class Ordinal(classify.Classify):
    """A head that asks of each class but the last whether the example is above it.

    P(y > k) = sigmoid(w f + b_k) for k = 0 .. C - 2: Cao et al. 2020, arXiv:1901.07884, eq. 4. The
    model's outputs are these C - 1 logits. Departs: the answer is the most probable class,
    P(y > k - 1) - P(y > k), as with every other head; the paper counts the k with P(y > k) > .5.

    The temperature is that of the logarithms of the classes' probabilities, p^(1/T) of each over the
    sum, so that it leaves the answers as they are; dividing the C - 1 logits would change them.

    Args:
        order: the class names from the lowest to the highest, or () for the data's own order.
    """

    order: tuple[str, ...] = ()

    has_order = True

    def attach(
        self, taps: dict[str, keras.KerasTensor], modality: str, num_classes: int
    ) -> tuple[keras.KerasTensor, list[keras.Layer]]:
        """`(logits, layers)`: float32[B, num_classes - 1] on the taps, and the new layers."""
        features, layers = self.before_output(taps, modality)
        score = keras.layers.Dense(1, use_bias=False, dtype="float32", name=f"{self.name}_score")
        thresholds = Thresholds(num_classes - 1, dtype="float32", name=f"{self.name}_thresholds")
        return thresholds(score(features)), [*layers, score, thresholds]

    def class_order(self, source: Source) -> tuple[str, ...]:
        """The class names of a source from the lowest to the highest.

        Raises:
            FlagError: the order does not name just these classes, or there is none and the class
                names are not whole numbers.
        """
        names = source.class_names
        fix = f"--head='ordinal(order=[{', '.join(names)}])' from the lowest to the highest"
        if not self.order:
            if all(name.lstrip("-").isdecimal() for name in names):
                return names
            raise FlagError("ordinal takes the order of the classes", flag="head", fix=fix)
        if sorted(self.order) != sorted(names):
            what = f"order names {', '.join(self.order)}, but the classes are {', '.join(names)}"
            raise FlagError(what, flag="head", fix=fix)
        return self.order

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> keras.losses.Loss:
        """The sum of the cross-entropies of the C - 1 questions; for targets see `Classify.loss`.

        Raises:
            FlagError: another loss, or smoothing.
        """
        if name != "cross_entropy" or label_smoothing:
            raise FlagError(
                "ordinal takes only loss=cross_entropy without smoothing",
                flag="loss",
                fix="--loss=cross_entropy --label_smoothing=0",
            )
        return CumulativeLoss()

    def metrics(self) -> list[keras.metrics.Metric]:
        """The weighted metrics of training: accuracy."""
        return [keras.metrics.MeanMetricWrapper(self._hits, name="accuracy")]

    def scores(self, logits: tf.Tensor | np.ndarray) -> tf.Tensor:
        """float32[B, num_classes]: probabilities, each row summing to 1.

        A negative difference P(y > k - 1) - P(y > k) counts as 0.
        """
        if self.temperature:
            return ops.softmax(self._log_steps(logits) / self.temperature, axis=-1)
        above = ops.sigmoid(ops.cast(logits, "float32"))
        edge = ops.ones_like(above[:, :1])
        steps = ops.concatenate([edge, above], axis=1) - ops.concatenate([above, 0 * edge], axis=1)
        steps = ops.maximum(steps, 0.0)
        return steps / ops.sum(steps, axis=1, keepdims=True)

    def _log_steps(self, logits: tf.Tensor | np.ndarray) -> tf.Tensor:
        """float32[B, num_classes]: the logarithms of P(y > k - 1) - P(y > k), LEAST_LOG from 0 down.

        sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), which keeps its digits
        where both are near 1.
        """
        logits = ops.cast(logits, "float32")
        edge = ops.zeros_like(logits[:, :1])
        rise = ops.concatenate([edge, ops.log_sigmoid(logits)], axis=1)
        fall = ops.concatenate([ops.log_sigmoid(-logits), edge], axis=1)
        gaps = logits[:, :-1] - logits[:, 1:]
        shares = -ops.expm1(-ops.maximum(gaps, 0.0))
        inner = ops.log(ops.maximum(shares, math.exp(LEAST_LOG)))
        return rise + fall + ops.concatenate([edge, inner, edge], axis=1)

    @property
    def can_calibrate(self) -> bool:
        """Whether the probabilities are those of `scores` here, which takes the temperature."""
        return type(self).scores is Ordinal.scores

    def class_logits(self, logits: np.ndarray) -> np.ndarray:
        """float32[N, C]: the logarithms of the classes' probabilities, up to a number per row."""
        return ops.convert_to_numpy(self._log_steps(logits))

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float[N]: -log of the probability of each label, before it is calibrated."""
        probabilities = ops.convert_to_numpy(self.without_temperatures().scores(logits))
        return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))

    def most_probable(self, logits: np.ndarray) -> np.ndarray:
        """int[N]: the most probable class of each row."""
        return ops.convert_to_numpy(self.scores(logits)).argmax(axis=1)

    def evidence(self, logits: tf.Tensor) -> tf.Tensor:
        """float32[B, 1]: the mean logit, how high on the scale an example is.

        All probabilities follow from this one number.
        """
        return tf.reduce_mean(tf.cast(logits, tf.float32), axis=1, keepdims=True)

    def evidence_names(self, class_names: Sequence[str]) -> tuple[str, ...]:
        """What the evidence speaks for: higher classes."""
        return (f"towards {class_names[-1]}",)

    def answered(self, scores: np.ndarray) -> np.ndarray:
        """float32[N, 1] of ones: every answer rests on the place on the scale."""
        return np.ones((len(scores), 1), np.float32)

    def _hits(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return losses.hits(y_true, self.scores(y_pred))


@keras.saving.register_keras_serializable("tltf")
class Thresholds(keras.layers.Layer):
    """A layer of `count` trained thresholds b_k: it adds each of them to a score.

    The thresholds fall at the start.

    Args:
        count: C - 1.
    """

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, shape: tuple[None, int]) -> None:
        """Makes the thresholds that fit equally frequent classes: the logits of (C - 1 - k) / C."""
        shares = 1.0 - np.arange(1, self.count + 1) / (self.count + 1)
        self.bias = self.add_weight((self.count,), "zeros", name="bias")
        self.bias.assign(np.log(shares / (1 - shares)))

    def call(self, score: tf.Tensor) -> tf.Tensor:
        """float[B, count]: float[B, 1] scores plus each threshold."""
        return score + self.bias

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "count": self.count}


class CumulativeLoss(keras.losses.Loss):
    """The mean over examples of -sum_k [t_k log s_k + (1 - t_k) log(1 - s_k)].

    t_k = P(y > k) by the target, s_k = sigmoid(logit k).
    """

    def __init__(self) -> None:
        super().__init__(name="cumulative", reduction="sum_over_batch_size")

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """float32[B]: the loss of targets int[B] or float[B, C] and logits float[B, C - 1]."""
        if len(y_true.shape) < len(y_pred.shape):
            y_true = ops.one_hot(y_true, y_pred.shape[-1] + 1, dtype=y_pred.dtype)
        above = 1.0 - ops.cumsum(ops.cast(y_true, y_pred.dtype), axis=-1)[:, :-1]
        each = ops.maximum(y_pred, 0) - y_pred * above + ops.log1p(ops.exp(-ops.abs(y_pred)))
        return ops.sum(each, axis=-1)
