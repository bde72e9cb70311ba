"""Batches that several devices can share."""

from typing import Any

import tensorflow as tf


def share_batches(training: Any, batch_size: Any, num_replicas: int) -> Any:
    """`training`, a function that makes a dataset, with batches that the devices can share.

    It is for steps alone: what counts every row once, as a solver does, takes `training` itself.
    What a method adds to the loss of a batch, as bss and distill do, sees the repeated rows too.
    """
    if num_replicas == 1:
        return training
    return lambda *given, **named: fill_last(training(*given, **named), batch_size)


def fill_last(dataset: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Every batch with `batch_size` rows: the first rows are repeated and weigh nothing.

    Repeated, not zero: batch norm in training mode sees every row, whatever it weighs.

    The rows that were there weigh more in turn, so that the sum over all devices divided by
    `batch_size` is the mean over the real rows: what one device computes. The metrics of training
    weigh them alike, so that the last batch counts there as a full one: their curves are
    approximate on several devices. Validation and test are judged exactly.

    Args:
        dataset: of (inputs, targets, weights), each a dict of tensors [B, ...].
        batch_size: rows of each batch of the result.
    """

    def fill(inputs: Any, targets: Any, weights: Any) -> Any:
        count = tf.shape(next(iter(weights.values())))[0]
        scale = batch_size / tf.cast(count, tf.float32)
        is_real = tf.cast(tf.range(batch_size) < count, tf.float32)
        inputs, targets, weights = (
            {name: _repeat(tensor, count, batch_size) for name, tensor in part.items()}
            for part in (inputs, targets, weights)
        )
        return inputs, targets, {name: w * scale * is_real for name, w in weights.items()}

    return dataset.map(fill, num_parallel_calls=tf.data.AUTOTUNE)


def _repeat(tensor: Any, count: Any, batch_size: Any) -> Any:
    filled = tf.gather(tensor, tf.range(batch_size) % count)
    return tf.ensure_shape(filled, [batch_size, *tensor.shape[1:]])
