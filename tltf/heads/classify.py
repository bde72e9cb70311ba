"""A head for one class of several."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.data import label_kinds
from tltf.errors import shown_names
from tltf.heads.head import Head, checked_fields
from tltf.heads.losses import CrossEntropy, cross_entropies, hits


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
    """A head that gives each example one class of several; see `Head` for the arguments.

    Its logits are float32[B, num_classes].
    """

    name = "label"
    target = label_kinds.CLASS
    metric = "accuracy"

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> keras.losses.Loss:
        """The training loss on logits; targets are int[B] or float[B, num_classes].

        Args:
            name: `cross_entropy`, or `focal`: Lin et al. 2017, arXiv:1708.02002, eq. 4.
            label_smoothing: see `CrossEntropy`.
            focal_gamma: gamma in the factor (1 - p)^gamma, p the probability of the target's class.
        """
        return CrossEntropy(label_smoothing, focal_gamma if name == "focal" else 0.0)

    def metrics(self) -> list[keras.metrics.Metric]:
        """The weighted metrics of training: accuracy."""
        return [keras.metrics.MeanMetricWrapper(hits, name="accuracy")]

    def describe(self, class_names: Sequence[str]) -> str:
        """What the head predicts, in words."""
        return f"{len(class_names)} classes ({shown_names(tuple(class_names))})"

    def scores(self, logits: tf.Tensor | np.ndarray) -> tf.Tensor:
        """float32[B, num_classes]: probabilities, each row summing to 1."""
        return ops.softmax(ops.cast(logits, "float32"), axis=-1)

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float[N]: the cross-entropy of each row of float[N, C] logits with int[N] labels."""
        return cross_entropies(logits, labels)

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The share of rows of float[N, C] logits whose most probable class is right."""
        return float((self.most_probable(logits) == labels).mean())

    def most_probable(self, logits: np.ndarray) -> np.ndarray:
        """int[N]: the most probable class of each row."""
        return logits.argmax(axis=1)

    def columns(self, class_names: Sequence[str]) -> list[str]:
        """The names of the columns of `scores` in tables."""
        return [f"probability_{name}" for name in class_names]

    def answers(self, scores: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The most probable class of each row of float[N, C] probabilities, by name."""
        return [class_names[place] for place in np.argmax(scores, axis=1)]

    def answered(self, scores: np.ndarray) -> np.ndarray:
        """float32[N, C]: 1 at the most probable class of each row."""
        return np.eye(scores.shape[1], dtype=np.float32)[np.argmax(scores, axis=1)]

    def read(self, row: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
        """The fields of the `Prediction` that float32[C] probabilities mean."""
        probabilities = dict(zip(class_names, row.tolist(), strict=True))
        return {"label": class_names[int(row.argmax())], "probabilities": probabilities}

    def answer_cells(self, fields: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """`predicted_label`, and `confidence`, the probability of that class."""
        label = fields["label"] or None
        return {
            "predicted_label": label,
            "confidence": fields["probabilities"].get(label, math.nan),
        }

    def positive_class(self, class_names: Sequence[str]) -> str:
        """The class that is answered from a threshold on, the second of two.

        Raises:
            FlagError: the classes are not two.
        """
        return class_names[1] if len(class_names) == 2 else super().positive_class(class_names)

    def serving_outputs(
        self, scores: tf.Tensor, class_names: Sequence[str]
    ) -> dict[str, tf.Tensor]:
        """The outputs of an export for float32[B, C] probabilities, by name."""
        label = tf.gather(tf.constant(class_names), tf.argmax(scores, axis=-1))
        return {"label": label, "probabilities": scores}
