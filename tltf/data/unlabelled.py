"""Batches of rows without labels, which are read again and again beside the training rows."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tltf.config.call_strings import Call
from tltf.config.catalogs.row import AugmentRow
from tltf.data import lookups, ordering, pipeline
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.lookups import Lookup
from tltf.data.source import Source
from tltf.data.texts.preprocessing import TextPreprocessing

SEED_STEP = 0x2545F491
"""What is added to the seed, so that these rows have an order of their own."""


def build(
    source: Source,
    preprocessing: ImagePreprocessing | TextPreprocessing,
    lookup: Lookup,
    *,
    batch_size: int,
    steps: int,
    seed: int,
    first_epoch: int,
    num_epochs: int,
    skip: int = 0,
    augment: str | Sequence[Call[AugmentRow]] = (),
    length_buckets: bool = False,
) -> tf.data.Dataset:
    """Dataset of inputs, dicts by name of `batch_size` rows, with `steps` batches in every epoch.

    An epoch reads each row as often as is needed, in an order that the seed and its number give.

    Args:
        source: the rows.
        preprocessing: what makes their inputs.
        lookup: what is read of the rows.
        batch_size: rows per batch.
        steps: batches per epoch.
        seed: of the order and the augmentation.
        first_epoch: number of the first epoch.
        num_epochs: number of epochs.
        skip: number of batches of the first epoch that were read before.
        augment: call strings of AUGMENTS joined with `|`, or their Calls.
        length_buckets: whether texts of similar length share a batch, which is cut to its longest.
    """
    seed = (seed + SEED_STEP) % 2**31
    passes = -(-steps * batch_size // len(source))
    buckets = lookup.lengths if length_buckets else None
    order = ordering.Order(len(source), seed, batch_size, buckets)
    is_cut = length_buckets and not lookup.is_cut

    def finish(inputs: pipeline.Tensors, rows: tf.Tensor) -> pipeline.Example:
        return (pipeline.cut_padding(inputs) if is_cut else inputs), {}, {}

    bare = dataclasses.replace(source, label_fields={})
    change = pipeline.batch_change(augment, bare, 0, seed, None, preprocessing)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        rows = tf.concat([order(epoch * passes + number) for number in range(passes)], 0)
        start = tf.where(epoch == first_epoch, tf.constant(skip, tf.int64), 0)
        rows = rows[start * batch_size : steps * batch_size]
        return change(lookups.batches(rows, lookup, batch_size, finish), epoch, start)

    if not augment:
        one_epoch = tf.autograph.experimental.do_not_convert(one_epoch)
    epochs = tf.data.Dataset.range(first_epoch, first_epoch + num_epochs).flat_map(one_epoch)
    count = tf.data.experimental.assert_cardinality(num_epochs * steps - skip)
    return pipeline.prefetch(epochs.map(lambda inputs, *_: inputs).apply(count))


def beside(training: tf.data.Dataset, *others: tf.data.Dataset) -> tf.data.Dataset:
    """Batches of training rows, each with rows without labels behind it.

    With k datasets of others a batch has k + 1 times the rows: row 0 is the first training row, rows
    1 to k the first of each of the others, and so on, so that devices that share a batch have rows of
    each kind. Others have the target 0 and the weight 0; training rows weigh k + 1 times as much,
    so that the mean of the batch's losses is the mean over training rows.

    Args:
        training: (inputs, targets, weights) of B rows, dicts by name.
        others: inputs of at least B rows, of which the first B are taken.
    """
    num = 1 + len(others)

    def join(example: pipeline.Example, *more: pipeline.Tensors) -> pipeline.Example:
        inputs, targets, weights = example
        count = tf.shape(next(iter(weights.values())))[0]
        taken = [{name: tensor[:count] for name, tensor in part.items()} for part in more]
        joined = {
            name: _mixed([tensor, *(p[name] for p in taken)]) for name, tensor in inputs.items()
        }
        return (
            joined,
            {name: _padded(tensor, num, 1) for name, tensor in targets.items()},
            {name: _padded(tensor, num, num) for name, tensor in weights.items()},
        )

    zipped = tf.data.Dataset.zip((training, *others))
    return pipeline.prefetch(zipped.map(join, num_parallel_calls=tf.data.AUTOTUNE))


def _mixed(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """[k B, ...]: the rows of k tensors in turn; shorter texts are filled with zeros."""
    shapes = [tf.shape(tensor) for tensor in tensors]
    longest = tf.reduce_max(tf.stack(shapes), axis=0)
    sizes = {tuple(tensor.shape[1:]) for tensor in tensors}
    if len(sizes) > 1 or None in next(iter(sizes)):
        tensors = [
            tf.pad(tensor, tf.stack([tf.zeros_like(longest), longest - shape], axis=1))
            for tensor, shape in zip(tensors, shapes, strict=True)
        ]
    stacked = tf.stack(tensors, axis=1)
    static = [None, *stacked.shape[2:]]
    return tf.ensure_shape(tf.reshape(stacked, tf.concat([[-1], longest[1:]], 0)), static)


def _padded(tensor: tf.Tensor, num: int, factor: int) -> tf.Tensor:
    """[num B, ...]: each row of a tensor times `factor`, with num - 1 rows of zeros behind it."""
    zeros = [tf.zeros_like(tensor)] * (num - 1)
    return _mixed([tensor * tf.cast(factor, tensor.dtype), *zeros])


def split_kinds(tensor: tf.Tensor, num: int) -> list[tf.Tensor]:
    """`num` tensors [B, ...]: the training rows of a batch of `beside`, and each of the others."""
    return [tensor[place::num] for place in range(num)]
