"""A head for a number: quantiles of it, so that an answer says how unsure it is."""

import dataclasses
import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tltf.data import label_kinds
from tltf.errors import FlagError
from tltf.heads.head import Head, checked_fields

MEDIAN = 0.5


def regress(
    pooling: str = "auto",
    hidden: tuple = (),
    activation: str = "relu",
    dropout: float = 0.0,
    features: tuple = (),
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    center: float | None = None,
    scale: float | None = None,
    margin: float | None = None,
) -> "Regress":
    """A head for a number; see `Regress`, and `head.Head` for the other arguments.

    Args:
        pooling: as `classify`, and so the next four.
        hidden: units of the dense layers before the output.
        activation: of the hidden layers.
        dropout: rate before each dense layer.
        features: an image backbone's taps.
        quantiles: rising, above 0 and below 1, .5 among them.
        center: of the numbers; none takes the training split's mean.
        scale: of the numbers, above 0; none takes its standard deviation.
        margin: in units of scale, by which the outermost quantiles are moved apart; none: chosen on
            validation, so that they hold as many numbers as they should.

    Raises:
        FlagError: as `head.checked_fields`, or a number out of its range.
    """
    plain = checked_fields(pooling, hidden, activation, dropout, features)
    levels = tuple(map(float, quantiles))
    is_rising = all(low < high for low, high in itertools.pairwise((0.0, *levels, 1.0)))
    if MEDIAN not in levels or not is_rising:
        raise FlagError(
            f"quantiles rise from above 0 to below 1, with .5 (received {quantiles})",
            flag="head",
            fix="--head='regress(quantiles=[.05, .5, .95])'",
        )
    if scale is not None and not scale > 0:
        raise FlagError(f"scale is above 0 (received {scale})", flag="head")
    return Regress(**plain, quantiles=levels, center=center, scale=scale, margin=margin)


