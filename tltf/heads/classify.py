"""Heads: what stands on a backbone's features, with its loss, metrics and decoding."""

import dataclasses

import keras
import numpy as np
from keras import ops

from tltf.data import label_kinds
from tltf.errors import FlagError, ModelError, shown_names

POOLINGS = ("auto", "average", "max", "flatten", "first", "pooled")
LEAST_REST = 1e-12
"""Smallest 1 - p of the focal loss."""


def classify(pooling="auto", hidden=(), activation="relu", dropout=0.0, features=()):
    """A classification head; see `Classify` for the arguments.

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
    return Classify(pooling, tuple(hidden), activation, dropout, tuple(features))


@dataclasses.dataclass(frozen=True)
class Classify:
    """One class of several: pooling, hidden layers, dropout before the output, logits.

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

    name = "label"
    target = label_kinds.CLASS
    """What a label is read as, a name of label_kinds.KINDS."""
    has_order = False
    """Whether classes are ranks."""
    metric = "accuracy"
    """What `metric_value` gives."""
    lower_is_better = False
    """Whether that is an error."""
    stated_name = "probabilities"
    """What `scores` gives."""

    def attach(self, taps, modality, num_classes):
        """`(logits, layers)`: float32[B, num_classes] on the taps, and the new layers.

        Args:
            taps: name -> KerasTensor, as `Backbone.taps` has them.
            modality: `image` or `text`.
            num_classes: number of classes, at least 2.
        """
        features, layers = self.before_output(taps, modality)
        output = keras.layers.Dense(num_classes, dtype="float32", name=f"{self.name}_logits")
        return output(features), [*layers, output]

    def before_output(self, taps, modality):
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

    def class_order(self, source):
        """The names of a Source's classes in the order of the outputs."""
        return source.class_names

    def loss(self, name="cross_entropy", label_smoothing=0.0, focal_gamma=2.0):
        """The training loss on logits; targets are int[B] or float[B, num_classes].

        Args:
            name: `cross_entropy`, or `focal`: Lin et al. 2017, arXiv:1708.02002, eq. 4.
            label_smoothing: see `CrossEntropy`.
            focal_gamma: of the factor (1 - p)^gamma, p the probability of the target's class.
        """
        return CrossEntropy(label_smoothing, focal_gamma if name == "focal" else 0.0)

    def metrics(self):
        """Weighted metrics of training, by name."""
        return [keras.metrics.MeanMetricWrapper(hits, name="accuracy")]

    @property
    def unit(self):
        """The size of a difference of `scores` that counts as 1."""
        return 1.0

    def fit_to(self, source):
        """The head for a training split, a Source with labels."""
        return self

    @property
    def choice(self):
        """What `tune` chooses, in words; empty where it chooses nothing."""
        return ""

    def tune(self, stated, labels):
        """The head with what is chosen on validation, of its `scores` and labels."""
        return self

    def describe(self, class_names):
        """What is predicted, in words."""
        return f"{len(class_names)} classes ({shown_names(class_names)})"

    def scores(self, logits):
        """float32[B, num_classes]: probabilities, each row summing to 1."""
        return ops.softmax(ops.cast(logits, "float32"), axis=-1)

    def losses(self, logits, labels):
        """float[N]: the cross-entropy of each row of float[N, C] logits with int[N] labels."""
        return losses(logits, labels)

    def metric_value(self, logits, labels):
        """The share of rows of float[N, C] logits whose most probable class is right."""
        return float((self.most_probable(logits) == labels).mean())

    def most_probable(self, logits):
        """int[N]: the most probable class."""
        return logits.argmax(axis=1)

    def columns(self, class_names):
        """Names of the columns of `scores` in tables."""
        return [f"probability_{name}" for name in class_names]

    def answers(self, stated, class_names):
        """str a row of float[N, C]: the answer in tables."""
        return [class_names[place] for place in np.argmax(stated, axis=1)]

    def read(self, row, class_names):
        """The fields of a `Prediction` of float32[C]."""
        probabilities = dict(zip(class_names, row.tolist(), strict=True))
        return {"label": class_names[int(row.argmax())], "probabilities": probabilities}

    def serving_outputs(self, stated, class_names):
        """What an export returns for float32[B, C] probabilities, by name."""
        import tensorflow as tf

        label = tf.gather(tf.constant(class_names), tf.argmax(stated, axis=-1))
        return {"label": label, "probabilities": stated}

    def _drop(self, features, layers, name):
        if not self.dropout:
            return features
        layer = keras.layers.Dropout(self.dropout, dtype="float32", name=name)
        layers.append(layer)
        return layer(features)


