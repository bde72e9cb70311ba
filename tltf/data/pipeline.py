"""Batches of a Source: seeded order, preprocessing once where it fits in memory, targets, weights."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tltf.config.call_strings import Call
from tltf.config.catalogs.row import AugmentRow
from tltf.data import augment as augment_module
from tltf.data import label_kinds, lookups, ordering
from tltf.data.batch_changes import Augmentation
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.lookups import Lookup
from tltf.data.ordering import GivenOrder, GivenPasses, MixedOrder, Order
from tltf.data.source import Source
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError

CACHE_BYTES = 2**31
"""Images are decoded once if all fit into so many bytes."""
Tensors = dict[str, tf.Tensor]
Example = tuple[Tensors, Tensors, Tensors]
"""`(inputs, targets, weights)` of a batch."""
BatchChange = Callable[[tf.data.Dataset, tf.Tensor, int | tf.Tensor], tf.data.Dataset]
"""(batches, number of the pass, number of the first batch) -> changed batches."""
PREFETCHED = 2
"""The number of batches that wait for the next step; more would take memory and save no time."""


def build(
    source: Source,
    preprocessing: ImagePreprocessing | TextPreprocessing,
    *,
    batch_size: int,
    training: bool = False,
    augment: str | Sequence[Call[AugmentRow]] = (),
    seed: int = 0,
    class_weights: Sequence[float] | np.ndarray | None = None,
    num_classes: int = 0,
    target: str = "label",
    cache_bytes: int = CACHE_BYTES,
    first_epoch: int | None = None,
    num_epochs: int = 1,
    length_buckets: bool = False,
    reads: Lookup | None = None,
    sampling: str = "none",
    part: np.ndarray | GivenOrder | None = None,
    skip: int = 0,
) -> tf.data.Dataset:
    """Batches of `(inputs, targets, weights)`, dicts by name, of one pass over `source`.

    The order of training rows and the augmentation differ between passes, and are the same for the
    same seed and number of the pass. Only `sampling` and `part` leave rows out; the last batch may
    be short.

    Args:
        source: the rows.
        preprocessing: what makes their inputs.
        batch_size: rows per batch, over all devices.
        training: whether rows are shuffled and augmented.
        augment: call strings of AUGMENTS joined with `|`, or their Calls; for training only.
        seed: seed of the order and the augmentation.
        class_weights: float[num_classes]; a row has the weight of its class, and a row with a mixed
            target has the weights mixed in the same way.
        num_classes: number of classes, for augmentations that mix targets; that of the source by
            default.
        target: name of the head; several tasks have the names of the source's label fields.
        cache_bytes: images are decoded once if all fit into so many bytes as uint8.
        first_epoch: number of the pass with which training starts, so that a resumed run goes
            on as it would have; None counts the passes over this dataset.
        num_epochs: number of passes in the dataset, with `first_epoch` only; no batch spans two.
        length_buckets: whether texts of similar length share a training batch and every batch is
            cut to its longest text, for backbones that take any length.
        reads: the Lookup that is read in place of the source's contents.
        sampling: `none`, or `balanced`: training rows are drawn with replacement, every class
            equally often on average; a pass has as many rows as before. Numbers are refused.
        part: int64[M], the rows that training reads; a GivenOrder, with `first_epoch` only, says
            their order too; None for all.
        skip: number of batches of the first pass, with `first_epoch` only, that were read before.

    Returns:
        tf.data.Dataset with inputs `{"image": float32[B, S, S, C]}`, 0 to 255, or those of the
        TextPreprocessing; targets `{target: int32[B]}`, float32[B, num_classes] for mixed targets or
        several labels per row, float32[B] for numbers, {} without labels; weights `{target: float32[B]}`.
    """
    num_classes = num_classes or len(source.class_names)
    by_class = np.ones(num_classes) if class_weights is None else np.asarray(class_weights)
    with tf.device("CPU:0"):  # what tf.data reads stays in the host's memory
        lookup = reads or lookups.build_lookup(source, preprocessing, cache_bytes)
        by_class = tf.constant(by_class, tf.float32)
        is_cut = length_buckets and not lookup.is_cut
        finish = _finisher(source, target, by_class, is_cut)
    change = batch_change(
        augment if training else (),
        source,
        num_classes,
        seed,
        None if class_weights is None else by_class,
        preprocessing,
    )
    order = _order(
        source,
        (part, first_epoch or 0, num_epochs),
        (seed, batch_size, lookup.lengths if length_buckets else None),
        sampling == "balanced",
    )

    def one_pass(epoch: tf.Tensor) -> tf.data.Dataset:
        rows = order(epoch) if training else tf.range(len(source), dtype=tf.int64)
        start = 0
        if skip:
            start = tf.where(epoch == (first_epoch or 0), tf.constant(skip, tf.int64), 0)
            rows = rows[start * batch_size :]
        return change(lookups.batches(rows, lookup, batch_size, finish), epoch, start)

    if (
        not augment
    ):  # AutoGraph would rewrite the source, which takes longer than reading small data
        one_pass = tf.autograph.experimental.do_not_convert(one_pass)
    num_batches = -(-(len(order) if training else len(source)) // batch_size)
    if training and first_epoch is None:
        epochs = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1)
    else:
        epochs = tf.data.Dataset.range(first_epoch or 0, (first_epoch or 0) + num_epochs)
        num_batches = num_batches * num_epochs - skip
    dataset = epochs.flat_map(one_pass)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return prefetch(dataset.with_options(options))


def _order(
    source: Source,
    passes: tuple[np.ndarray | GivenOrder | None, int, int],
    settings: tuple[int, int, np.ndarray | None],
    is_balanced: bool,
) -> Order | MixedOrder | GivenPasses:
    """The order of training rows.

    Args:
        source: the rows.
        passes: `(part, first_epoch, num_epochs)`, see `build`.
        settings: `(seed, batch_size, lengths)`, see `Order`.
        is_balanced: whether every class is drawn equally often.

    Raises:
        FlagError: both a method and --sampling would draw the rows.
    """
    part, first_epoch, num_epochs = passes
    seed, batch_size, lengths = settings
    if source.mixed is not None and part is None:
        return MixedOrder(source.mixed, seed, batch_size, lengths)
    if not isinstance(part, GivenOrder):
        drawn = _classes(source) if is_balanced else None
        return ordering.Order(len(source), seed, batch_size, lengths, drawn, part)
    if is_balanced:
        raise FlagError(
            "the method draws the rows of a batch itself, so that balanced has no effect",
            flag="sampling",
            fix="--sampling=none",
        )
    return GivenPasses(part, first_epoch, num_epochs)


def _classes(source: Source) -> np.ndarray:
    """int64[N], the stratum of each row; FlagError for numbers, which have no classes."""
    if source.labels is not None and not label_kinds.kind_of(source.labels).has_classes:
        raise FlagError(
            "balanced draws every class equally often, but the data has numbers",
            flag="sampling",
            fix="--sampling=none",
        )
    return source.strata()


def prefetch(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """`dataset` that reads a few batches ahead, without the tuner of tf.data.

    Ending an iterator waits for the tuner's thread, which sleeps for up to a minute and is not
    always woken: a pass of 8 s over 2,000 texts took 10.3 s in five of ten runs. Without it a map
    over AUTOTUNE runs on all cores, 16 at most.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options).prefetch(PREFETCHED)


