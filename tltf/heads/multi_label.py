"""A head for any number of labels an example: a probability and a threshold for each."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tltf.data import label_kinds
from tltf.errors import FlagError, shown_names
from tltf.heads import thresholds
from tltf.heads.head import Head, checked_fields
from tltf.heads.losses import focal_factors


def multi_label(
    pooling: str = "auto",
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    features: tuple = (),
    thresholds: Sequence[float] = (),
) -> "MultiLabel":
    """A head for several labels; see `MultiLabel`, and `head.Head` for the other arguments.

    Args:
        pooling: as `classify`, and so the next four.
        hidden: units of the dense layers before the output.
        activation: of the hidden layers.
        dropout: rate before each dense layer.
        features: an image backbone's taps.
        thresholds: a number from 0 to 1 a label, or one for all; empty: chosen on validation.

    Raises:
        FlagError: as `head.checked_fields`, or a threshold out of its range.
    """
    plain = checked_fields(pooling, hidden, activation, dropout, features)
    if not all(0.0 <= float(value) <= 1.0 for value in thresholds):
        raise FlagError(
            f"thresholds are from 0 to 1 (received {thresholds})",
            flag="head",
            fix="leave them out: validation chooses them",
        )
    return MultiLabel(**plain, thresholds=tuple(map(float, thresholds)))


@dataclasses.dataclass(frozen=True)
class MultiLabel(Head):
    """P(label c | x) = sigmoid(logit c), each on its own: binary relevance.

    Args:
        thresholds: from which probability on a label is given, C or 1 of them; () is .5.
    """

    thresholds: tuple = ()

    name = "labels"
    target = label_kinds.LABELS
    metric = "average_precision"

    def describe(self, class_names: Any) -> Any:
        """What is predicted, in words."""
        return f"{len(class_names)} labels ({shown_names(class_names)})"

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> Any:
        """The training loss on logits; targets are float[B, C].

        Args:
            name: `cross_entropy`, the mean over labels of -[y log p + (1 - y) log(1 - p)], or
                `focal`: Lin et al. 2017, arXiv:1708.02002, eq. 4.
            label_smoothing: share of each y that becomes 1 / 2.
            focal_gamma: of the factor (1 - p_t)^gamma, p_t the probability of what is true.
        """
        if name == "focal":
            return Focal(label_smoothing, focal_gamma)
        return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Weighted metrics of training: the share of labels on the right side of .5."""
        return [keras.metrics.MeanMetricWrapper(share_right, name="label_accuracy")]

    def scores(self, logits: Any) -> Any:
        """float32[B, C]: the probability of each label."""
        return ops.sigmoid(ops.cast(logits, "float32"))

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> Any:
        """float[N]: the mean cross-entropy over the labels of float[N, C] logits."""
        logits = logits.astype(np.float64)
        each = np.logaddexp(0, logits) - labels * logits
        return each.mean(axis=1)

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The mean over labels that occur of the average precision, which takes no threshold.

        0 where no label occurs, so that losses decide which epoch is best.
        """
        from sklearn.metrics import average_precision_score

        is_there = labels.any(axis=0)
        if not is_there.any():
            return 0.0
        return float(
            average_precision_score(labels[:, is_there], logits[:, is_there], average="macro")
        )

    @property
    def choice(self) -> str:
        """What `tune` chooses: the thresholds, if none are given."""
        return "" if self.thresholds else "the thresholds"

    def tune(self, stated: np.ndarray, labels: np.ndarray) -> "MultiLabel":
        """The head with thresholds of validation examples; given ones stay.

        Args:
            stated: float[N, C].
            labels: uint8[N, C].
        """
        if not self.choice:
            return self
        found = tuple(float(f"{value:.6g}") for value in thresholds.best_thresholds(stated, labels))
        return dataclasses.replace(self, thresholds=found)

    def edges(self, num_labels: int) -> np.ndarray:
        """float32[C]: the thresholds.

        Raises:
            FlagError: another number of them than of labels.
        """
        given = self.thresholds or (0.5,)
        if len(given) not in (1, num_labels):
            raise FlagError(
                f"{len(given)} thresholds for {num_labels} labels",
                flag="head",
                fix="one per label, or one for all",
            )
        return np.broadcast_to(np.array(given, np.float32), num_labels)

    def given(self, stated: np.ndarray) -> Any:
        """bool[N, C] of float[N, C] probabilities: which labels are given."""
        return np.asarray(stated, np.float32) >= self.edges(np.shape(stated)[1])

    def columns(self, class_names: Any) -> Any:
        """Names of the columns of `scores` in tables."""
        return [f"probability_{name}" for name in class_names]

    def answers(self, stated: np.ndarray, class_names: Sequence[str]) -> Any:
        """str per row, such as `cat|dog`."""
        names = np.array(class_names, object)
        return [label_kinds.join_labels(names[row]) for row in self.given(stated)]

    def read(self, row: np.ndarray, class_names: Sequence[str]) -> Any:
        """The fields of a `Prediction` of float32[C]."""
        (answer,), (is_given,) = self.answers(row[None], class_names), self.given(row[None])
        labels = tuple(np.array(class_names, object)[is_given].tolist())
        probabilities = dict(zip(class_names, row.tolist(), strict=True))
        return {"label": answer, "labels": labels, "probabilities": probabilities}

    def serving_outputs(self, stated: Any, class_names: Any) -> Any:
        """What an export returns for float32[B, C] probabilities, by name."""
        import tensorflow as tf

        is_given = stated >= tf.constant(self.edges(len(class_names)))
        names = tf.broadcast_to(tf.constant(class_names), tf.shape(is_given))
        kept = tf.ragged.boolean_mask(names, is_given)
        labels = tf.strings.reduce_join(kept, axis=-1, separator=label_kinds.SEPARATOR)
        return {"labels": labels, "is_given": is_given, "probabilities": stated}


class Focal(keras.losses.Loss):
    """Mean over examples and labels of (1 - p_t)^g times the cross-entropy.

    p_t = q p + (1 - q) (1 - p), p = sigmoid(logit), q = (1 - s) y + s / 2: Lin et al. 2017,
    arXiv:1708.02002, eq. 4.

    Args:
        label_smoothing: s, from 0 to below 1.
        focal_gamma: g, at least 0.
    """

    def __init__(self, label_smoothing: float, focal_gamma: float) -> None:
        super().__init__(name="focal", reduction="sum_over_batch_size")
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """float32[B]: the mean over the labels of each example."""
        aims = (1.0 - self.label_smoothing) * y_true + self.label_smoothing / 2
        rest = aims * ops.sigmoid(-y_pred) + (1.0 - aims) * ops.sigmoid(y_pred)
        losses = ops.binary_crossentropy(aims, y_pred, from_logits=True)
        return ops.mean(focal_factors(rest, self.focal_gamma) * losses, axis=-1)


def share_right(y_true: Any, y_pred: Any) -> Any:
    """float32[B]: the share of labels whose logit has the right sign."""
    is_right = ops.equal(ops.cast(y_true, "float32") > 0.5, y_pred > 0.0)
    return ops.mean(ops.cast(is_right, "float32"), axis=-1)
