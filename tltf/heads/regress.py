"""A head for a number: it predicts quantiles, so that an answer says how uncertain it is."""

import dataclasses
import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.data import label_kinds
from tltf.data.source import Source
from tltf.errors import FlagError
from tltf.heads.head import Head, checked_fields

MEDIAN = 0.5
"""The level of the quantile that is the answer."""


def regress(
    pooling: str = "auto",
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    features: tuple[str, ...] = (),
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    center: float | None = None,
    scale: float | None = None,
    margin: float | None = None,
) -> "Regress":
    """A head for a number.

    Args:
        pooling: see `Head`.
        hidden: see `Head`.
        activation: see `Head`.
        dropout: see `Head`.
        features: see `Head`.
        quantiles: levels of the quantiles, rising, above 0 and below 1, .5 among them.
        center: the number that the model's output 0 means; none takes the mean of the training
            split.
        scale: the difference that the model's output 1 means, above 0; none takes the standard
            deviation of the training split.
        margin: the distance by which each outermost quantile is moved outwards, in units of scale;
            none: it is chosen on the validation split, so that they hold as many numbers as they
            should.

    Raises:
        FlagError: an unknown pooling or activation, or a number out of its range.
    """
    fields = checked_fields(pooling, hidden, activation, dropout, features)
    levels = tuple(map(float, quantiles))
    is_rising = all(low < high for low, high in itertools.pairwise((0.0, *levels, 1.0)))
    if MEDIAN not in levels or not is_rising:
        raise FlagError(
            f"quantiles must rise, from above 0 to below 1, and include .5 (received {quantiles})",
            flag="head",
            fix="--head='regress(quantiles=[.05, .5, .95])'",
        )
    if scale is not None and not scale > 0:
        raise FlagError(f"scale must be above 0 (received {scale})", flag="head")
    return Regress(**fields, quantiles=levels, center=center, scale=scale, margin=margin)