class CrossEntropy(keras.losses.Loss):
    """Mean of -sum_c q_c (1 - p_c)^g log p_c, p = softmax(logits), q the smoothed target.

    q = (1 - s) y + s / C, Szegedy et al. 2015, arXiv:1512.00567, section 7.

    Args:
        label_smoothing: s, from 0 to below 1.
        focal_gamma: g, at least 0.
    """

    def __init__(self, label_smoothing=0.0, focal_gamma=0.0):
        super().__init__(name="cross_entropy", reduction="sum_over_batch_size")
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma

    def call(self, y_true, y_pred):
        """float32[B]: the loss of each example."""
        if len(y_true.shape) < len(y_pred.shape):
            y_true = ops.one_hot(y_true, y_pred.shape[-1], dtype=y_pred.dtype)
        smoothing = self.label_smoothing
        if not self.focal_gamma:
            return keras.losses.categorical_crossentropy(
                y_true, y_pred, from_logits=True, label_smoothing=smoothing
            )
        aims = (1.0 - smoothing) * y_true + smoothing / y_pred.shape[-1]
        logs = ops.log_softmax(y_pred, axis=-1)  # of clipped p a confident mistake has no slope
        factors = focal_factors(-ops.expm1(logs), self.focal_gamma)
        return -ops.sum(aims * factors * logs, axis=-1)


def focal_factors(rest, gamma):
    """rest^gamma, rest = 1 - p, with a finite slope at 0 where gamma is below 1."""
    return ops.maximum(rest, LEAST_REST) ** gamma


def hits(y_true, y_pred):
    """float32[B]: 1 where the largest logit is the target's class."""
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.argmax(y_true, axis=-1)
    return ops.cast(ops.equal(ops.cast(y_true, "int32"), ops.argmax(y_pred, axis=-1)), "float32")


def pool(taps, modality, pooling, features=()):
    """The features that a head sees, one row an example.

    Args:
        taps: name -> KerasTensor. Images: `stage_n` float[B, h, w, c]; texts: `sequence`
            float[B, L, d] and `mask` [B, L]; `pooled` float[B, d] where there is one.
        modality: `image` or `text`.
        pooling: one of POOLINGS.
        features: names of image taps to pool and put side by side; empty: the last stage.

    Returns:
        KerasTensor float32[B, d].

    Raises:
        ModelError: the backbone does not have what the pooling takes.
    """
    if features:
        _check_features(taps, modality, features)
        pooled = [_pool_image({name: taps[name]}, pooling) for name in features]
        return ops.concatenate([ops.cast(part, "float32") for part in pooled], axis=-1)
    pooled = _pool_one(taps, modality, pooling)
    return pooled if pooled.dtype == "float32" else ops.cast(pooled, "float32")


def _pool_one(taps, modality, pooling):
    if pooling == "pooled":
        if "pooled" not in taps:
            raise ModelError("this backbone has no pooled output", flag="head",
                             fix="--head='classify(pooling=average)'")  # fmt: skip
        return taps["pooled"]
    return _pool_image(taps, pooling) if modality == "image" else _pool_text(taps, pooling)


def _check_features(taps, modality, features):
    """Raises ModelError for a tap that is no image stage of the backbone."""
    stages = [name for name in taps if modality == "image" and name.startswith("stage_")]
    unknown = [name for name in features if name not in stages]
    if unknown:
        what = f"no features {unknown[0]!r} (choices: {', '.join(stages) or 'none for texts'})"
        raise ModelError(what, flag="head", fix="leave features out for the last stage")


def _pool_image(taps, pooling):
    final = list(taps.values())[-1] if "pooled" not in taps else _last_stage(taps)
    if pooling == "flatten":
        return ops.reshape(final, (-1, final.shape[1] * final.shape[2] * final.shape[3]))
    if pooling == "max":
        return ops.max(final, axis=(1, 2))
    if pooling == "first":
        raise ModelError("pooling=first takes a text backbone", flag="head")
    return ops.mean(ops.cast(final, "float32"), axis=(1, 2))


def _last_stage(taps):
    return taps[max((t for t in taps if t.startswith("stage_")), key=lambda t: int(t[6:]))]


def _pool_text(taps, pooling):
    sequence = ops.cast(taps["sequence"], "float32")
    mask = ops.expand_dims(ops.cast(taps["mask"], "float32"), -1)
    if pooling == "first":
        return sequence[:, 0, :]
    if pooling == "max":
        return ops.max(sequence - (1.0 - mask) * 1e9, axis=1)
    if pooling == "flatten":
        raise ModelError("pooling=flatten takes an image backbone", flag="head",
                         fix="--head='classify(pooling=average)'")  # fmt: skip
    return ops.sum(sequence * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1.0)


def losses(logits, labels):
    """float[N]: the cross-entropy of each row of float[N, C] logits with int[N] labels."""
    top = logits.max(axis=1, keepdims=True)
    norm = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return norm - logits[np.arange(len(labels)), labels]
