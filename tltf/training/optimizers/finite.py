"""Whether the loss and the gradients of each training step are finite, noted on the device.

Keras looks at neither. Its logs are means over an epoch, and steps that run together have one log:
only the step itself can tell which of them broke. The cost is that every gradient is read once.
"""

import threading
from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

LOSS, GRADIENT = "loss", "gradient"
MOST_SKIPPED = 100
"""The number of steps that a LossScale skips in a row before the training counts as broken."""


class FirstBrokenStep:
    """Finds the first step whose loss or gradient was not finite; it is made in the strategy's scope.

    Its variables are not among the optimizer's, so no checkpoint has them. It adds losses and norms
    up over the steps: once a sum is not finite it never is again. That takes six operations per step;
    with more of them a small head would train noticeably slower.
    """

    def __init__(self) -> None:
        self._sums = _variable("float32", "finite_sums")
        self._counts = _variable("int64", "finite_steps")
        self._local = threading.local()  # replicas are traced in threads of their own

    def hold_loss(self, loss: tf.Tensor) -> None:
        """Keeps the loss of the step that is being traced, for `loss`."""
        self._local.loss = loss

    def loss(self) -> tf.Tensor:
        """float32[]: the loss that was kept, which is given out once; 0 where there is none."""
        held, self._local.loss = getattr(self._local, "loss", None), None
        return tf.constant(0.0) if held is None else tf.cast(held, tf.float32)

    def note(self, loss: tf.Tensor, norm: tf.Tensor) -> None:
        """Counts a step.

        Args:
            loss: float32[], over all devices.
            norm: float32[], over all devices; it is finite if and only if the gradients are.
        """
        self._sums.assign_add(tf.stack([loss, norm]))
        self._counts.assign_add(tf.cast(tf.math.is_finite(self._sums.value), tf.int64))

    def read(self, num_steps: int) -> tuple[int, str] | None:
        """(number of steps that were finite, LOSS or GRADIENT) of `num_steps`; None if all were.

        A loss that is not finite has no finite gradient, so the loss is named where both break.
        """
        loss, gradient = self._counts.numpy().tolist()
        if min(loss, gradient) >= num_steps:
            return None
        return min(loss, gradient), LOSS if loss <= gradient else GRADIENT


def _variable(dtype: str, name: str) -> keras.Variable:
    return keras.Variable(
        tf.zeros(2, dtype),
        trainable=False,
        dtype=dtype,
        aggregation="only_first_replica",
        name=name,
    )


def squares(gradients: Iterable[tf.Tensor | None]) -> tf.Tensor:
    """float32[]: half the sum of the squares of dense gradients; None is left out.

    A gradient whose square is too large for float32 counts as not finite, because Adam and clipping
    take the square.
    """
    found = [tf.nn.l2_loss(gradient) for gradient in gradients if gradient is not None]
    return tf.add_n([tf.cast(one, tf.float32) for one in found])


class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling for float16, which counts the steps that it skips.

    Departs from Keras: the devices decide together. Keras 3.15 asks only the first one, so that a
    gradient that is not finite on another device gets into all weights.

    `num_skipped` counts all skipped steps, `num_skipped_in_a_row` those since the last step that was
    taken; once that number is MOST_SKIPPED it stays so.
    """

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the counts."""
        super().build(variables)
        self.broken = FirstBrokenStep()
        self.num_skipped, self.num_skipped_in_a_row = (
            self.add_variable((), "zeros", "int", aggregation="none", name=name)
            for name in ("num_skipped", "num_skipped_in_a_row")
        )

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss times the scale."""
        self.broken.hold_loss(loss)
        return super().scale_loss(loss)

    def apply(
        self,
        gradients: tuple[tf.Tensor, ...],
        trainable_variables: tuple[keras.Variable, ...] | None = None,
    ) -> None:
        """Notes the loss, then takes the step or skips it."""
        context = tf.distribute.get_replica_context()
        self.broken.note(context.all_reduce("sum", self.broken.loss()), tf.constant(0.0))
        super().apply(gradients, trainable_variables)

    def check_finite(self, gradients: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """bool[]: whether the gradients of all devices are finite."""
        is_broken = tf.cast(tf.logical_not(super().check_finite(gradients)), tf.float32)
        context = tf.distribute.get_replica_context()
        return tf.equal(context.all_reduce("sum", is_broken), 0.0)

    def _stateful_handle_finite_grads(
        self, gradients: tuple[tf.Tensor, ...], variables: tuple[keras.Variable, ...]
    ) -> None:
        super()._stateful_handle_finite_grads(gradients, variables)
        count = self.num_skipped_in_a_row
        count.assign(tf.where(count.value >= MOST_SKIPPED, count.value, 0))

    def _stateful_handle_non_finite_grads(self) -> None:
        super()._stateful_handle_non_finite_grads()
        self.num_skipped.assign_add(1)
        self.num_skipped_in_a_row.assign_add(1)
