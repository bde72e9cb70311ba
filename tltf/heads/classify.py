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
from tltf.errors import FlagError, shown_names
from tltf.heads import temperature as temperature_scaling
from tltf.heads.abstention import Rule
from tltf.heads.head import Head, checked_fields
from tltf.heads.losses import CrossEntropy, cross_entropies, hits


def classify(
    pooling: str = "auto",
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    features: tuple[str, ...] = (),
    temperature: float | None = None,
    sure_from: float | None = None,
    set_from: float | None = None,
) -> "Classify":
    """A classification head; see `Head` for the other arguments.

    Args:
        pooling: see `Head`.
        hidden: see `Head`.
        activation: see `Head`.
        dropout: see `Head`.
        features: see `Head`.
        temperature: what divides the logits of the probabilities, above 0; none: it is chosen on the
            validation split, as --calibrate says.
        sure_from: the probability of the answer from which on the model is sure of it; none: it is
            chosen on the validation split, as --abstain says.
        set_from: the probability from which on a class is in the conformal set; the model is sure
            where the set has one class. none: as `sure_from`.

    Raises:
        FlagError: an unknown pooling or activation, or a number out of its range.
    """
    fields = checked_fields(pooling, hidden, activation, dropout, features)
    return Classify(**fields, **checked_limits(temperature, sure_from, set_from))


def checked_limits(
    temperature: float | None, sure_from: float | None, set_from: float | None
) -> dict[str, Any]:
    """The fields of `Classify` that are chosen on validation, by name, after a check of their values.

    Raises:
        FlagError: a number out of its range.
    """
    given = {"temperature": temperature, "sure_from": sure_from, "set_from": set_from}
    for name, value in given.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        least = 0.0 if name == "set_from" else math.ulp(0.0)
        if value is not None and not (is_number and least <= value < math.inf):
            raise FlagError(
                f"{name} takes a number above 0 (received {value})",
                flag="head",
                fix="leave it out: it is then chosen on the validation split",
            )
    return {name: None if value is None else float(value) for name, value in given.items()}


