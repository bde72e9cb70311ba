"""Optimizers with a rate per variable.

Departs from Keras in five points:

- A variable's factor scales its learning rate inside the update and inside weight decay; to scale
  gradients would have no effect under Adam.
- Clipping comes after the all-reduce, so that several devices train as one does. Keras clips per
  replica, and takes the norm of an embedding's gradient before equal rows are added.
- Weight decay skips biases, norms and other vectors.
- Adam is TensorFlow's fused kernel: the same formula in one pass over memory instead of a dozen.
- Only those rows of an embedding table are updated that occur in training. The result is the same
  as if all were updated, except that weight decay leaves the other rows at the values that
  pretraining gave them.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.config.train_options import TrainOptions
from tltf.training.optimizers import finite
from tltf.training.optimizers.embedding_rows import Rows

Made = TypeVar("Made")


class PerVariable:
    """Mixin for a Keras optimizer: per-variable factors, late clipping, selective decay.

    `rates`: id of a variable -> factor. `used_rows`: id of an embedding table -> int[n], the rows
    that are trained; slots have rows for these only. `broken`: FirstBrokenStep; None inside a
    LossScale, which has one of its own.
    """

    rates: dict[int, float] = {}
    used_rows: dict[int, np.ndarray] = {}
    broken: finite.FirstBrokenStep | None = None
    is_scaled = False

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the slots; notes the factor of each variable and whether weight decay applies to it."""
        super().build(variables)
        self.broken = None if self.is_scaled else finite.FirstBrokenStep()
        self._factors = {self._var_key(v): self.rates.get(id(v), 1.0) for v in variables}
        self._decayed = {self._var_key(v) for v in variables if is_decayed(v)}
        self._rows = {
            self._var_key(v): self._rows_of(v) for v in variables if id(v) in self.used_rows
        }

    def _rows_of(self, table: keras.Variable) -> Rows:
        """`Rows` with a scratch variable that stands for the table in `update_step`."""
        rows = Rows(self.used_rows[id(table)], table.shape)
        with self._distribution_strategy.extended.colocate_vars_with(table.value):
            rows.scratch = keras.Variable(
                "zeros", rows.shape, table.dtype, trainable=False, name=f"{table.name}_rows"
            )
        index = self._get_variable_index(table)
        self._trainable_variables_indices[self._var_key(rows.scratch)] = index
        return rows

    def add_variable_from_reference(
        self,
        reference_variable: keras.Variable,
        name: str | None = None,
        initializer: str = "zeros",
    ) -> keras.Variable:
        """A slot of a variable; that of an embedding table has only the rows that are trained."""
        rows = self.used_rows.get(id(reference_variable))
        if rows is None:
            return super().add_variable_from_reference(reference_variable, name, initializer)
        table = reference_variable
        with self._distribution_strategy.extended.colocate_vars_with(table.value):
            return self.add_variable(
                (len(rows), table.shape[1]), initializer, table.dtype, name=f"{table.name}_{name}"
            )

    def _backend_update_step(
        self,
        grads: Sequence[tf.IndexedSlices | tf.Tensor],
        trainable_variables: Sequence[keras.Variable],
        learning_rate: keras.Variable | tf.Tensor,
    ) -> None:
        """Updates all variables; what they have in common is computed once in the graph."""
        self._shared: dict[tuple, Any] = {}
        super()._backend_update_step(grads, trainable_variables, learning_rate)
        self._shared = {}

    def _once(self, key: tuple, make: Callable[[], Made]) -> Made:
        """`make()`, or its result earlier in this step: each operation adds to the time of tracing."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: keras.Variable | tf.Tensor
    ) -> None:
        """Applies weight decay to the variable, then updates it, both at its own rate."""
        key, dtype = self._var_key(variable), variable.dtype
        factor = self._factors[key]
        rate = self._once(("rate", factor, dtype), lambda: ops.cast(learning_rate, dtype) * factor)
        kept = None
        if self.weight_decay and key in self._decayed:
            kept = self._once(("kept", factor, dtype), lambda: 1.0 - rate * self.weight_decay)
        rows = self._rows.get(key)
        if rows is None:
            if kept is not None:
                variable.assign(variable * kept)
            super().update_step(gradient, variable, rate)
            return
        values = rows.read(variable)
        scratch = rows.scratch.value
        scratch.assign(values if kept is None else values * kept)
        super().update_step(gradient, scratch, rate)
        rows.write(variable, scratch)

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss, unchanged; it is kept until the step is noted in `broken`."""
        if self.broken:
            self.broken.hold_loss(loss)
        return super().scale_loss(loss)

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        """Does nothing: weight decay is part of `update_step`, which knows the variable's own rate."""

    def _clip_gradients(
        self, grads: Sequence[tf.IndexedSlices | tf.Tensor]
    ) -> Sequence[tf.IndexedSlices | tf.Tensor]:
        """The gradients, unchanged: `_all_reduce_sum_gradients` clips them."""
        return grads

    def _all_reduce_sum_gradients(
        self, grads_and_vars: Sequence[tuple[tf.IndexedSlices | tf.Tensor, tf.Variable]]
    ) -> list[tuple[tf.Tensor, tf.Variable]]:
        """Sums the gradients over the devices, notes whether they are finite, and clips them."""
        dense = [
            (self._dense(gradient, variable), variable) for gradient, variable in grads_and_vars
        ]
        if self.broken:
            *reduced, (loss, _) = super()._all_reduce_sum_gradients(
                [*dense, (self.broken.loss(), None)]
            )
            self.broken.note(loss, finite.squares(gradient for gradient, _ in reduced))
        else:
            reduced = super()._all_reduce_sum_gradients(dense)
        clipped = super()._clip_gradients([gradient for gradient, _ in reduced])
        return [
            (gradient, variable) for gradient, (_, variable) in zip(clipped, reduced, strict=True)
        ]

    def _dense(
        self, gradient: tf.IndexedSlices | tf.Tensor, variable: tf.Variable
    ) -> tf.Tensor | None:
        """A dense gradient, in which equal rows are added; an embedding table's has only trained rows."""
        rows = self._rows.get(self._var_key(variable))
        if gradient is None:
            return None
        return tf.convert_to_tensor(gradient) if rows is None else rows.compact(gradient)


