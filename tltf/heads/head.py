"""The base class of all heads: layers on a backbone's features, with loss, metrics and decoding."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tltf.data.source import Source
from tltf.errors import FlagError
from tltf.heads.abstention import Rule
from tltf.heads.pooling import POOLINGS, pool


def checked_fields(
    pooling: str, hidden: Sequence[int], activation: str, dropout: float, features: Sequence[str]
) -> dict[str, Any]:
    """The fields that all heads have, by name, after a check of their values.

    Raises:
        FlagError: an unknown pooling or activation, or a number out of its range.
    """
    if pooling not in POOLINGS:
        raise FlagError(
            f"there is no pooling {pooling!r} (choices: {', '.join(POOLINGS)})", flag="head"
        )
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
            f"there is no activation {activation!r}", flag="head", fix="activation=relu"
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
    """A head: pooling, hidden layers and dropout; a subclass adds the output, loss and decoding.

    Args:
        pooling: how the features of an example become one vector. average: the mean over space, or
            over the tokens that are not padding; max: the maximum over these; flatten keeps every
            position of an image; first and last take the state of a text's first or last token;
            pooled takes the backbone's own pooled output; auto is last for a text network that
            reads from left to right, and average for others.
        hidden: units of the dense layers before the output.
        activation: activation of the hidden layers.
        dropout: dropout rate before each dense layer, 0 for none.
        features: names of an image backbone's taps, each pooled, side by side; empty for the last
            one.
    """

    pooling: str = "auto"
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    dropout: float = 0.0
    features: tuple[str, ...] = ()

    name: ClassVar[str]
    """The name of the output and of its target, and the first part of the layers' names."""
    target: ClassVar[str]
    """The kind of labels that the head takes, a name of label_kinds.KINDS."""
    has_order: ClassVar[bool] = False
    """Whether the classes have an order."""
    metric: ClassVar[str]
    """The name of the metric that `metric_value` computes."""
    lower_is_better: ClassVar[bool] = False
    """Whether that metric is an error, so that less of it is better."""
    scores_name: ClassVar[str] = "probabilities"
    """The name of what `scores` computes, in predictions and exports."""

    @property
    def model_class(self) -> type[keras.Model] | None:
        """The class of the model whose `train_step` trains the head; None for that of the method."""
        return None

    def begin(self, model: keras.Model, shared: Sequence[keras.Variable]) -> None:
        """Prepares the compiled model of a phase that takes steps; by default there is nothing to do.

        Args:
            model: of the class `model_class`, or of that of the method.
            shared: the trained weights of the last layer below the head; () for none.
        """

    def attach(
        self, taps: dict[str, keras.KerasTensor], modality: str, num_classes: int
    ) -> tuple[keras.KerasTensor, list[keras.Layer]]:
        """`(logits, layers)`: float32[B, num_classes] on the taps, and the new layers.

        Args:
            taps: name -> tensor, as `Backbone.taps` has them.
            modality: `image` or `text`.
            num_classes: number of classes or labels.
        """
        features, layers = self.before_output(taps, modality)
        output = keras.layers.Dense(num_classes, dtype="float32", name=f"{self.name}_logits")
        return output(features), [*layers, output]

    def attach_as(
        self, name: str, taps: dict[str, keras.KerasTensor], modality: str, num_classes: int
    ) -> tuple[keras.KerasTensor, list[keras.Layer]]:
        """What `attach` gives, with `name` as the first part of the layers' names.

        So several heads of one kind can stand on one network.
        """
        named = copy.copy(self)
        object.__setattr__(named, "name", name)
        return named.attach(taps, modality, num_classes)

    def before_output(
        self, taps: dict[str, keras.KerasTensor], modality: str
    ) -> tuple[keras.KerasTensor, list[keras.Layer]]:
        """`(features, layers)`: the input of the output layer, and the new layers below it."""
        features = pool(taps, modality, self.pooling, self.features)
        layers: list[keras.Layer] = []
        for number, units in enumerate(self.hidden, 1):
            features = self._drop(features, layers, f"{self.name}_dropout_{number}")
            dense = keras.layers.Dense(
                units, self.activation, dtype="float32", name=f"{self.name}_hidden_{number}"
            )
            layers.append(dense)
            features = dense(features)
        return self._drop(features, layers, f"{self.name}_dropout"), layers

    def class_order(self, source: Source) -> tuple[str, ...]:
        """The class names of a source in the order of the outputs."""
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
        """The weighted metrics of training."""
        raise NotImplementedError

    def losses_by_output(
        self, name: str, label_smoothing: float, focal_gamma: float, layers: Sequence[keras.Layer]
    ) -> dict[str, keras.losses.Loss]:
        """Name of an output of the core -> its training loss, see `loss`.

        Args:
            name: see `loss`.
            label_smoothing: see `loss`.
            focal_gamma: see `loss`.
            layers: those of the head.
        """
        return {self.name: self.loss(name, label_smoothing, focal_gamma)}

    def metrics_by_output(self) -> dict[str, list[keras.metrics.Metric]]:
        """Name of an output of the core -> its weighted metrics of training."""
        return {self.name: self.metrics()}

    def loss_weights(self, factor: float) -> dict[str, float] | None:
        """Name of an output of the core -> the weight of its loss; None where all are 1.

        Args:
            factor: on the losses of all outputs.
        """
        return None if factor == 1.0 else {self.name: factor}

    @property
    def unit(self) -> float | np.ndarray:
        """The size of a difference between `scores` that counts as 1; float[K] for one per score."""
        return 1.0

    def fit_to(self, source: Source) -> "Head":
        """The head for a training split with labels."""
        return self

    @property
    def choice(self) -> str:
        """What `tune` chooses, in words; empty where it chooses nothing."""
        return ""

    def tune(self, scores: np.ndarray, labels: np.ndarray) -> "Head":
        """The head with what is chosen on the validation split, from its `scores` and labels."""
        return self

    @property
    def can_calibrate(self) -> bool:
        """Whether `calibrate` can fit temperatures to this head."""
        return False

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The temperatures that `scores` divides by, one for all classes or one per label; () for none."""
        return ()

    def calibrate(
        self, logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, is_wanted: bool = False
    ) -> "Head":
        """The head with temperatures chosen on the validation split, see `tltf.heads.temperature`.

        Args:
            logits: float32[N, K] of the validation examples.
            labels: their labels.
            groups: uint64[N], equal for examples that cross-validation keeps together.
            is_wanted: whether the temperatures are fitted without asking whether they help.
        """
        return self

    def without_temperatures(self) -> "Head":
        """The head as it was before `calibrate`; the head itself where it has no temperatures."""
        return self

    @property
    def abstains(self) -> bool:
        """Whether the head may say that it is not sure."""
        return False

    def abstain(self, rule: Rule, scores: np.ndarray, labels: np.ndarray) -> "Head":
        """The head with a threshold of being sure that a rule chooses on the validation split.

        Args:
            rule: what --abstain names.
            scores: float32[N, K] of the validation examples.
            labels: their labels.
        """
        raise NotImplementedError

    def is_sure(self, scores: np.ndarray) -> np.ndarray:
        """bool[N]: whether the head is sure of its answer for each row of float[N, K] scores."""
        return np.ones(len(scores), bool)

    def describe(self, class_names: Sequence[str]) -> str:
        """What the head predicts, in words."""
        raise NotImplementedError

    def scores(self, logits: tf.Tensor | np.ndarray) -> tf.Tensor:
        """float32[B, K]: the probabilities or quantiles that logits mean."""
        raise NotImplementedError

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float[N]: the loss of each row."""
        raise NotImplementedError

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The metric by which the best epoch is chosen."""
        raise NotImplementedError

    def columns(self, class_names: Sequence[str]) -> list[str]:
        """The names of the columns of `scores` in tables."""
        raise NotImplementedError

    def answers(self, scores: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The answer of each row of float[N, K] scores, as tables have it."""
        raise NotImplementedError

    def evidence(self, logits: tf.Tensor) -> tf.Tensor:
        """float32[B, E]: the outputs that an explanation can be about, differentiable; the logits."""
        return tf.cast(logits, tf.float32)

    def evidence_names(self, class_names: Sequence[str]) -> tuple[str, ...]:
        """What each of the E columns of `evidence` speaks for."""
        return tuple(class_names)

    def answered(self, scores: np.ndarray) -> np.ndarray:
        """float32[N, E]: 1 in the columns of `evidence` that the answers to float[N, K] scores rest on."""
        raise NotImplementedError

    def read(self, row: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
        """The fields of the `Prediction` that one row of scores means, float32[K]."""
        raise NotImplementedError

    def answer_cells(self, fields: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """Column of a table -> the answer in it; None, or NaN of numbers, where there is none.

        Args:
            fields: of a `Prediction`, by name.
            class_names: of the model.
        """
        return {f"predicted_{self.name}": fields[self.name]}

    def positive_class(self, class_names: Sequence[str]) -> str:
        """The class that is answered from a threshold on, the second of two.

        Raises:
            FlagError: the head does not give one class of two.
        """
        raise FlagError(
            f"a threshold is for one class of two; this model predicts {self.describe(class_names)}",
            flag="threshold",
            fix="leave --threshold out",
        )

    def serving_outputs(
        self, scores: tf.Tensor, class_names: Sequence[str]
    ) -> dict[str, tf.Tensor]:
        """The outputs of an export for float32[B, K] scores, by name."""
        raise NotImplementedError

    def _drop(
        self, features: keras.KerasTensor, layers: list[keras.Layer], name: str
    ) -> keras.KerasTensor:
        if not self.dropout:
            return features
        layer = keras.layers.Dropout(self.dropout, dtype="float32", name=name)
        layers.append(layer)
        return layer(features)
