"""Optimizers with a rate per variable, and schedules with warm-up.

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

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.config.train_options import TrainOptions
from tltf.methods.method import Phase
from tltf.training.optimizers import finite
from tltf.training.optimizers.embedding_rows import Rows
from tltf.training.option_value import value_of

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


@keras.saving.register_keras_serializable("tltf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises linearly to the peak, then stays or falls to 0, linearly or as half a cosine.

    Cosine: Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5 without restarts.

    Args:
        peak: the largest rate.
        num_steps: number of all steps, warm-up included.
        warmup_steps: number of steps of the rise; the first has the rate peak / warmup_steps.
        shape: `constant`, `linear` or `cosine`.
    """

    def __init__(
        self, peak: float, num_steps: int, warmup_steps: int = 0, shape: str = "constant"
    ) -> None:
        super().__init__()
        self.peak, self.num_steps = float(peak), int(num_steps)
        self.warmup_steps, self.shape = int(warmup_steps), shape

    def __call__(self, step: int | keras.Variable) -> tf.Tensor:
        """float32[]: the rate of optimizer step number `step`, counted from 0."""
        step = ops.cast(step, "float32")
        fall = max(self.num_steps - self.warmup_steps, 1)
        done = ops.clip((step - self.warmup_steps) / fall, 0.0, 1.0)
        factor = {
            "constant": ops.ones_like(done),
            "linear": 1.0 - done,
            "cosine": 0.5 * (1.0 + ops.cos(math.pi * done)),
        }[self.shape]
        if self.warmup_steps:
            factor = ops.where(step < self.warmup_steps, (step + 1.0) / self.warmup_steps, factor)
        return self.peak * factor

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "num_steps": self.num_steps,
            "warmup_steps": self.warmup_steps,
            "shape": self.shape,
        }


@keras.saving.register_keras_serializable("tltf")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises as half a cosine from peak / 25 to the peak, then falls to peak / 250,000.

    The fall is half a cosine too.

    Smith & Topin 2017, arXiv:1708.07120, in the form of fastai's `fit_one_cycle`. Departs: the
    optimizer's momentum stays as it is.

    Args:
        peak: the largest rate.
        num_steps: number of all steps.
        rise_steps: number of steps of the rise.
    """

    START, END = 1 / 25, 1 / 250_000

    def __init__(self, peak: float, num_steps: int, rise_steps: int) -> None:
        super().__init__()
        self.peak, self.num_steps, self.rise_steps = float(peak), int(num_steps), int(rise_steps)

    def __call__(self, step: int) -> tf.Tensor:
        """float32[]: the rate of optimizer step number `step`, counted from 0."""
        step, rise = ops.cast(step, "float32"), self.rise_steps
        up = _half_cosine(self.START, 1.0, step / max(rise, 1))
        down = _half_cosine(1.0, self.END, (step - rise) / max(self.num_steps - 1 - rise, 1))
        return self.peak * ops.where(step < rise, up, down)

    def get_config(self) -> dict[str, float]:
        """The constructor's arguments."""
        return {"peak": self.peak, "num_steps": self.num_steps, "rise_steps": self.rise_steps}


@keras.saving.register_keras_serializable("tltf")
class Restarts(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls from the peak to 0 as half a cosine, several times.

    Huang 2017, arXiv:1704.00109, eq. 2; Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5. Departs: each fall ends with an
    epoch, so that falls may differ in length by one epoch, and the first may begin with a linear rise.

    Args:
        peak: the largest rate.
        ends: the number of steps until the end of each fall, rising; the rate is 0 after the last.
        warmup_steps: number of steps of the rise in the first fall; the first has the rate peak / warmup_steps.
    """

    def __init__(self, peak: float, ends: Sequence[int], warmup_steps: int = 0) -> None:
        super().__init__()
        self.peak, self.ends, self.warmup_steps = float(peak), list(map(int, ends)), warmup_steps

    def __call__(self, step: int | keras.Variable) -> tf.Tensor:
        """float32[]: the rate of optimizer step number `step`, counted from 0."""
        step = ops.cast(step, "float32")
        begins = ops.convert_to_tensor([float(self.warmup_steps), *self.ends[:-1]], "float32")
        ends = ops.convert_to_tensor(self.ends, "float32")
        own = ops.logical_and(step >= begins, step < ends)
        falls = 0.5 * (1.0 + ops.cos(math.pi * (step - begins) / ops.maximum(ends - begins, 1.0)))
        factor = ops.sum(ops.where(own, falls, 0.0))
        if self.warmup_steps:
            factor = ops.where(step < self.warmup_steps, (step + 1.0) / self.warmup_steps, factor)
        return self.peak * factor

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"peak": self.peak, "ends": self.ends, "warmup_steps": self.warmup_steps}


@keras.saving.register_keras_serializable("tltf")
class Rising(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that grows by the same factor in each step: low (high / low)^(t / (n - 1)).

    Args:
        low: the rate of the first step.
        high: the rate of step n and of all steps after it.
        num_steps: n, at least 2.
    """

    def __init__(self, low: float, high: float, num_steps: int) -> None:
        super().__init__()
        self.low, self.high, self.num_steps = float(low), float(high), int(num_steps)

    def __call__(self, step: int | keras.Variable) -> tf.Tensor:
        """float32[]: the rate of optimizer step number `step`, counted from 0."""
        done = ops.minimum(ops.cast(step, "float32") / (self.num_steps - 1), 1.0)
        return self.low * ops.exp(done * math.log(self.high / self.low))

    def get_config(self) -> dict[str, float]:
        """The constructor's arguments."""
        return {"low": self.low, "high": self.high, "num_steps": self.num_steps}


def _half_cosine(start: float, end: float, done: tf.Tensor) -> tf.Tensor:
    """Half a cosine from `start`, where `done` is 0, to `end`, where it is 1."""
    done = ops.clip(done, 0.0, 1.0)
    return end + (start - end) * 0.5 * (1.0 + ops.cos(math.pi * done))


def learning_rate(options: TrainOptions, phase: Phase, num_steps: int) -> OneCycle | WarmUp | float:
    """The learning rate of a phase: a schedule, or a float where it is constant or `plateau`.

    A schedule adds a dozen operations to every step, which take as long as those of a small head.

    Args:
        options: TrainOptions with every `auto` resolved.
        phase: Phase.
        num_steps: number of optimizer steps of the phase.
    """
    peak = value_of(options.learning_rate) * phase.rate_factor
    shape = phase.schedule or options.schedule
    warmup_steps = round(value_of(options.warmup_fraction) * num_steps)
    if shape == "one_cycle":
        return OneCycle(peak, num_steps, warmup_steps)
    if shape == "plateau" or (shape == "constant" and not warmup_steps):
        return peak
    return WarmUp(peak, num_steps, warmup_steps, shape)


def falling_rate(options: TrainOptions, phase: Phase, ends: Sequence[int]) -> Restarts:
    """The learning rate of a phase that falls several times.

    Args:
        options: TrainOptions with every `auto` resolved.
        phase: Phase.
        ends: the number of steps until the end of each fall. --warmup_fraction is that of the first one.
    """
    peak = value_of(options.learning_rate) * phase.rate_factor
    return Restarts(peak, ends, round(value_of(options.warmup_fraction) * ends[0]))
