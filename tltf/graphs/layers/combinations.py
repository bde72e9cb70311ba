"""Layers that make one answer of the answers of several members."""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("tltf")
class WeightedMean(keras.layers.Layer):
    """The mean of the scores of M members, each with its weight: sum_m w_m p_m."""

    def build(self, shapes: Sequence[tuple[int | None, ...]]) -> None:
        """Makes the weights, float32[M], which are equal."""
        count = len(shapes)
        self.shares = self.add_weight(
            (count,), keras.initializers.Constant(1.0 / count), name="shares"
        )

    def call(self, scores: Sequence[tf.Tensor]) -> tf.Tensor:
        """float32[B, K]: the mean of M tensors float32[B, K]."""
        return ops.sum(ops.stack(scores, axis=-1) * self.shares, axis=-1)


@keras.saving.register_keras_serializable("tltf")
class StackedLabels(keras.layers.Layer):
    """A logistic regression for each label on what M members say of it: b_k + sum_m w_mk z_mk."""

    def build(self, shapes: Sequence[tuple[int | None, ...]]) -> None:
        """Makes the weights, float32[M, K], and the biases, float32[K]; they give the mean of the logits."""
        count, labels = len(shapes), shapes[0][-1]
        mean = keras.initializers.Constant(1.0 / count)
        self.kernel = self.add_weight((count, labels), mean, name="kernel")
        self.bias = self.add_weight((labels,), "zeros", name="bias")

    def call(self, logits: Sequence[tf.Tensor]) -> tf.Tensor:
        """float32[B, K]: the logits of the labels, from M tensors float32[B, K]."""
        return ops.sum(ops.stack(logits, axis=1) * self.kernel, axis=1) + self.bias
