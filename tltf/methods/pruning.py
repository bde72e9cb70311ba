"""A model whose training step keeps pruned weights at 0 and prunes more of them by a schedule."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Pruning:
    """What a phase prunes.

    Weights that are 0 before a step count as pruned, so that nothing else has to be kept or restored.

    Args:
        kernels: the variables.
        share: share of zeros in each of them at the end.
        num_steps: number of steps of the phase.
        updates: how often more weights are pruned in these; 0 where the zeros stay as they are.
    """

    kernels: Sequence[keras.Variable]
    share: float
    num_steps: int
    updates: int

    @property
    def steps_between(self) -> int:
        """Number of steps from one update to the next."""
        return max(1, self.num_steps // max(self.updates, 1))

    def share_after(self, steps: tf.Tensor) -> tf.Tensor:
        """float32[]: the share of zeros after a number of steps: Zhu & Gupta 2017, eq. 1 with s_i = 0."""
        rest = 1.0 - tf.cast(steps, tf.float32) / float(self.num_steps)
        return self.share * (1.0 - tf.maximum(rest, 0.0) ** 3)

    def is_due(self, steps: tf.Tensor) -> tf.Tensor:
        """bool[]: whether more is pruned after a number of steps; always after the last one."""
        is_last = steps >= self.num_steps
        return tf.logical_or(is_last, steps % self.steps_between == 0)


class PrunedModel(keras.Model):
    """A functional model whose training step prunes as `pruning` says, or not where that is None."""

    pruning: Pruning | None = None

    def train_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """The metrics of a batch, after a step that has left pruned weights at 0."""
        pruning = self.pruning
        if pruning is None:
            logs: dict[str, tf.Tensor] = super().train_step(data)
            return logs
        kept = [tf.not_equal(kernel.value, 0) for kernel in pruning.kernels]
        logs = super().train_step(data)
        steps = tf.cast(self.optimizer.iterations.value, tf.int32)
        given = pruning, _averages(self.optimizer), kept, steps
        tf.distribute.get_replica_context().merge_call(_update, args=given)
        return logs


def _averages(optimizer: keras.Optimizer) -> dict[int, keras.Variable]:
    """id of a variable -> its moving average, where the optimizer keeps them."""
    own = getattr(optimizer, "inner_optimizer", optimizer)
    if not own.use_ema:
        return {}
    pairs = zip(own._trainable_variables, own._model_variables_moving_average, strict=True)
    return {id(variable): average for variable, average in pairs}


def _update(
    strategy: tf.distribute.Strategy,
    pruning: Pruning,
    averages: dict[int, keras.Variable],
    kept: list[tf.Tensor],
    steps: tf.Tensor,
) -> None:
    """Prunes the kernels on every device, and their averages, which have the step in them already."""

    def prune(weights: tf.Variable, kept_here: tf.Tensor, steps_here: tf.Tensor) -> None:
        masked = tf.where(kept_here, weights, tf.zeros((), weights.dtype))
        if pruning.updates:
            masked = tf.cond(
                pruning.is_due(steps_here),
                lambda: smallest_to_zero(masked, pruning.share_after(steps_here)),
                lambda: masked,
            )
        weights.assign(masked)

    def follow(average: tf.Variable, weights: tf.Tensor) -> None:
        average.assign(tf.where(tf.equal(weights, 0), tf.zeros((), average.dtype), average))

    for kernel, own in zip(pruning.kernels, kept, strict=True):
        strategy.extended.update(kernel.value, prune, args=(own, steps), group=False)
        average = averages.get(id(kernel))
        if average is not None:
            strategy.extended.update(average.value, follow, args=(kernel.value,), group=False)


def smallest_to_zero(weights: tf.Tensor, share: tf.Tensor | float) -> tf.Tensor:
    """The weights, of which a share, those of the smallest magnitude, are 0; equal ones go together."""
    sizes = tf.reshape(tf.abs(weights), [-1])
    number = tf.cast(tf.round(share * tf.cast(tf.size(sizes), tf.float32)), tf.int32)
    threshold = tf.sort(sizes)[tf.maximum(number - 1, 0)]
    is_kept = tf.logical_or(tf.abs(weights) > threshold, tf.equal(number, 0))
    return tf.where(is_kept, weights, tf.zeros((), weights.dtype))


def prune_now(kernels: Sequence[keras.Variable], share: float) -> None:
    """Sets a share of each variable, the smallest numbers, to 0."""
    for kernel in kernels:
        kernel.assign(np.asarray(smallest_to_zero(tf.convert_to_tensor(kernel.value), share)))
