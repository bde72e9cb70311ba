"""Optimizers with a rate per variable, and schedules with warm-up.

Departs from Keras in three points. A variable's factor scales its learning rate inside the
update and inside weight decay (scaling gradients would do nothing under Adam). Clipping
comes after the all-reduce, so that several devices train as one does; Keras clips per
replica. Weight decay skips biases, norms and other vectors.
"""

import math

import keras
from keras import ops

_KINDS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
}


class PerVariable:
    """Mixin for a Keras optimizer: per-variable factors, late clipping, selective decay."""

    rates: dict = {}

    def build(self, variables):
        """Notes each variable's factor and whether it decays."""
        super().build(variables)
        self._factors = {self._var_key(v): self.rates.get(id(v), 1.0) for v in variables}
        self._decayed = {self._var_key(v) for v in variables if is_decayed(v)}

    def update_step(self, gradient, variable, learning_rate):
        """Decays the variable, then updates it, both at its own rate."""
        key = self._var_key(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self._factors[key]
        if self.weight_decay and key in self._decayed:
            self.assign_sub(variable, variable * rate * self.weight_decay)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables):
        """Decay is part of `update_step`, where the variable's own rate is known."""

    def _clip_gradients(self, grads):
        """Clipping waits for `_all_reduce_sum_gradients`."""
        return grads

    def _all_reduce_sum_gradients(self, grads_and_vars):
        reduced = super()._all_reduce_sum_gradients(grads_and_vars)
        clipped = super()._clip_gradients([gradient for gradient, _ in reduced])
        return [
            (gradient, variable) for gradient, (_, variable) in zip(clipped, reduced, strict=True)
        ]


def is_decayed(variable):
    """Whether weight decay applies: not to vectors, biases (attention's are matrices) and norms."""
    return len(variable.shape) > 1 and variable.name not in ("bias", "gamma", "beta", "scale")


_CLASSES = {name: type(f"PerVariable{kind.__name__}", (PerVariable, kind), {})
            for name, kind in _KINDS.items()}  # fmt: skip


def build(options, rates, learning_rate):
    """The optimizer that the options name.

    Args:
        options: TrainOptions with every `auto` resolved.
        rates: id of a variable -> factor on the learning rate; 1 for others.
        learning_rate: float or a keras schedule.
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
    if options.optimizer == "adamw":
        arguments["weight_decay"] = options.weight_decay or 0.0
    optimizer = _CLASSES[options.optimizer](**arguments)
    optimizer.rates = rates
    return optimizer


@keras.saving.register_keras_serializable("tltf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to the peak, then constant, a linear fall or half a cosine to zero.

    Cosine: Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5 without restarts.

    Args:
        peak: largest rate.
        num_steps: steps in all, warm-up included.
        warmup_steps: steps of the rise; the first has rate peak / warmup_steps.
        shape: constant, linear or cosine.
    """

    def __init__(self, peak, num_steps, warmup_steps=0, shape="constant"):
        super().__init__()
        self.peak, self.num_steps = float(peak), int(num_steps)
        self.warmup_steps, self.shape = int(warmup_steps), shape

    def __call__(self, step):
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

    def get_config(self):
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "num_steps": self.num_steps,
            "warmup_steps": self.warmup_steps,
            "shape": self.shape,
        }


def learning_rate(options, phase, num_steps):
    """The learning rate of a phase: a schedule, or a float for `plateau`.

    Args:
        options: TrainOptions with every `auto` resolved.
        phase: methods.method.Phase.
        num_steps: optimizer steps of the phase.
    """
    peak = options.learning_rate * phase.rate_factor
    shape = phase.schedule or options.schedule
    if shape == "plateau":
        return peak
    return WarmUp(peak, num_steps, round(options.warmup_fraction * num_steps), shape)
