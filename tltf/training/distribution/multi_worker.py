"""Lets `fit` run on several devices and under MultiWorkerMirroredStrategy, where Keras 3.15 fails.

The symbolic build of Keras averages a batch over the devices. That fails for a mask, which is bool
and has no mean, and with several workers the strategy refuses a structure of PerReplica values. Here
the build takes one local batch. With several workers Keras reduces the metrics of a step over an axis
that a scalar does not have; here they are averaged over the local replicas. Gradients are still
reduced over all workers, in the optimizer.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.tensorflow import trainer as keras_trainer


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether several processes train together."""
    kind = tf.distribute.MultiWorkerMirroredStrategy
    return isinstance(strategy, kind) and strategy.extended._in_multi_worker_mode()


def broadcast_from_chief(strategy: tf.distribute.Strategy, values: np.ndarray) -> np.ndarray:
    """The int64[N] of the first worker, in all workers; each waits here for the others.

    Args:
        strategy: tf.distribute.Strategy; with one process its own values are returned.
        values: int64[N]; those of other workers than the first do not count.
    """
    if not is_multi_worker(strategy):
        return values

    @tf.function
    def chief_values() -> tf.Tensor:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.where(tf.equal(number, 0), values, tf.zeros_like(values))

    summed = strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(chief_values), axis=None)
    return summed.numpy()


@contextlib.contextmanager
def patch_fit(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """A block in which `fit` works under `strategy`; nothing changes where it works by itself."""
    has_workers = is_multi_worker(strategy)
    if not has_workers and strategy.num_replicas_in_sync == 1:
        yield
        return
    trainer = keras_trainer.TensorFlowTrainer
    before = keras_trainer.reduce_per_replica, trainer._maybe_symbolic_build
    trainer._maybe_symbolic_build = _build_on_local_batch
    if has_workers:
        keras_trainer.reduce_per_replica = _local_mean
    try:
        yield
    finally:
        keras_trainer.reduce_per_replica, trainer._maybe_symbolic_build = before


def _local_mean(values: Any, strategy: tf.distribute.Strategy, reduction: str) -> Any:
    """A nested structure of values, each averaged over the local replicas."""

    def mean(value: Any) -> tf.Tensor:
        return tf.reduce_mean(tf.stack(strategy.experimental_local_results(value)), axis=0)

    return keras.tree.map_structure(mean, values)


def _build_on_local_batch(self: keras.Model, iterator: Any = None, data_batch: Any = None) -> None:
    """Takes the place of Keras's `_maybe_symbolic_build`, whose arguments are the same."""
    strategy = self.distribute_strategy
    for _, _, batches in iterator or ():
        data_batch = keras.tree.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], next(batches)
        )
        break
    with strategy.scope():
        self._symbolic_build(data_batch=data_batch)
