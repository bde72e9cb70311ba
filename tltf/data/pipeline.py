"""From a Source to batches: seeded order, preprocessing once where it fits, targets, weights."""

import numpy as np
import tensorflow as tf

from tltf.data import augment as augment_module
from tltf.data import lookups
from tltf.errors import FlagError

PREFETCHED = 2
"""Batches that wait for the step; more take memory and no time off."""
MIN_BUCKET_BATCHES = 8
"""Batches that are drawn together and then sorted by length."""


def build(
    source,
    preprocessing,
    *,
    batch_size,
    training=False,
    augment="",
    seed=0,
    class_weights=None,
    num_classes=0,
    target="label",
    cache_bytes=2**31,
    first_epoch=None,
    num_epochs=1,
    length_buckets=False,
    reads=None,
):
    """Batches of `(inputs, targets, weights)`, dicts by name, of one pass over `source`.

    The order of training rows and the augmentation differ between passes, and are the same
    for the same seed and number of the pass. No row is left out; the last batch may be short.

    Args:
        source: Source.
        preprocessing: ImagePreprocessing or TextPreprocessing.
        batch_size: rows a batch, over all devices.
        training: shuffle, and augment.
        augment: a call string of AUGMENTS, several joined with `|`; training only.
        seed: int.
        class_weights: float[num_classes]; the weights of rows are those of their classes, mixed
            as their targets are.
        num_classes: needed for augmentations that mix targets; the source's by default.
        target: name of the head.
        cache_bytes: images are decoded once if all fit into so many bytes as uint8.
        first_epoch: number of the pass with which training starts, so that a resumed run goes
            on as it would have; None counts the passes over this dataset.
        num_epochs: passes in the dataset, with `first_epoch` only; no batch spans two.
        length_buckets: texts of similar length share a training batch, and every batch is cut
            to its longest text. For backbones that take any length.
        reads: lookups.Lookup that is read in place of the source's contents.

    Returns:
        tf.data.Dataset with inputs `{"image": float32[B, S, S, C]}`, 0 to 255, or those of the
        TextPreprocessing; targets `{target: int32[B]}`, float32[B, num_classes] when mixed, {}
        when unlabelled; weights `{target: float32[B]}`.
    """
    num_classes = num_classes or len(source.class_names)
    by_class = np.ones(num_classes) if class_weights is None else np.asarray(class_weights)
    with tf.device("CPU:0"):  # what tf.data reads stays in the host's memory
        lookup = reads or lookups.lookup(source, preprocessing, cache_bytes)
        by_class = tf.constant(by_class, tf.float32)
        is_cut = length_buckets and not lookup.is_cut
        finish = _finisher(source, target, by_class, is_cut)
    change = _augmentation(
        augment if training else "",
        source,
        num_classes,
        seed,
        None if class_weights is None else by_class,
    )
    buckets = lookup.lengths if length_buckets and training else None

    def one_pass(epoch):
        rows = _rows(len(source), training, seed, epoch, batch_size, buckets)
        return change(lookups.batches(rows, lookup, batch_size, finish), epoch)

    if not augment:  # AutoGraph would rewrite their source, which takes longer than small data
        one_pass = tf.autograph.experimental.do_not_convert(one_pass)
    num_batches = -(-len(source) // batch_size)
    if training and first_epoch is None:
        epochs = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1)
    else:
        epochs = tf.data.Dataset.range(first_epoch or 0, (first_epoch or 0) + num_epochs)
        num_batches *= num_epochs
    dataset = epochs.flat_map(one_pass)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return prefetched(dataset.with_options(options))


def prefetched(dataset):
    """`dataset` with a few batches ahead, and without tf.data's tuner.

    Ending an iterator waits for the tuner's thread, which sleeps for up to a minute and is not
    always woken: a pass of 8 s over 2,000 texts took 10.3 s in five of ten runs. Without it a map
    over AUTOTUNE runs on all cores, 16 at most.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options).prefetch(PREFETCHED)


def order(count, seed, epoch):
    """int64[N]: the row numbers of a training pass without length buckets."""
    rows = tf.range(count, dtype=tf.int64)
    return tf.random.experimental.stateless_shuffle(rows, seed=[seed, epoch])


def _rows(count, training, seed, epoch, batch_size, lengths):
    """int64[N] row numbers in the order of a pass."""
    if not training:
        return tf.range(count, dtype=tf.int64)
    rows = order(count, seed, epoch)
    if lengths is None:
        return rows
    return _bucketed(rows, tf.gather(lengths, rows), seed, epoch, batch_size)


def _bucketed(rows, lengths, seed, epoch, batch_size):
    """`rows` such that batches hold similar lengths: windows are sorted, batches shuffled.

    The rows that fill no batch stay at the end, as drawn.
    """
    count = rows.shape[0]
    window = batch_size * MIN_BUCKET_BATCHES
    num_full = count // batch_size * batch_size
    keys = tf.range(num_full) // window * 2**16 + lengths[:num_full]
    order = tf.argsort(keys, stable=True)
    batches = tf.reshape(tf.gather(rows[:num_full], order), [-1, batch_size])
    numbers = tf.range(num_full // batch_size)
    numbers = tf.random.experimental.stateless_shuffle(numbers, seed=[seed + 1, epoch])
    return tf.concat([tf.reshape(tf.gather(batches, numbers), [-1]), rows[num_full:]], 0)


def cut_to_longest(inputs, rows):
    """`(inputs, rows)` with inputs [B, L] cut to the longest text of the batch."""
    longest = tf.reduce_max(tf.reduce_sum(tf.cast(inputs["padding_mask"], tf.int32), axis=1))
    return {name: tensor[:, :longest] for name, tensor in inputs.items()}, rows


def _finisher(source, target, by_class, is_cut):
    """(inputs, rows) -> (inputs, targets, weights), cut to the longest text if `is_cut`."""
    labels = None if source.labels is None else tf.constant(source.labels, tf.int32)

    def finish(inputs, rows):
        if is_cut:
            inputs, _ = cut_to_longest(inputs, rows)
        if labels is None:
            return inputs, {}, {}
        targets = tf.gather(labels, rows)
        return inputs, {target: targets}, {target: tf.gather(by_class, targets)}

    return finish


def _augmentation(text, source, num_classes, seed, by_class):
    """(batches, number of the pass) -> changed batches."""
    if not text:
        return lambda batches, epoch: batches
    if source.modality != "image":
        raise FlagError("augmentations are for images", flag="augment", fix="leave --augment out")
    augmentation = augment_module.build(text, num_classes, seed)
    if augmentation.is_mixing and source.labels is None:
        raise FlagError("mixing needs labels", flag="augment", fix="leave mixup and cutmix out")

    def change(batches, epoch):
        def on_batch(batch, item):
            inputs, targets, weights = item
            labels = next(iter(targets.values()), None)
            images, labels = augmentation(inputs["image"], labels, epoch, batch)
            if augmentation.is_mixing and by_class is not None:
                weights = dict.fromkeys(weights, tf.linalg.matvec(labels, by_class))
            return inputs | {"image": images}, dict.fromkeys(targets, labels), weights

        return batches.enumerate().map(on_batch, num_parallel_calls=tf.data.AUTOTUNE)

    return change