@dataclasses.dataclass(frozen=True)
class Classify(Head):
    """A head that gives each example one class of several; see `Head` for the other arguments.

    Its logits are float32[B, num_classes].

    Args:
        temperature: what divides the logits in `scores`, and not in the loss, see
            `tltf.heads.temperature`; None for 1, and before it is chosen on the validation split.
        sure_from: the probability of the answer from which on the head is sure of it; None for any.
        set_from: the probability from which on a class is in the conformal set; the head is sure
            where the set has one class. None for no sets.
    """

    temperature: float | None = None
    sure_from: float | None = None
    set_from: float | None = None

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
        logits = ops.cast(logits, "float32")
        return ops.softmax(logits / self.temperature if self.temperature else logits, axis=-1)

    @property
    def can_calibrate(self) -> bool:
        """Whether the probabilities are those of `scores` here, which divides by the temperature."""
        return type(self).scores is Classify.scores

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The temperature that `scores` divides by; () for none."""
        return (self.temperature,) if self.temperature else ()

    def calibrate(
        self, logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, is_wanted: bool = False
    ) -> "Classify":
        """The head with a temperature chosen on validation examples, unless the user sets it.

        Args:
            logits: float32[N, C] or, of an ordinal head, float32[N, C - 1].
            labels: int[N].
            groups: see `Head.calibrate`.
            is_wanted: see `Head.calibrate`.
        """
        if self.temperature or not self.can_calibrate:
            return self
        of_classes = self.class_logits(logits)
        chosen = temperature_scaling.choose(of_classes, labels, groups, is_wanted=is_wanted)
        return dataclasses.replace(self, temperature=chosen)

    def without_temperatures(self) -> "Classify":
        """The head as it was before `calibrate`."""
        return dataclasses.replace(self, temperature=None)

    def class_logits(self, logits: np.ndarray) -> np.ndarray:
        """float[N, C]: numbers whose softmax is the probabilities before they are calibrated."""
        return logits

    @property
    def abstains(self) -> bool:
        """Whether the head may say that it is not sure."""
        return self.sure_from is not None or self.set_from is not None

    def abstain(self, rule: Rule, scores: np.ndarray, labels: np.ndarray) -> "Classify":
        """The head with what a rule chooses on validation examples, unless the user sets it.

        Args:
            rule: what --abstain names.
            scores: float32[N, C], the probabilities of the validation examples.
            labels: int[N].
        """
        if self.abstains:
            return self
        return dataclasses.replace(self, **dataclasses.asdict(rule.choose(scores, labels)))

    def is_sure(self, scores: np.ndarray) -> np.ndarray:
        """bool[N]: whether the head is sure of its answer for each row of float[N, C] probabilities."""
        scores = np.asarray(scores, np.float32)
        found = np.ones(len(scores), bool)
        if self.sure_from is not None:
            found &= scores.max(axis=1) >= np.float32(self.sure_from)
        if self.set_from is not None:
            found &= (scores >= np.float32(self.set_from)).sum(axis=1) == 1
        return found

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
        """The most probable class of each row of float[N, C] probabilities, by name; "" where not sure."""
        rows = zip(np.argmax(scores, axis=1), self.is_sure(scores), strict=True)
        return [class_names[place] if is_sure else "" for place, is_sure in rows]

    def answered(self, scores: np.ndarray) -> np.ndarray:
        """float32[N, C]: 1 at the most probable class of each row."""
        return np.eye(scores.shape[1], dtype=np.float32)[np.argmax(scores, axis=1)]

    def read(self, row: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
        """The fields of the `Prediction` that float32[C] probabilities mean."""
        probabilities = dict(zip(class_names, row.tolist(), strict=True))
        (label,), (is_sure,) = self.answers(row[None], class_names), self.is_sure(row[None])
        return {"label": label, "probabilities": probabilities, "is_sure": bool(is_sure)}

    def answer_cells(self, fields: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """`predicted_label`, and `confidence`, the probability of that class.

        For a head that abstains also `is_sure`; where it is not sure, there is no label, and the
        confidence is the highest probability.
        """
        label, stated = fields["label"] or None, fields["probabilities"]
        confidence = stated[label] if label in stated else max(stated.values(), default=math.nan)
        is_sure = {"is_sure": None if fields["error"] else fields["is_sure"]}
        return {
            "predicted_label": label,
            **(is_sure if self.abstains else {}),
            "confidence": confidence,
        }

    def positive_class(self, class_names: Sequence[str]) -> str:
        """The class that is answered from a threshold on, the second of two.

        Raises:
            FlagError: the classes are not two, or the head says itself where it is not sure.
        """
        if len(class_names) != 2:
            return super().positive_class(class_names)
        if self.abstains:
            raise FlagError(
                "this model gives no answer where it is not sure (--abstain of its training), and a "
                "threshold would always give one",
                flag="threshold",
                fix="leave --threshold out, or train with --abstain=none",
            )
        return class_names[1]

    def serving_outputs(
        self, scores: tf.Tensor, class_names: Sequence[str]
    ) -> dict[str, tf.Tensor]:
        """The outputs of an export for float32[B, C] probabilities, by name."""
        label = tf.gather(tf.constant(class_names), tf.argmax(scores, axis=-1))
        if not self.abstains:
            return {"label": label, "probabilities": scores}
        is_sure = tf.ones_like(label, tf.bool)
        if self.sure_from is not None:
            is_sure &= tf.reduce_max(scores, axis=-1) >= self.sure_from
        if self.set_from is not None:
            in_set = tf.cast(scores >= self.set_from, tf.int32)
            is_sure &= tf.reduce_sum(in_set, axis=-1) == 1
        label = tf.where(is_sure, label, tf.constant(b""))
        return {"label": label, "probabilities": scores, "is_sure": is_sure}
