"""A side of bench_transfer.py: the least time that the work can take on tltf's graph.

It is the time of one forward pass of the frozen prefix over the training rows, plus that of
training the suffix for all epochs on the outputs of this pass. For the pass, rows are sorted by
length, each batch is cut to its longest row, the batch size is the fastest one, and every shape was
traced before. The suffix is trained in one loop inside a graph. Reading, tracing, metrics and
checkpoints are not part of it.
"""

import dataclasses
import time

import bench_work
import keras
import numpy as np
import tensorflow as tf

from tltf.config import checks, flagfiles, options
from tltf.data import loader, lookups
from tltf.graphs import freezing, frozen_prefix
from tltf.training import assembly
from tltf.training.distribution import strategies

BATCH_SIZES = (32, 64, 128, 256)
"""The batch sizes of the forward pass, of which the fastest counts."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Training rows as the network takes them, sorted by length.

    Args:
        inputs: name -> array [N, ...].
        lengths: int32[N]; None for images.
        labels: int32[N].
    """

    inputs: dict
    lengths: np.ndarray | None
    labels: np.ndarray

    def batch(self, start, size):
        """Name -> tensor of `size` rows from `start` on, cut to the longest of them."""
        stop = start + size
        cut = {name: array[start:stop] for name, array in self.inputs.items()}
        if self.lengths is not None:
            longest = self.lengths[start:stop].max()
            cut = {name: array[:, :longest] for name, array in cut.items()}
        return {name: tf.constant(array) for name, array in cut.items()}


def main():
    """Measures both parts and prints the result."""
    work = bench_work.read_work()
    trained, method = assemble(work)
    freeze(trained, method)
    parts = frozen_prefix.cut(trained.core.model, trained.core.groups)
    rows = sorted_rows(trained)
    shapes = {name: tensor.shape for name, tensor in trained.core.backbone.inputs.items()}
    pass_s, batch_size, boundary = best_pass(parts.prefix, rows, shapes)
    suffix_s = train_suffix(parts, trained.core.head, boundary, rows, work)
    bench_work.print_row(
        seconds=pass_s + suffix_s, pass_s=pass_s, suffix_s=suffix_s, pass_batch_size=batch_size
    )


def assemble(work):
    """`(TransferModel, Method)` of tltf for the work, before any training."""
    chosen, _ = flagfiles.parse(options.Options, work.flags())
    recipe, strategy = checks.resolve(chosen, needs_output=False), strategies.start(chosen.runtime)
    return assembly.assemble(chosen, recipe, loader.load_parts(chosen, recipe), strategy)


def freeze(trained, method):
    """Freezes what the first phase of the method does not train."""
    phase = method.phases(trained.core)[0]
    norm = phase.norm_policy(trained.options.train.norm)
    freezing.apply(trained.core.groups, phase.rules, norm)


def sorted_rows(trained):
    """The `Rows` of the training split."""
    part, prepared = trained.splits["train"], trained.preprocessing
    if part.modality == "image":
        batches = [inputs["image"].numpy() for inputs, *_ in trained.dataset(part, 64)]
        return Rows({"image": np.concatenate(batches)}, None, part.labels)
    inputs = lookups.tokenize(part.column.values, prepared)
    lengths = inputs["padding_mask"].sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    inputs = {name: array[order] for name, array in inputs.items()}
    return Rows(inputs, lengths[order], part.labels[order])


def best_pass(prefix, rows, shapes):
    """`(seconds, batch size, boundary tensors of each batch)` of the fastest size."""
    wide = {name: tf.TensorSpec(shapes[name], array.dtype) for name, array in rows.inputs.items()}
    forward = tf.function(lambda batch: prefix(batch, training=False), input_signature=[wide])
    passes = {}
    for size in BATCH_SIZES:
        batches = [rows.batch(start, size) for start in range(0, len(rows.labels), size)]
        forward(batches[0]), forward(batches[-1])
        start = time.monotonic()
        boundary = [forward(batch) for batch in batches]
        passes[size] = time.monotonic() - start, boundary
    size = min(passes, key=lambda size: passes[size][0])
    return passes[size][0], size, passes[size][1]


def train_suffix(parts, head, boundary, rows, work):
    """Seconds of training the suffix on the boundary tensors, in whole batches only."""
    outputs = parts.prefix.output
    is_long = {name: t.ndim > 1 and t.shape[1] is None for name, t in outputs.items()}
    columns = {name: join_batches([batch[name] for batch in boundary]) for name in outputs}
    labels, lengths = (
        tf.constant(rows.labels),
        tf.constant(0 if rows.lengths is None else rows.lengths),
    )
    optimizer, loss = keras.optimizers.Adam(work.learning_rate), head.loss()
    variables = parts.suffix.trainable_variables
    optimizer.build(variables)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int64)])
    def train(orders):
        for order in orders:
            inputs = {name: tf.gather(column, order) for name, column in columns.items()}
            if any(is_long.values()):
                longest = tf.reduce_max(tf.gather(lengths, order))
                inputs = {n: x[:, :longest] if is_long[n] else x for n, x in inputs.items()}
            with tf.GradientTape() as tape:
                logits = keras.tree.flatten(parts.suffix(inputs, training=True))[0]
                value = loss(tf.gather(labels, order), logits)
            optimizer.apply(tape.gradient(value, variables), variables)

    orders = epochs_of_batches(len(rows.labels), work)
    train(orders[:1])
    start = time.monotonic()
    train(orders)
    return time.monotonic() - start


def join_batches(batches):
    """One tensor of all batches of a boundary tensor; texts are padded with zeros to the longest."""
    arrays = [tensor.numpy() for tensor in batches]
    widest = max(array.shape[1:] for array in arrays)
    padded = []
    for array in arrays:
        gaps = [(0, wide - own) for wide, own in zip(widest, array.shape[1:], strict=True)]
        padded.append(np.pad(array, [(0, 0), *gaps]))
    return tf.constant(np.concatenate(padded))


def epochs_of_batches(num_rows, work):
    """int64[steps, batch size]: the rows of each batch, in random order of the batches.

    A batch has texts that are neighbours in length; images are in random order too.
    """
    steps = num_rows // work.batch_size
    batches = np.arange(steps * work.batch_size).reshape(steps, work.batch_size)
    random = np.random.default_rng(work.seed)
    if work.modality == "image":
        batches = random.permutation(batches.ravel()).reshape(batches.shape)
    orders = [batches[random.permutation(steps)] for _ in range(work.epochs)]
    return tf.constant(np.concatenate(orders), tf.int64)


if __name__ == "__main__":
    main()
