"""A head for any number of labels per example: a probability and a threshold for each label."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.data import label_kinds
from tltf.errors import FlagError, shown_names
from tltf.heads import temperature, thresholds
from tltf.heads.head import Head, checked_fields
from tltf.heads.losses import focal_factors


def multi_label(
    pooling: str = "auto",
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    features: tuple[str, ...] = (),
    thresholds: Sequence[float] = (),
    temperatures: Sequence[float] = (),
) -> "MultiLabel":
    """A head for any number of labels per example.

    Args:
        pooling: see `Head`.
        hidden: see `Head`.
        activation: see `Head`.
        dropout: see `Head`.
        features: see `Head`.
        thresholds: a number from 0 to 1 for each label, or one for all; empty: they are chosen on
            the validation split.
        temperatures: a number above 0 for each label, or one for all; empty: they are chosen on the
            validation split, as --calibrate says.

    Raises:
        FlagError: an unknown pooling or activation, or a number out of its range.
    """
    fields = checked_fields(pooling, hidden, activation, dropout, features)
    if not all(0.0 <= float(value) <= 1.0 for value in thresholds):
        raise FlagError(
            f"thresholds must be from 0 to 1 (received {thresholds})",
            flag="head",
            fix="leave them out: they are then chosen on the validation split",
        )
    if not all(0.0 < float(value) < math.inf for value in temperatures):
        raise FlagError(
            f"temperatures must be above 0 (received {temperatures})",
            flag="head",
            fix="leave them out: they are then chosen on the validation split",
        )
    return MultiLabel(
        **fields,
        thresholds=tuple(map(float, thresholds)),
        temperatures=tuple(map(float, temperatures)),
    )


@dataclasses.dataclass(frozen=True)
class MultiLabel(Head):
    """A head that gives an example each label on its own: P(label c | x) = sigmoid(logit c / T_c).

    This is binary relevance.

    Args:
        thresholds: the probabilities from which on a label is given, C of them or 1; () is .5.
        temperatures: what divides the logits in `scores`, and not in the loss, C of them or 1; () is
            1, see `tltf.heads.temperature`.
    """

    thresholds: tuple[float, ...] = ()
    temperatures: tuple[float, ...] = ()

    name = "labels"
    target = label_kinds.LABELS
    metric = "average_precision"

    def describe(self, class_names: Sequence[str]) -> str:
        """What the head predicts, in words."""
        return f"{len(class_names)} labels ({shown_names(tuple(class_names))})"

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> keras.losses.Loss:
        """The training loss on logits; targets are float[B, C].

        Args:
            name: `cross_entropy`, the mean over labels of -[y log p + (1 - y) log(1 - p)], or
                `focal`: Lin et al. 2017, arXiv:1708.02002, eq. 4.
            label_smoothing: s in the smoothed target (1 - s) y + s / 2.
            focal_gamma: gamma in the factor (1 - p_t)^gamma, p_t the probability of the truth.
        """
        if name == "focal":
            return Focal(label_smoothing, focal_gamma)
        return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        """The weighted metrics of training: the share of labels on the right side of .5."""
        return [keras.metrics.MeanMetricWrapper(share_right, name="label_accuracy")]

    def scores(self, logits: tf.Tensor | np.ndarray) -> tf.Tensor:
        """float32[B, C]: the probability of each label."""
        logits = ops.cast(logits, "float32")
        if self.temperatures:
            logits = logits / np.array(self.temperatures, np.float32)
        return ops.sigmoid(logits)

    @property
    def can_calibrate(self) -> bool:
        """Whether the probabilities are those of `scores` here, which divides by the temperatures."""
        return type(self).scores is MultiLabel.scores

    def calibrate(
        self, logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, is_wanted: bool = False
    ) -> "MultiLabel":
        """The head with temperatures chosen on validation examples, unless the user sets them.

        Thresholds that are there, which `tune` has chosen, move with the probabilities, so that the
        labels that are given stay the same.

        Args:
            logits: float32[N, C].
            labels: uint8[N, C], 1 where an example has the label.
            groups: see `Head.calibrate`.
            is_wanted: see `Head.calibrate`.
        """
        if self.temperatures or not self.can_calibrate:
            return self
        chosen = temperature.choose_labels(logits, labels, groups, is_wanted=is_wanted)
        if chosen is None:
            return self
        moved = thresholds.moved(self.thresholds, chosen) if self.thresholds else ()
        return dataclasses.replace(self, temperatures=chosen, thresholds=moved)

    def without_temperatures(self) -> "MultiLabel":
        """The head as it was before `calibrate`, whose thresholds give the same labels."""
        if not self.temperatures:
            return self
        inverse = tuple(1.0 / value for value in self.temperatures)
        moved = thresholds.moved(self.thresholds, inverse) if self.thresholds else ()
        return dataclasses.replace(self, temperatures=(), thresholds=moved)

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float[N]: the mean cross-entropy over the labels of each row of float[N, C] logits."""
        logits = logits.astype(np.float64)
        each = np.logaddexp(0, logits) - labels * logits
        return each.mean(axis=1)

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The average precision, which needs no threshold, as a mean over the labels that occur.

        It is 0 where no label occurs, so that losses decide which epoch is best.
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
        """What `tune` chooses, in words: the thresholds, unless the user sets them."""
        return "" if self.thresholds else "the thresholds"

    def tune(self, scores: np.ndarray, labels: np.ndarray) -> "MultiLabel":
        """The head with thresholds chosen on validation examples, unless the user sets them.

        Args:
            scores: float[N, C], the probabilities of the validation examples.
            labels: uint8[N, C], 1 where an example has the label.
        """
        if not self.choice:
            return self
        best = tuple(float(f"{value:.6g}") for value in thresholds.best_thresholds(scores, labels))
        return dataclasses.replace(self, thresholds=best)

    def thresholds_for(self, num_labels: int) -> np.ndarray:
        """float32[C]: a threshold for each label.

        Raises:
            FlagError: the number of thresholds is neither 1 nor the number of labels.
        """
        given = self.thresholds or (0.5,)
        if len(given) not in (1, num_labels):
            raise FlagError(
                f"there are {len(given)} thresholds for {num_labels} labels",
                flag="head",
                fix="one per label, or one for all",
            )
        return np.broadcast_to(np.array(given, np.float32), num_labels)

    def choose_labels(self, scores: np.ndarray) -> np.ndarray:
        """bool[N, C]: which labels are given to each row of float[N, C] probabilities."""
        return np.asarray(scores, np.float32) >= self.thresholds_for(np.shape(scores)[1])

    def columns(self, class_names: Sequence[str]) -> list[str]:
        """The names of the columns of `scores` in tables."""
        return [f"probability_{name}" for name in class_names]

    def answers(self, scores: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The labels of each row of float[N, C] probabilities, such as `cat|dog`."""
        names = np.array(class_names, object)
        return [label_kinds.join_labels(names[row]) for row in self.choose_labels(scores)]

    def answered(self, scores: np.ndarray) -> np.ndarray:
        """float32[N, C]: 1 at the labels that are given, or at the most probable one where none is."""
        is_given = self.choose_labels(scores)
        most_probable = np.eye(scores.shape[1], dtype=bool)[np.argmax(scores, axis=1)]
        none = ~is_given.any(axis=1, keepdims=True)
        return np.where(none, most_probable, is_given).astype(np.float32)

    def read(self, row: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
        """The fields of the `Prediction` that float32[C] probabilities mean."""
        (answer,) = self.answers(row[None], class_names)
        (is_given,) = self.choose_labels(row[None])
        labels = tuple(np.array(class_names, object)[is_given].tolist())
        probabilities = dict(zip(class_names, row.tolist(), strict=True))
        return {"label": answer, "labels": labels, "probabilities": probabilities}

    def answer_cells(self, fields: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """`predicted_labels`, such as `cat|dog`; None without an answer, and empty for no label."""
        return {"predicted_labels": None if fields["error"] else fields["label"]}

    def serving_outputs(
        self, scores: tf.Tensor, class_names: Sequence[str]
    ) -> dict[str, tf.Tensor]:
        """The outputs of an export for float32[B, C] probabilities, by name."""
        is_given = scores >= tf.constant(self.thresholds_for(len(class_names)))
        names = tf.broadcast_to(tf.constant(class_names), tf.shape(is_given))
        kept = tf.ragged.boolean_mask(names, is_given)
        labels = tf.strings.reduce_join(kept, axis=-1, separator=label_kinds.SEPARATOR)
        return {"labels": labels, "is_given": is_given, "probabilities": scores}


class Focal(keras.losses.Loss):
    """The mean over examples and labels of (1 - p_t)^g times the cross-entropy.

    p_t = q p + (1 - q) (1 - p), p = sigmoid(logit), q = (1 - s) y + s / 2: Lin et al. 2017,
    arXiv:1708.02002, eq. 4.

    Args:
        label_smoothing: s, from 0 to below 1.
        focal_gamma: g, at least 0.
    """

    def __init__(self, label_smoothing: float, focal_gamma: float) -> None:
        super().__init__(name="focal", reduction="sum_over_batch_size")
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """float32[B]: the mean over the labels of each example."""
        aims = (1.0 - self.label_smoothing) * y_true + self.label_smoothing / 2
        rest = aims * ops.sigmoid(-y_pred) + (1.0 - aims) * ops.sigmoid(y_pred)
        losses = ops.binary_crossentropy(aims, y_pred, from_logits=True)
        return ops.mean(focal_factors(rest, self.focal_gamma) * losses, axis=-1)


def share_right(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """float32[B]: the share of an example's labels whose logit has the right sign."""
    is_right = ops.equal(ops.cast(y_true, "float32") > 0.5, y_pred > 0.0)
    return ops.mean(ops.cast(is_right, "float32"), axis=-1)