@dataclasses.dataclass(frozen=True)
class Regress(Head):
    """Quantiles of a number, by quantile regression: Koenker & Bassett 1978.

    The model's outputs are those of (y - center) / scale. Outputs that cross are sorted:
    Chernozhukov et al. 2010, arXiv:0704.3649.

    Args:
        quantiles: Q levels.
        center: float, or None before the training split is known.
        scale: the same.
        margin: the same before validation is judged; None is 0.
    """

    quantiles: tuple = (0.05, MEDIAN, 0.95)
    center: float | None = None
    scale: float | None = None
    margin: float | None = None

    name = "value"
    target = label_kinds.NUMBER
    metric = "mean_absolute_error"
    lower_is_better = True
    stated_name = "quantiles"

    def describe(self, class_names: Any) -> Any:
        """What is predicted, in words."""
        return f"a number, quantiles {', '.join(f'{level:g}' for level in self.quantiles)}"

    @property
    def unit(self) -> float:
        """The size of a difference that counts as 1."""
        return 1.0 if self.scale is None else float(self.scale)

    @property
    def median(self) -> int:
        """The place of the answer among the quantiles."""
        return self.quantiles.index(MEDIAN)

    def fit_to(self, source: Any) -> "Regress":
        """The head with the center and scale of a Source's numbers; given ones stay."""
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
    ) -> Any:
        """The pinball loss; targets are float[B].

        Raises:
            FlagError: another loss, or smoothing.
        """
        if name != "cross_entropy" or label_smoothing:
            raise FlagError(
                "regress has a loss of its own, pinball",
                flag="loss",
                fix="leave --loss and --label_smoothing out",
            )
        return Pinball(self.quantiles, self.center or 0.0, self.unit)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Weighted metrics of training: the absolute error of the median."""
        return [keras.metrics.MeanMetricWrapper(self._errors, name=self.metric)]

    def scores(self, logits: Any) -> Any:
        """float32[B, Q]: the quantiles in the numbers' own unit, rising."""
        rising = ops.sort(ops.cast(logits, "float32"), axis=-1)
        if self.margin:
            steps = np.zeros(len(self.quantiles), "float32")
            steps[0], steps[-1] = -self.margin, self.margin
            rising = ops.sort(rising + steps, axis=-1)
        return rising * self.unit + (self.center or 0.0)

    @property
    def choice(self) -> str:
        """What `tune` chooses: the margin of a range of quantiles, if none is given."""
        return "the margin" if self.margin is None and len(self.quantiles) > 1 else ""

    def tune(self, stated: np.ndarray, labels: np.ndarray) -> "Regress":
        """The head with the margin that validation examples ask for; a given one stays.

        Conformalised quantile regression: Romano et al. 2019, arXiv:1905.03222, eq. 9. Of new
        examples like these, about as many as wanted are between the outermost quantiles: fewer
        where these examples also chose the epoch, or are too few, of which a warning tells.

        Args:
            stated: float[N, Q].
            labels: float[N].
        """
        if not self.choice:
            return self
        wanted, count = self.quantiles[-1] - self.quantiles[0], len(labels)
        place = math.ceil((count + 1) * wanted - 1e-9)
        if place > count:
            warnings.warn(
                f"{count} validation examples are too few for quantiles that hold {wanted:.0%} of the "
                f"numbers; the widest margin they allow holds about {count / (count + 1):.0%}; "
                f"fix: at least {math.ceil(wanted / (1 - wanted) - 1e-9)} validation examples",
                stacklevel=2,
            )
        outside = np.maximum(stated[:, 0] - labels, labels - stated[:, -1]) / self.unit
        margin = float(np.sort(outside)[min(place, count) - 1])
        return dataclasses.replace(self, margin=float(f"{margin:.6g}"))

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> Any:
        """float[N]: the pinball loss of float[N, Q] logits, in units of scale."""
        aims = (labels.astype(np.float64) - (self.center or 0.0)) / self.unit
        gaps = aims[:, None] - logits
        levels = np.array(self.quantiles)
        return np.maximum(levels * gaps, (levels - 1) * gaps).mean(axis=1)

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The mean absolute error of the median."""
        medians = np.sort(logits, axis=1)[:, self.median] * self.unit + (self.center or 0.0)
        return float(np.abs(medians - labels).mean())

    def columns(self, class_names: Any) -> Any:
        """Names of the columns of `scores` in tables."""
        return [f"quantile_{level:g}" for level in self.quantiles]

    def answers(self, stated: Any, class_names: Any) -> Any:
        """str per row: the median."""
        return [format(value, ".9g") for value in np.asarray(stated)[:, self.median].tolist()]

    def read(self, row: Any, class_names: Any) -> Any:
        """The fields of a `Prediction` of float32[Q]."""
        levels = (f"{level:g}" for level in self.quantiles)
        return {
            "label": "",
            "value": float(row[self.median]),
            "quantiles": dict(zip(levels, row.tolist(), strict=True)),
        }

    def serving_outputs(self, stated: Any, class_names: Any) -> Any:
        """What an export returns for float32[B, Q] quantiles, by name."""
        return {"value": stated[:, self.median], "quantiles": stated}

    def _errors(self, y_true: np.ndarray, y_pred: np.ndarray) -> Any:
        return ops.abs(ops.cast(y_true, "float32") - self.scores(y_pred)[:, self.median])


class Pinball(keras.losses.Loss):
    """Mean over examples and levels t of max(t e, (t - 1) e), e = (y - center) / scale - output.

    Koenker & Bassett 1978, Econometrica 46, eq. 3.1.

    Args:
        levels: Q floats.
        center: float.
        scale: float above 0.
    """

    def __init__(self, levels: tuple[float, ...], center: float, scale: float) -> None:
        super().__init__(name="pinball", reduction="sum_over_batch_size")
        self.levels, self.center, self.scale = levels, center, scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """float32[B]."""
        aims = (ops.cast(y_true, y_pred.dtype) - self.center) / self.scale
        gaps = ops.reshape(aims, (-1, 1)) - y_pred
        levels = ops.convert_to_tensor(self.levels, y_pred.dtype)
        return ops.mean(ops.maximum(levels * gaps, (levels - 1.0) * gaps), axis=-1)