class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, computed by the one kernel that TensorFlow has for it."""

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates a variable: Kingma & Ba 2014, arXiv:1412.6980, the efficient form of section 2."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            lr=learning_rate,
            grad=tf.cast(gradient, dtype),
            **self._once(("adam", dtype), lambda: self._numbers(dtype)),
        )

    def _numbers(self, dtype: tf.DType) -> dict[str, tf.Tensor]:
        """Name of an argument of the kernel -> its scalar, float[]."""
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        step = tf.cast(self.iterations.value + 1, dtype)
        return {
            "beta1": beta_1,
            "beta2": beta_2,
            "beta1_power": beta_1**step,
            "beta2_power": beta_2**step,
            "epsilon": tf.constant(self.epsilon, dtype),
        }


def is_decayed(variable: keras.Variable) -> bool:
    """Whether weight decay applies to a variable: not to vectors, biases and norms.

    The biases of attention are matrices, so the name decides too.
    """
    return len(variable.shape) > 1 and variable.name not in ("bias", "gamma", "beta", "scale")


_KINDS = {"adam": FusedAdam, "adamw": FusedAdam, "sgd": keras.optimizers.SGD}
_CLASSES = {
    name: type(f"PerVariable{kind.__name__}", (PerVariable, kind), {})
    for name, kind in _KINDS.items()
}


def build(
    options: TrainOptions,
    rates: dict[int, float],
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    used_rows: dict[int, np.ndarray] | None = None,
    is_scaled: bool = False,
) -> keras.optimizers.Optimizer:
    """The optimizer that the options name.

    Args:
        options: TrainOptions with every `auto` resolved.
        rates: id of a variable -> factor on the learning rate; the factor of others is 1.
        learning_rate: a constant rate or a schedule.
        used_rows: id of an embedding table -> int[n], the rows that occur in training, as
            `embedding_rows.used_rows` finds them; tables that are not in it are updated whole.
        is_scaled: whether the optimizer is wrapped in a LossScale, for float16.
    """
    arguments = {
        "learning_rate": learning_rate,
        "weight_decay": options.weight_decay or None,
        "clipnorm": options.clipnorm or None,
        "global_clipnorm": options.global_clipnorm or None,
    }
    if options.optimizer == "sgd":
        arguments["momentum"] = options.momentum
    else:
        arguments["beta_1"] = options.adam_beta_1
        arguments["beta_2"] = options.adam_beta_2
        arguments["epsilon"] = options.adam_epsilon
    if options.ema_decay:
        arguments |= {"use_ema": True, "ema_momentum": options.ema_decay}
        used_rows = {}  # the average is of whole tables
    optimizer = _CLASSES[options.optimizer](**arguments)
    optimizer.rates, optimizer.used_rows = rates, used_rows or {}
    optimizer.is_scaled = is_scaled
    return finite.LossScale(optimizer) if is_scaled else optimizer
