"""Batches that several devices can share."""

from collections.abc import Callable

import tensorflow as tf

Tensors = dict[str, tf.Tensor]
MakesDataset = Callable[..., tf.data.Dataset]


def share_batches(
    training: MakesDataset, batch_size: int | None, num_replicas: int
) -> MakesDataset:
    """A function that makes the dataset of `training` with batches that the devices can share.

    It is for training steps alone: a solver, which counts every row once, takes `training` itself.
    What a method adds to the loss of a batch, as bss and distill do, sees the repeated rows too.

    Args:
        training: function that makes a dataset.
        batch_size: rows per batch, over all devices; needed where there are several.
        num_replicas: number of devices.
    """
    if num_replicas == 1:
        return training
    if batch_size is None:
        raise ValueError("several devices need a batch size")
    return lambda *arguments, **named: fill_last(training(*arguments, **named), batch_size)


def fill_last(dataset: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """The dataset with `batch_size` rows in every batch: first rows are repeated with the weight 0.

    Rows are repeated and not filled with zeros because batch norm in training mode sees every row,
    whatever it weighs.

    The real rows weigh more in turn, so that the sum over all devices divided by `batch_size` is
    the mean over the real rows, which is what one device computes. The metrics of training use the
    same weights, so that the last batch counts there as a full one: their curves are approximate
    on several devices. Validation and test are judged exactly.

    Args:
        dataset: elements are (inputs, targets, weights), each a dict of tensors [B, ...].
        batch_size: rows of each batch of the result.
    """

    def fill(
        inputs: Tensors, targets: Tensors, weights: Tensors
    ) -> tuple[Tensors, Tensors, Tensors]:
        count = tf.shape(next(iter(weights.values())))[0]
        scale = batch_size / tf.cast(count, tf.float32)
        is_real = tf.cast(tf.range(batch_size) < count, tf.float32)
        inputs, targets, weights = (
            {name: _repeat(tensor, count, batch_size) for name, tensor in part.items()}
            for part in (inputs, targets, weights)
        )
        return inputs, targets, {name: w * scale * is_real for name, w in weights.items()}

    return dataset.map(fill, num_parallel_calls=tf.data.AUTOTUNE)


def _repeat(tensor: tf.Tensor, count: tf.Tensor, batch_size: int) -> tf.Tensor:
    """`batch_size` rows of a tensor of `count` rows, which are repeated from the first on."""
    filled = tf.gather(tensor, tf.range(batch_size) % count)
    return tf.ensure_shape(filled, [batch_size, *tensor.shape[1:]])
