"""A head for one class of several."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from tltf.data import label_kinds
from tltf.errors import shown_names
from tltf.heads.head import Head, checked_fields
from tltf.heads.losses import CrossEntropy, hits, losses


def classify(
    pooling: str = "auto",
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    features: tuple[str, ...] = (),
) -> "Classify":
    """A classification head; see `Head` for the arguments.

    Raises:
        FlagError: an unknown pooling or activation, or a number out of its range.
    """
    return Classify(**checked_fields(pooling, hidden, activation, dropout, features))


@dataclasses.dataclass(frozen=True)
class Classify(Head):
    """One class of several, of float32[B, num_classes] logits; see `Head` for the arguments."""

    name = "label"
    target = label_kinds.CLASS
    metric = "accuracy"

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> Any:
        """The training loss on logits; targets are int[B] or float[B, num_classes].

        Args:
            name: `cross_entropy`, or `focal`: Lin et al. 2017, arXiv:1708.02002, eq. 4.
            label_smoothing: see `CrossEntropy`.
            focal_gamma: of the factor (1 - p)^gamma, p the probability of the target's class.
        """
        return CrossEntropy(label_smoothing, focal_gamma if name == "focal" else 0.0)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Weighted metrics of training, by name."""
        return [keras.metrics.MeanMetricWrapper(hits, name="accuracy")]

    def describe(self, class_names: Any) -> Any:
        """What is predicted, in words."""
        return f"{len(class_names)} classes ({shown_names(class_names)})"

    def scores(self, logits: Any) -> Any:
        """float32[B, num_classes]: probabilities, each row summing to 1."""
        return ops.softmax(ops.cast(logits, "float32"), axis=-1)

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> Any:
        """float[N]: the cross-entropy of each row of float[N, C] logits with int[N] labels."""
        return losses(logits, labels)

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The share of rows of float[N, C] logits whose most probable class is right."""
        return float((self.most_probable(logits) == labels).mean())

    def most_probable(self, logits: np.ndarray) -> np.ndarray:
        """int[N]: the most probable class."""
        return logits.argmax(axis=1)

    def columns(self, class_names: Any) -> Any:
        """Names of the columns of `scores` in tables."""
        return [f"probability_{name}" for name in class_names]

    def answers(self, stated: Any, class_names: Any) -> Any:
        """str a row of float[N, C]: the answer in tables."""
        return [class_names[place] for place in np.argmax(stated, axis=1)]

    def read(self, row: Any, class_names: Any) -> Any:
        """The fields of a `Prediction` of float32[C]."""
        probabilities = dict(zip(class_names, row.tolist(), strict=True))
        return {"label": class_names[int(row.argmax())], "probabilities": probabilities}

    def serving_outputs(self, stated: Any, class_names: Any) -> Any:
        """What an export returns for float32[B, C] probabilities, by name."""
        import tensorflow as tf

        label = tf.gather(tf.constant(class_names), tf.argmax(stated, axis=-1))
        return {"label": label, "probabilities": stated}
