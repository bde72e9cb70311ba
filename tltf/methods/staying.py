"""Methods that keep the fine-tuned weights near those they started from."""

import dataclasses

import keras
import numpy as np
from keras import ops

from tltf.errors import FlagError
from tltf.methods.fine_tuning import HEAD
from tltf.methods.method import Method, Phase
from tltf.methods.schedules import lp_ft

EVERYTHING = (HEAD, (".*", 1.0))


def l2_sp(alpha=0.1, beta=0.01):
    """Trains everything; the loss holds the backbone near its start and the head near 0.

    L + alpha / 2 |w - w0|^2 + beta / 2 |v|^2, w the backbone's and v the head's trained variables:
    Li et al. 2018, arXiv:1802.01483, eq. 2. It takes the place of weight decay, which is 0 unless
    --weight_decay says otherwise. A penalty in the loss is rescaled by Adam, so that a strength is
    not that of the paper's SGD.

    Args:
        alpha: of the backbone, at least 0.
        beta: of the head, at least 0.

    Raises:
        FlagError: a number below 0.
    """
    if not (alpha >= 0 and beta >= 0):
        raise FlagError(f"alpha and beta are at least 0 (received {alpha}, {beta})", flag="method")
    return NearStart(alpha, beta)


class NearStart(Method):
    """See `l2_sp`."""

    def __init__(self, alpha, beta):
        super().__init__(lambda core: [Phase("l2_sp", EVERYTHING)])
        self.alpha, self.beta = alpha, beta

    def prepare(self, core, context):
        """Gives every trainable variable its penalty, which Keras adds to the loss."""
        *backbone, head = core.groups
        for group in backbone:
            for variable in _trainable(group):
                variable.regularizer = Distance(self.alpha, ops.copy(variable.value))
        for variable in _trainable(head):
            variable.regularizer = Distance(self.beta, 0.0)
        return core

    def finish(self, core, ended):
        """Takes the penalties away."""
        self.release(core)
        return core

    def release(self, core):
        """Takes the penalties away."""
        for group in core.groups:
            for layer in group.layers:
                for variable in layer.weights:
                    variable.regularizer = None


class Distance(keras.regularizers.Regularizer):
    """factor / 2 |w - start|^2.

    Args:
        factor: float.
        start: tensor of the variable's shape, or 0.
    """

    def __init__(self, factor, start):
        self.factor, self.start = factor, start

    def __call__(self, variable):
        """float[]."""
        return 0.5 * self.factor * ops.sum(ops.square(variable - self.start))


def wise_ft(steps=10, solver="lbfgs"):
    """LP-FT, then the point between probe and fine-tuned weights that validation likes best.

    (1 - a) w0 + a w1, Wortsman et al. 2021, arXiv:2109.01903, section 3, with a of 0, 1 / steps,
    ..., 1. Departs: w0 is the solved probe on pretrained weights, for the paper's zero-shot head;
    a is chosen on validation (accuracy, then loss), .5 without one.

    Args:
        steps: parts of the way, at least 2.
        solver: as `lp_ft`.

    Raises:
        FlagError: less than 2 steps, or an unknown solver.
    """
    if steps < 2:
        raise FlagError(f"steps is at least 2 (received {steps})", flag="method")
    return Interpolated(steps, lp_ft(solver))


class Interpolated(Method):
    """See `wise_ft`; `chosen` is the a that was taken."""

    mixes_weights = True

    def __init__(self, steps, method):
        super().__init__(method.phases)
        self.steps, self.chosen = steps, None

    def phases(self, core):
        """Those of LP-FT; the second one's start is kept."""
        probe, tuned = super().phases(core)
        return [probe, dataclasses.replace(tuned, keeps_start=True)]

    def finish(self, core, ended):
        """Puts the weights to the best point of the way."""
        end = {name: variable.numpy() for name, variable in ended.variables.items()}
        shares = np.linspace(0, 1, self.steps + 1) if ended.measure else [0.5]

        def go_to(share):
            for name, variable in ended.variables.items():
                variable.assign((1 - share) * ended.start[name] + share * end[name])

        def quality(share):
            go_to(share)
            loss, accuracy = ended.measure()
            return accuracy, -loss

        self.chosen = float(max(shares, key=quality) if ended.measure else shares[0])
        go_to(self.chosen)
        return core


def _trainable(group):
    return [variable for layer in group.layers for variable in layer.trainable_weights]
