"""Cross-entropy: as a training loss, smoothed or focal, and exact for each row."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

LEAST_REST = 1e-12
"""Smallest 1 - p in the factor of the focal loss."""


class CrossEntropy(keras.losses.Loss):
    """The mean of -sum_c q_c (1 - p_c)^g log p_c, p = softmax(logits), q the smoothed target.

    q = (1 - s) y + s / C: Szegedy et al. 2015, arXiv:1512.00567, section 7.

    Args:
        label_smoothing: s, from 0 to below 1.
        focal_gamma: g, at least 0.
    """

    def __init__(self, label_smoothing: float = 0.0, focal_gamma: float = 0.0) -> None:
        super().__init__(name="cross_entropy", reduction="sum_over_batch_size")
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """float32[B]: the loss of each example."""
        if len(y_true.shape) < len(y_pred.shape):
            y_true = ops.one_hot(y_true, y_pred.shape[-1], dtype=y_pred.dtype)
        smoothing = self.label_smoothing
        if not self.focal_gamma:
            return keras.losses.categorical_crossentropy(
                y_true, y_pred, from_logits=True, label_smoothing=smoothing
            )
        aims = (1.0 - smoothing) * y_true + smoothing / y_pred.shape[-1]
        # Not the log of a clipped p: there a confident mistake would have no gradient.
        logs = ops.log_softmax(y_pred, axis=-1)
        factors = focal_factors(-ops.expm1(logs), self.focal_gamma)
        return -ops.sum(aims * factors * logs, axis=-1)


def focal_factors(rest: tf.Tensor, gamma: float) -> tf.Tensor:
    """rest^gamma, rest = 1 - p, with a finite slope at 0 where gamma is below 1."""
    return ops.maximum(rest, LEAST_REST) ** gamma


def hits(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """float32[B]: 1 where the largest logit is that of the target's class, else 0."""
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.argmax(y_true, axis=-1)
    return ops.cast(ops.equal(ops.cast(y_true, "int32"), ops.argmax(y_pred, axis=-1)), "float32")


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float[N]: the cross-entropy of each row of float[N, C] logits with int[N] labels."""
    top = logits.max(axis=1, keepdims=True)
    norm = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return norm - logits[np.arange(len(labels)), labels]
