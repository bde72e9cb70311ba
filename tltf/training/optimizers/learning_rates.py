"""Learning rates over the steps: with warm-up, in one cycle, with restarts, and rising for the range test."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tltf.config.train_options import TrainOptions
from tltf.methods.method import Phase
from tltf.training.option_value import value_of


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


@dataclasses.dataclass(frozen=True)
class Rise:
    """How a rate rises linearly before it stays or falls.

    Args:
        peak: the rate at its end.
        num_steps: number of its steps; the first has the rate peak / num_steps. 0 for no rise.
    """

    peak: float
    num_steps: int


def learning_rate(options: TrainOptions, phase: Phase, num_steps: int) -> OneCycle | WarmUp | float:
    """The learning rate of a phase: a schedule, or the peak where it is constant or `plateau`, whose rate a callback sets.

    A schedule adds a dozen operations to every step, which take as long as those of a small head.

    Args:
        options: TrainOptions with every `auto` resolved.
        phase: Phase.
        num_steps: number of optimizer steps of the phase.
    """
    begun = rise(options, phase, num_steps)
    peak, warmup_steps = begun.peak, begun.num_steps
    shape = phase.schedule or options.schedule
    if shape == "one_cycle":
        return OneCycle(peak, num_steps, warmup_steps)
    if shape == "plateau" or (shape == "constant" and not warmup_steps):
        return peak
    return WarmUp(peak, num_steps, warmup_steps, shape)


def rise(options: TrainOptions, phase: Phase, num_steps: int) -> Rise:
    """The Rise of a phase of `num_steps` optimizer steps, which --warmup_fraction is a share of."""
    peak = value_of(options.learning_rate) * phase.rate_factor
    return Rise(peak, round(value_of(options.warmup_fraction) * num_steps))


def falling_rate(options: TrainOptions, phase: Phase, ends: Sequence[int]) -> Restarts:
    """The learning rate of a phase that falls several times.

    Args:
        options: TrainOptions with every `auto` resolved.
        phase: Phase.
        ends: the number of steps until the end of each fall. --warmup_fraction is that of the first one.
    """
    begun = rise(options, phase, ends[0])
    return Restarts(begun.peak, ends, begun.num_steps)