@dataclasses.dataclass(frozen=True)
class Regress(Head):
    """A head that predicts quantiles of a number, by quantile regression: Koenker & Bassett 1978.

    The model's outputs are quantiles of (y - center) / scale. Quantiles that cross are sorted:
    Chernozhukov et al. 2010, arXiv:0704.3649.

    Args:
        quantiles: Q levels.
        center: see `regress`; None before the training split is known.
        scale: see `regress`; None before the training split is known.
        margin: see `regress`; None, which counts as 0, before it is chosen on the validation split.
    """

    quantiles: tuple[float, ...] = (0.05, MEDIAN, 0.95)
    center: float | None = None
    scale: float | None = None
    margin: float | None = None

    name = "value"
    target = label_kinds.NUMBER
    metric = "mean_absolute_error"
    lower_is_better = True
    scores_name = "quantiles"

    def describe(self, class_names: Sequence[str]) -> str:
        """What the head predicts, in words."""
        return f"a number, quantiles {', '.join(f'{level:g}' for level in self.quantiles)}"

    @property
    def unit(self) -> float:
        """The size of a difference between `scores` that counts as 1."""
        return 1.0 if self.scale is None else float(self.scale)

    @property
    def median(self) -> int:
        """The index of the answer among the quantiles."""
        return self.quantiles.index(MEDIAN)

    def fit_to(self, source: Source) -> "Regress":
        """The head with center and scale of a source's numbers, unless the user sets them."""
        labels = np.asarray(source.labels, np.float64)
        deviation = float(f"{np.std(labels):.6g}") or 1.0
        scale = deviation if self.scale is None else self.scale
        digits = 5 - math.floor(math.log10(scale))  # a hundred-thousandth of the scale
        center = round(float(np.mean(labels)), digits) if self.center is None else self.center
        return dataclasses.replace(self, center=float(center), scale=float(scale))

    def attach(
        self, taps: dict[str, keras.KerasTensor], modality: str, num_classes: int
    ) -> tuple[keras.KerasTensor, list[keras.Layer]]:
        """`(logits, layers)`: float32[B, Q] on the taps, and the new layers."""
        features, layers = self.before_output(taps, modality)
        output = keras.layers.Dense(
            len(self.quantiles), dtype="float32", name=f"{self.name}_quantiles"
        )
        return output(features), [*layers, output]

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> keras.losses.Loss:
        """The pinball loss; targets are float[B].

        Raises:
            FlagError: another loss, or smoothing.
        """
        if name != "cross_entropy" or label_smoothing:
            raise FlagError(
                "regress always takes a loss of its own, the pinball loss",
                flag="loss",
                fix="leave --loss and --label_smoothing out",
            )
        return Pinball(self.quantiles, self.center or 0.0, self.unit)

    def metrics(self) -> list[keras.metrics.Metric]:
        """The weighted metrics of training: the absolute error of the median."""
        return [keras.metrics.MeanMetricWrapper(self._errors, name=self.metric)]

    def scores(self, logits: tf.Tensor | np.ndarray) -> tf.Tensor:
        """float32[B, Q]: the quantiles in the unit of the numbers, rising."""
        rising = ops.sort(ops.cast(logits, "float32"), axis=-1)
        if self.margin:
            steps = np.zeros(len(self.quantiles), "float32")
            steps[0], steps[-1] = -self.margin, self.margin
            rising = ops.sort(rising + steps, axis=-1)
        return rising * self.unit + (self.center or 0.0)

    @property
    def choice(self) -> str:
        """What `tune` chooses, in words: the margin of several quantiles, unless the user sets it."""
        return "the margin" if self.margin is None and len(self.quantiles) > 1 else ""

    def tune(self, scores: np.ndarray, labels: np.ndarray) -> "Regress":
        """The head with a margin chosen on validation examples, unless the user sets it.

        Conformalised quantile regression: Romano et al. 2019, arXiv:1905.03222, eq. 9. Of new
        examples like these, about the wanted share lies between the outermost quantiles: less where
        the same examples also chose the epoch, and less, with a warning, where they are too few.

        Args:
            scores: float[N, Q], the quantiles of the validation examples.
            labels: float[N], their numbers.
        """
        if not self.choice:
            return self
        wanted, count = self.quantiles[-1] - self.quantiles[0], len(labels)
        place = math.ceil((count + 1) * wanted - 1e-9)
        if place > count:
            warnings.warn(
                f"{count} validation examples are too few for quantiles that hold {wanted:.0%} of the "
                f"numbers; the widest margin that they allow holds about {count / (count + 1):.0%}; "
                f"fix: at least {math.ceil(wanted / (1 - wanted) - 1e-9)} validation examples",
                stacklevel=2,
            )
        outside = np.maximum(scores[:, 0] - labels, labels - scores[:, -1]) / self.unit
        margin = float(np.sort(outside)[min(place, count) - 1])
        return dataclasses.replace(self, margin=float(f"{margin:.6g}"))

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float[N]: the pinball loss of each row of float[N, Q] logits, in units of scale."""
        aims = (labels.astype(np.float64) - (self.center or 0.0)) / self.unit
        gaps = aims[:, None] - logits
        levels = np.array(self.quantiles)
        return np.maximum(levels * gaps, (levels - 1) * gaps).mean(axis=1)

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The mean absolute error of the median."""
        medians = np.sort(logits, axis=1)[:, self.median] * self.unit + (self.center or 0.0)
        return float(np.abs(medians - labels).mean())

    def columns(self, class_names: Sequence[str]) -> list[str]:
        """The names of the columns of `scores` in tables."""
        return [f"quantile_{level:g}" for level in self.quantiles]

    def answers(self, scores: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The median of each row of float[N, Q] quantiles, as text."""
        return [format(value, ".9g") for value in np.asarray(scores)[:, self.median].tolist()]

    def evidence(self, logits: tf.Tensor) -> tf.Tensor:
        """float32[B, 1]: the median, in the unit of the numbers."""
        return self.scores(logits)[:, self.median : self.median + 1]

    def evidence_names(self, class_names: Sequence[str]) -> tuple[str, ...]:
        """What the evidence speaks for: a larger number."""
        return ("a larger number",)

    def answered(self, scores: np.ndarray) -> np.ndarray:
        """float32[N, 1] of ones: the answer is the median."""
        return np.ones((len(scores), 1), np.float32)

    def read(self, row: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
        """The fields of the `Prediction` that float32[Q] quantiles mean."""
        levels = (f"{level:g}" for level in self.quantiles)
        return {
            "label": "",
            "value": float(row[self.median]),
            "quantiles": dict(zip(levels, row.tolist(), strict=True)),
        }

    def answer_cells(self, fields: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """`predicted_value`."""
        value = fields["value"]
        return {"predicted_value": math.nan if value is None else value}

    def serving_outputs(
        self, scores: tf.Tensor, class_names: Sequence[str]
    ) -> dict[str, tf.Tensor]:
        """The outputs of an export for float32[B, Q] quantiles, by name."""
        return {"value": scores[:, self.median], "quantiles": scores}

    def _errors(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return ops.abs(ops.cast(y_true, "float32") - self.scores(y_pred)[:, self.median])


class Pinball(keras.losses.Loss):
    """The mean over examples and levels t of max(t e, (t - 1) e).

    e = (y - center) / scale - output: Koenker & Bassett 1978, Econometrica 46, eq. 3.1.

    Args:
        levels: Q floats.
        center: float.
        scale: float above 0.
    """

    def __init__(self, levels: tuple[float, ...], center: float, scale: float) -> None:
        super().__init__(name="pinball", reduction="sum_over_batch_size")
        self.levels, self.center, self.scale = levels, center, scale

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """float32[B]: the mean over the levels for each example."""
        aims = (ops.cast(y_true, y_pred.dtype) - self.center) / self.scale
        gaps = ops.reshape(aims, (-1, 1)) - y_pred
        levels = ops.convert_to_tensor(self.levels, y_pred.dtype)
        return ops.mean(ops.maximum(levels * gaps, (levels - 1.0) * gaps), axis=-1)
