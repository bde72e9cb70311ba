"""A head for several numbers per row: it predicts quantiles of each."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.data import label_kinds
from tltf.data.source import Source
from tltf.errors import FlagError
from tltf.heads.head import Head
from tltf.heads.regress import Pinball, Regress, regress


def multi_regress(
    pooling: str = "auto",
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    features: tuple[str, ...] = (),
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    center: Sequence[float] = (),
    scale: Sequence[float] = (),
    margin: Sequence[float] = (),
) -> "MultiRegress":
    """A head for several numbers per row.

    Args:
        pooling: see `Head`.
        hidden: see `Head`.
        activation: see `Head`.
        dropout: see `Head`.
        features: see `Head`.
        quantiles: levels of the quantiles of each number, see `regress`.
        center: one per number, see `regress`; empty takes the means of the training split.
        scale: one per number, above 0, see `regress`; empty takes the standard deviations of the
            training split.
        margin: one per number, see `regress`; empty: they are chosen on the validation split.

    Raises:
        FlagError: as `regress`, or centers, scales and margins of different numbers of numbers.
    """
    plain = regress(pooling, hidden, activation, dropout, features, quantiles)
    if any(not value > 0 for value in scale):
        raise FlagError(f"each scale must be above 0 (received {list(scale)})", flag="head")
    counts = {len(given) for given in (center, scale, margin) if given}
    if len(counts) > 1:
        what = "center, scale and margin must have one value per number, as many as one another"
        raise FlagError(what, flag="head", fix="leave them out: the training split gives them")
    fields = {name: getattr(plain, name) for name in ("pooling", "hidden", "activation")}
    return MultiRegress(
        **fields,
        dropout=plain.dropout,
        features=plain.features,
        quantiles=plain.quantiles,
        center=tuple(map(float, center)),
        scale=tuple(map(float, scale)),
        margin=tuple(map(float, margin)),
    )


@dataclasses.dataclass(frozen=True)
class MultiRegress(Head):
    """A head that predicts quantiles of D numbers, each as `Regress` predicts one.

    The logits are float32[B, D * Q]: the Q quantiles of the first number, then those of the next.
    Losses and metrics are means over the numbers, each in units of its own scale.

    Args:
        quantiles: Q levels.
        center: D centers, see `Regress`; () before the training split is known.
        scale: D scales, see `Regress`; () before the training split is known.
        margin: D margins, see `Regress`; () before they are chosen on the validation split.
    """

    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    margin: tuple[float, ...] = ()

    name = "values"
    target = label_kinds.NUMBERS
    metric = "scaled_absolute_error"
    lower_is_better = True
    scores_name = "quantiles"

    def of_number(self, place: int) -> Regress:
        """The head of the number at a place alone."""
        values = {
            field: getattr(self, field)[place]
            for field in ("center", "scale", "margin")
            if getattr(self, field)
        }
        return Regress(quantiles=self.quantiles, **values)

    def parts(self, table: Any) -> Iterator[tuple[Regress, Any]]:
        """`(head of a number, its [B, Q] columns)` for each of the D numbers of a [B, D * Q] table."""
        width = len(self.quantiles)
        for place in range(table.shape[-1] // width):
            yield self.of_number(place), table[:, place * width : (place + 1) * width]

    def describe(self, class_names: Sequence[str]) -> str:
        """What the head predicts, in words."""
        levels = ", ".join(f"{level:g}" for level in self.quantiles)
        return f"{len(class_names)} numbers ({', '.join(class_names)}), quantiles {levels} of each"

    @property
    def unit(self) -> float | np.ndarray:
        """float[D * Q]: the scale of each score's number."""
        return np.repeat(self.scale, len(self.quantiles)) if self.scale else 1.0

    def fit_to(self, source: Source) -> "MultiRegress":
        """The head with centers and scales of a source's numbers, unless the user sets them.

        Raises:
            FlagError: another number of centers, scales or margins than of numbers.
        """
        names, labels = source.class_names, np.asarray(source.labels)
        for field in ("center", "scale", "margin"):
            given = getattr(self, field)
            if given and len(given) != len(names):
                what = f"{field} has {len(given)} values for {len(names)} numbers"
                raise FlagError(f"{what}: {', '.join(names)}", flag="head", fix="one per number")
        fitted = [
            self.of_number(place).fit_to(source.with_labels(labels[:, place], ()))
            for place in range(len(names))
        ]
        return dataclasses.replace(
            self,
            center=tuple(float(head.center or 0.0) for head in fitted),
            scale=tuple(head.unit for head in fitted),
        )

    def attach(
        self, taps: dict[str, keras.KerasTensor], modality: str, num_classes: int
    ) -> tuple[keras.KerasTensor, list[keras.Layer]]:
        """`(logits, layers)`: float32[B, D * Q] on the taps, and the new layers."""
        features, layers = self.before_output(taps, modality)
        width = num_classes * len(self.quantiles)
        output = keras.layers.Dense(width, dtype="float32", name=f"{self.name}_quantiles")
        return output(features), [*layers, output]

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> keras.losses.Loss:
        """The mean of the numbers' pinball losses; targets are float[B, D].

        Raises:
            FlagError: another loss, or label smoothing.
        """
        Regress(quantiles=self.quantiles).loss(name, label_smoothing)
        return MeanPinball(self)

    def metrics(self) -> list[keras.metrics.Metric]:
        """The weighted metrics of training: the scaled absolute error of the medians."""
        return [keras.metrics.MeanMetricWrapper(self._errors, name=self.metric)]

    def scores(self, logits: tf.Tensor | np.ndarray) -> tf.Tensor:
        """float32[B, D * Q]: the quantiles in the unit of each number, rising."""
        return ops.concatenate([head.scores(part) for head, part in self.parts(logits)], axis=-1)

    @property
    def choice(self) -> str:
        """What `tune` chooses: the margins, if none are given."""
        return "" if self.margin or len(self.quantiles) == 1 else "the margins"

    def tune(self, scores: np.ndarray, labels: np.ndarray) -> "MultiRegress":
        """The head with each number's margin from the validation split, see `Regress.tune`.

        Args:
            scores: float[N, D * Q].
            labels: float[N, D].
        """
        if not self.choice:
            return self
        tuned = [head.tune(*rows) for head, *rows in self.with_labels(scores, labels)]
        return dataclasses.replace(self, margin=tuple(float(head.margin or 0.0) for head in tuned))

    def with_labels(
        self, table: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[Regress, np.ndarray, np.ndarray]]:
        """`(head, float[N, Q] columns, float[N] labels)` of each number."""
        for (head, part), column in zip(self.parts(table), labels.T, strict=True):
            yield head, part, column

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float[N]: the mean of the numbers' pinball losses, each in units of its scale."""
        each = [head.losses(*rows) for head, *rows in self.with_labels(logits, labels)]
        return np.mean(each, axis=0)

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The mean over the numbers of the absolute error of the median, in units of its scale."""
        parts = self.with_labels(logits, labels)
        return float(np.mean([head.metric_value(*rows) / head.unit for head, *rows in parts]))

    def columns(self, class_names: Sequence[str]) -> list[str]:
        """The names of the columns of `scores` in tables, such as `height_quantile_0.05`."""
        own = Regress(quantiles=self.quantiles).columns(())
        return [f"{name}_{column}" for name in class_names for column in own]

    def answers(self, scores: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The medians of each row of float[N, D * Q] quantiles, such as `1.5|20`."""
        columns = [head.answers(part, ()) for head, part in self.parts(scores)]
        return [label_kinds.SEPARATOR.join(row) for row in zip(*columns, strict=True)]

    def evidence(self, logits: tf.Tensor) -> tf.Tensor:
        """float32[B, D]: the median of each number, in its unit."""
        return tf.concat([head.evidence(part) for head, part in self.parts(logits)], axis=1)

    def evidence_names(self, class_names: Sequence[str]) -> tuple[str, ...]:
        """What each median speaks for: a larger number."""
        return tuple(f"a larger {name}" for name in class_names)

    def answered(self, scores: np.ndarray) -> np.ndarray:
        """float32[N, D]: 1 at the number that is farthest from its center, in units of its scale."""
        medians = [part[:, head.median] for head, part in self.parts(scores)]
        centers, units = self.center or 0.0, self.scale or 1.0
        distances = np.abs((np.stack(medians, axis=1) - centers) / units)
        return np.eye(len(medians), dtype=np.float32)[distances.argmax(axis=1)]

    def read(self, row: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
        """The fields of the `Prediction` that float32[D * Q] quantiles mean."""
        each = [head.read(part[0], ()) for head, part in self.parts(row[None])]
        pairs = list(zip(class_names, each, strict=True))
        return {
            "label": "",
            "values": {name: fields["value"] for name, fields in pairs},
            "quantiles": {name: fields["quantiles"] for name, fields in pairs},
        }

    def answer_cells(self, fields: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """`predicted_NAME` for each number."""
        return {f"predicted_{name}": fields["values"].get(name, math.nan) for name in class_names}

    def serving_outputs(
        self, scores: tf.Tensor, class_names: Sequence[str]
    ) -> dict[str, tf.Tensor]:
        """The outputs of an export: `values` float32[B, D] and `quantiles` float32[B, D, Q]."""
        quantiles = ops.reshape(scores, (-1, len(class_names), len(self.quantiles)))
        return {"values": quantiles[:, :, self.of_number(0).median], "quantiles": quantiles}

    def _errors(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return _mean_over_numbers(
            y_true,
            self.parts(y_pred),
            lambda head, aims, part: (
                ops.abs(ops.cast(aims, "float32") - head.scores(part)[:, head.median]) / head.unit
            ),
        )


class MeanPinball(keras.losses.Loss):
    """The mean over examples and numbers of the pinball loss of each number; see `Pinball`.

    Args:
        head: its levels, centers and scales.
    """

    def __init__(self, head: MultiRegress) -> None:
        super().__init__(name="mean_pinball", reduction="sum_over_batch_size")
        self.head = head

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """float32[B] of targets float[B, D] and logits float32[B, D * Q]."""
        return _mean_over_numbers(
            y_true,
            self.head.parts(y_pred),
            lambda head, aims, part: Pinball(head.quantiles, head.center or 0.0, head.unit).call(
                aims, part
            ),
        )


def _mean_over_numbers(
    y_true: tf.Tensor,
    parts: Iterator[tuple[Regress, tf.Tensor]],
    value_of: Callable[[Regress, tf.Tensor, tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """float32[B]: the mean of `value_of(head, targets [B], logits [B, Q])` over the numbers."""
    values = [value_of(head, y_true[:, place], part) for place, (head, part) in enumerate(parts)]
    return ops.mean(ops.stack(values, axis=-1), axis=-1)