def cut_to_longest(inputs: Tensors, rows: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
    """`(inputs, rows)`, with the inputs [B, L] cut to the longest text of the batch."""
    return cut_padding(inputs), rows


def cut_padding(inputs: Tensors) -> Tensors:
    """The inputs [B, L] of texts up to the last place that is not padding in every row, at least one."""
    is_used = tf.reduce_any(tf.cast(inputs["padding_mask"], tf.bool), axis=0)
    places = tf.range(1, tf.size(is_used) + 1)
    longest = tf.maximum(tf.reduce_max(tf.where(is_used, places, 0)), 1)
    return {name: tensor[:, :longest] for name, tensor in inputs.items()}


def _finisher(
    source: Source, target: str, by_class: tf.Tensor, is_cut: bool
) -> Callable[[Tensors, tf.Tensor], Example]:
    """A function (inputs, rows) -> (inputs, targets, weights); `is_cut`: cut to the longest text."""
    if len(source.label_fields) > 1:
        return _task_finisher(source, is_cut)
    labels, is_class = None, False
    if source.labels is not None:
        is_class = label_kinds.kind_of(source.labels).is_one_class
        labels = tf.constant(source.labels)
        labels = labels if is_class else tf.cast(labels, tf.float32)

    def finish(inputs: Tensors, rows: tf.Tensor) -> Example:
        if is_cut:
            inputs, _ = cut_to_longest(inputs, rows)
        if labels is None:
            return inputs, {}, {}
        targets = tf.gather(labels, rows)
        weights = tf.gather(by_class, targets) if is_class else tf.ones_like(rows, tf.float32)
        return inputs, {target: targets}, {target: weights}

    return finish


def _task_finisher(source: Source, is_cut: bool) -> Callable[[Tensors, tf.Tensor], Example]:
    """The function of `_finisher` for several tasks, whose targets and weights have a name each.

    A row without a label of a task has the weight 0, and the others N / (rows with one), so that the
    loss of a task is a mean over its own rows whatever share of the rows has a label. Rows of several
    data sets, which are drawn by the size of these, have the number of data sets as their weight, so
    that a task counts as often as it is drawn.
    """
    values, weights = dict[str, tf.Tensor](), dict[str, tf.Tensor]()
    for task, labels in source.label_fields.items():
        is_class = labels.kind.is_one_class
        values[task] = tf.constant(labels.values, None if is_class else tf.float32)
        share = labels.known.mean() if source.mixed is None else 1 / source.mixed.num_sets
        weights[task] = tf.constant(labels.known / (share or 1.0), tf.float32)

    def finish(inputs: Tensors, rows: tf.Tensor) -> Example:
        if is_cut:
            inputs, _ = cut_to_longest(inputs, rows)
        targets, own = (
            {task: tf.gather(tensor, rows) for task, tensor in tensors.items()}
            for tensors in (values, weights)
        )
        return inputs, targets, own

    return finish


def batch_change(
    text: str | Sequence[Call[AugmentRow]],
    source: Source,
    num_classes: int,
    seed: int,
    by_class: tf.Tensor | None,
    preprocessing: ImagePreprocessing | TextPreprocessing,
) -> BatchChange:
    """The change of batches that --augment names; none for an empty text."""
    if not text:
        return lambda batches, epoch, start: batches
    augment_module.require_modality(text, source.modality)
    augmentation = augment_module.build(text, num_classes, seed)
    if isinstance(preprocessing, TextPreprocessing):
        return _token_changes(augmentation, preprocessing)
    if augmentation.is_mixing and source.labels is None:
        raise FlagError(
            "mixup and cutmix need labels", flag="augment", fix="leave mixup and cutmix out"
        )
    if (
        augmentation.is_mixing
        and source.labels is not None
        and not label_kinds.kind_of(source.labels).is_one_class
    ):
        raise FlagError(
            "mixup and cutmix mix classes, the data has several labels or numbers",
            flag="augment",
            fix="leave mixup and cutmix out",
        )

    def change(
        batches: tf.data.Dataset, epoch: tf.Tensor, start: int | tf.Tensor
    ) -> tf.data.Dataset:
        def change_batch(batch: tf.Tensor, example: Example) -> Example:
            inputs, targets, weights = example
            labels = next(iter(targets.values()), None)
            images, labels = augmentation(inputs["image"], labels, epoch, batch)
            if augmentation.is_mixing and by_class is not None:
                weights = dict.fromkeys(weights, tf.linalg.matvec(labels, by_class))
            return inputs | {"image": images}, dict.fromkeys(targets, labels), weights

        return batches.enumerate(start).map(change_batch, num_parallel_calls=tf.data.AUTOTUNE)

    return change


def _token_changes(augmentation: Augmentation, preprocessing: TextPreprocessing) -> BatchChange:
    """The change of batches of texts: tokens change, but not those that begin and end a text."""
    mask_id, (start, end) = preprocessing.mask_id(), preprocessing.special_ids()
    kept = tf.constant([preprocessing.pad_id, *start, *end], tf.int32)

    def change(
        batches: tf.data.Dataset, epoch: tf.Tensor, start: int | tf.Tensor
    ) -> tf.data.Dataset:
        def change_batch(batch: tf.Tensor, example: Example) -> Example:
            inputs, targets, weights = example
            ids = inputs["token_ids"]
            may_change = tf.reduce_all(ids[..., tf.newaxis] != kept, axis=-1)
            ids = augmentation.change_tokens(ids, may_change, mask_id, epoch, batch)
            return inputs | {"token_ids": ids}, targets, weights

        return batches.enumerate(start).map(change_batch, num_parallel_calls=tf.data.AUTOTUNE)

    return change
