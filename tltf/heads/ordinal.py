"""A head for classes that have an order: one score, and a threshold between neighbours."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from tltf.data.source import Source
from tltf.errors import FlagError
from tltf.heads import classify, losses
from tltf.heads.head import checked_fields


def ordinal(
    pooling: str = "auto",
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    features: tuple = (),
    order: tuple[str, ...] = (),
) -> "Ordinal":
    """An ordinal head; see `Ordinal`, and `head.Head` for the other arguments.

    Args:
        pooling: as `classify`, and so the next four.
        hidden: units of the dense layers before the output.
        activation: of the hidden layers.
        dropout: rate before each dense layer.
        features: an image backbone's taps.
        order: the class names from the lowest to the highest; empty where all are whole numbers,
            which have an order.

    Raises:
        FlagError: as `head.checked_fields`.
    """
    plain = checked_fields(pooling, hidden, activation, dropout, features)
    return Ordinal(**plain, order=tuple(str(name) for name in order))


@dataclasses.dataclass(frozen=True)
class Ordinal(classify.Classify):
    """P(y > k) = sigmoid(w f + b_k) for k = 0 .. C - 2: Cao et al. 2020, arXiv:1901.07884, eq. 4.

    The model's outputs are these C - 1 logits. Departs: the answer is the most probable class,
    P(y > k - 1) - P(y > k), as with every other head; the paper counts the k with P(y > k) > .5.

    Args:
        order: the class names from the lowest to the highest, or () for the data's own order.
    """

    order: tuple = ()

    has_order = True

    def attach(
        self, taps: dict[str, keras.KerasTensor], modality: str, num_classes: int
    ) -> tuple[keras.KerasTensor, list["Thresholds | keras.Layer"]]:
        """`(logits, layers)`: float32[B, num_classes - 1] on the taps, and the new layers."""
        features, layers = self.before_output(taps, modality)
        score = keras.layers.Dense(1, use_bias=False, dtype="float32", name=f"{self.name}_score")
        thresholds = Thresholds(num_classes - 1, dtype="float32", name=f"{self.name}_thresholds")
        return thresholds(score(features)), [*layers, score, thresholds]

    def class_order(self, source: Source) -> tuple[str, ...]:
        """The names of a Source's classes from the lowest to the highest.

        Raises:
            FlagError: an order that is not that of these classes, or none for names.
        """
        names = source.class_names
        fix = f"--head='ordinal(order=[{', '.join(names)}])' from the lowest to the highest"
        if not self.order:
            if all(name.lstrip("-").isdecimal() for name in names):
                return names
            raise FlagError("ordinal takes the order of the classes", flag="head", fix=fix)
        if sorted(self.order) != sorted(names):
            what = f"order names {', '.join(self.order)}, the classes are {', '.join(names)}"
            raise FlagError(what, flag="head", fix=fix)
        return self.order

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> Any:
        """The sum of the cross-entropies of the C - 1 questions; targets as `Classify.loss`."""
        if name != "cross_entropy" or label_smoothing:
            raise FlagError(
                "ordinal takes loss=cross_entropy without smoothing",
                flag="loss",
                fix="--loss=cross_entropy --label_smoothing=0",
            )
        return CumulativeLoss()

    def metrics(self) -> list[keras.metrics.Metric]:
        """Weighted metrics of training, by name."""
        return [keras.metrics.MeanMetricWrapper(self._hits, name="accuracy")]

    def scores(self, logits: Any) -> Any:
        """float32[B, num_classes], each row summing to 1; negative ones count as 0."""
        above = ops.sigmoid(ops.cast(logits, "float32"))
        edge = ops.ones_like(above[:, :1])
        steps = ops.concatenate([edge, above], axis=1) - ops.concatenate([above, 0 * edge], axis=1)
        steps = ops.maximum(steps, 0.0)
        return steps / ops.sum(steps, axis=1, keepdims=True)

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> Any:
        """float[N]: -log of the probability of each label."""
        stated = ops.convert_to_numpy(self.scores(logits))
        return -np.log(np.maximum(stated[np.arange(len(labels)), labels], 1e-12))

    def most_probable(self, logits: np.ndarray) -> np.ndarray:
        """int[N]: the most probable class."""
        return ops.convert_to_numpy(self.scores(logits)).argmax(axis=1)

    def _hits(self, y_true: np.ndarray, y_pred: np.ndarray) -> Any:
        return losses.hits(y_true, self.scores(y_pred))


@keras.saving.register_keras_serializable("tltf")
class Thresholds(keras.layers.Layer):
    """score + b_k for each of `count` thresholds, in falling order at the start.

    Args:
        count: C - 1.
    """

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, shape: tuple[None, int]) -> None:
        """b_k of classes that are equally frequent: the logits of (C - 1 - k) / C."""
        shares = 1.0 - np.arange(1, self.count + 1) / (self.count + 1)
        self.bias = self.add_weight((self.count,), "zeros", name="bias")
        self.bias.assign(np.log(shares / (1 - shares)))

    def call(self, score: Any) -> Any:
        """float[B, count] of float[B, 1]."""
        return score + self.bias

    def get_config(self) -> Any:
        """The constructor's arguments."""
        return {**super().get_config(), "count": self.count}


class CumulativeLoss(keras.losses.Loss):
    """Mean over examples of -sum_k [t_k log s_k + (1 - t_k) log(1 - s_k)], t_k = P(y > k)."""

    def __init__(self) -> None:
        super().__init__(name="cumulative", reduction="sum_over_batch_size")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """float32[B] of targets int[B] or float[B, C] and logits float[B, C - 1]."""
        if len(y_true.shape) < len(y_pred.shape):
            y_true = ops.one_hot(y_true, y_pred.shape[-1] + 1, dtype=y_pred.dtype)
        above = 1.0 - ops.cumsum(ops.cast(y_true, y_pred.dtype), axis=-1)[:, :-1]
        each = ops.maximum(y_pred, 0) - y_pred * above + ops.log1p(ops.exp(-ops.abs(y_pred)))
        return ops.sum(each, axis=-1)
