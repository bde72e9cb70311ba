"""What all heads are: layers on a backbone's features, with loss, metrics and decoding."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from tltf.errors import FlagError
from tltf.heads.pooling import POOLINGS, pool


def checked_fields(
    pooling: str, hidden: Sequence[int], activation: str, dropout: float, features: Sequence[str]
) -> dict[str, Any]:
    """The fields that all heads have, by name.

    Raises:
        FlagError: an unknown pooling or activation, or a number out of its range.
    """
    if pooling not in POOLINGS:
        raise FlagError(f"no pooling {pooling!r} (choices: {', '.join(POOLINGS)})", flag="head")
    if not 0.0 <= dropout < 1.0:
        raise FlagError(
            f"dropout takes a number from 0 to below 1 (received {dropout})", flag="head"
        )
    if any(type(units) is not int or units < 1 for units in hidden):
        raise FlagError(f"hidden takes whole numbers above 0 (received {hidden})", flag="head")
    try:
        keras.activations.get(activation)
    except ValueError as error:
        raise FlagError(
            f"no activation {activation!r}", flag="head", fix="activation=relu"
        ) from error
    return {
        "pooling": pooling,
        "hidden": tuple(hidden),
        "activation": activation,
        "dropout": dropout,
        "features": tuple(features),
    }


@dataclasses.dataclass(frozen=True)
class Head:
    """Pooling, hidden layers, dropout before the output; what stands above is the subclass's.

    Args:
        pooling: of the features. auto: average over space, or over the tokens that are no
            padding; flatten keeps every position; first is a text's first token; pooled is
            the backbone's own pooled output.
        hidden: units of the dense layers before the output.
        activation: of the hidden layers.
        dropout: rate before each dense layer, 0 for none.
        features: an image backbone's taps, each pooled, side by side; empty: the last one.
    """

    pooling: str = "auto"
    hidden: tuple = ()
    activation: str = "relu"
    dropout: float = 0.0
    features: tuple = ()

    name: ClassVar[str]
    """Of the output, of its target and of the layers' names."""
    target: ClassVar[str]
    """What a label is read as, a name of label_kinds.KINDS."""
    has_order: ClassVar[bool] = False
    """Whether classes are ranks."""
    metric: ClassVar[str]
    """What `metric_value` gives."""
    lower_is_better: ClassVar[bool] = False
    """Whether that is an error."""
    stated_name: ClassVar[str] = "probabilities"
    """What `scores` gives."""

    def attach(self, taps: dict, modality: str, num_classes: int) -> tuple[Any, list]:
        """`(logits, layers)`: float32[B, num_classes] on the taps, and the new layers.

        Args:
            taps: name -> KerasTensor, as `Backbone.taps` has them.
            modality: `image` or `text`.
            num_classes: number of classes or labels.
        """
        features, layers = self.before_output(taps, modality)
        output = keras.layers.Dense(num_classes, dtype="float32", name=f"{self.name}_logits")
        return output(features), [*layers, output]

    def before_output(self, taps: dict, modality: str) -> tuple[Any, list]:
        """`(features, layers)`: what the output layer takes, and the new layers below it."""
        features = pool(taps, modality, self.pooling, self.features)
        layers: list = []
        for number, units in enumerate(self.hidden, 1):
            features = self._drop(features, layers, f"{self.name}_dropout_{number}")
            dense = keras.layers.Dense(
                units, self.activation, dtype="float32", name=f"{self.name}_hidden_{number}"
            )
            layers.append(dense)
            features = dense(features)
        return self._drop(features, layers, f"{self.name}_dropout"), layers

    def class_order(self, source: Any) -> tuple[str, ...]:
        """The names of a Source's classes in the order of the outputs."""
        return source.class_names

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> keras.losses.Loss:
        """The training loss on logits.

        Raises:
            FlagError: a loss that the head does not have.
        """
        raise NotImplementedError

    def metrics(self) -> list[keras.metrics.Metric]:
        """Weighted metrics of training."""
        raise NotImplementedError

    @property
    def unit(self) -> float:
        """The size of a difference of `scores` that counts as 1."""
        return 1.0

    def fit_to(self, source: Any) -> "Head":
        """The head for a training split, a Source with labels."""
        return self

    @property
    def choice(self) -> str:
        """What `tune` chooses, in words; empty where it chooses nothing."""
        return ""

    def tune(self, stated: np.ndarray, labels: np.ndarray) -> "Head":
        """The head with what is chosen on validation, of its `scores` and labels."""
        return self

    def describe(self, class_names: Sequence[str]) -> str:
        """What is predicted, in words."""
        raise NotImplementedError

    def scores(self, logits: Any) -> Any:
        """float32[B, K]: what the head states, of its logits."""
        raise NotImplementedError

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float[N]: the loss of each row."""
        raise NotImplementedError

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The metric by which epochs are chosen."""
        raise NotImplementedError

    def columns(self, class_names: Sequence[str]) -> list[str]:
        """Names of the columns of `scores` in tables."""
        raise NotImplementedError

    def answers(self, stated: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The answers in tables, of float[N, K] scores."""
        raise NotImplementedError

    def read(self, row: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
        """The fields of a `Prediction` of float32[K] scores."""
        raise NotImplementedError

    def serving_outputs(self, stated: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """What an export returns for float32[B, K] scores, by name."""
        raise NotImplementedError

    def _drop(self, features: keras.KerasTensor, layers: Any, name: str) -> keras.KerasTensor:
        if not self.dropout:
            return features
        layer = keras.layers.Dropout(self.dropout, dtype="float32", name=name)
        layers.append(layer)
        return layer(features)
