"""L2-SP: fine-tuned weights are held near those they started from."""

from typing import Any

import keras
from keras import ops

from tltf.errors import FlagError
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.rules import EVERYTHING


def l2_sp(alpha: float = 0.1, beta: float = 0.01) -> "NearStart":
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

    def __init__(self, alpha: float, beta: float) -> None:
        super().__init__(lambda core: [Phase("l2_sp", EVERYTHING)])
        self.alpha, self.beta = alpha, beta

    def prepare(self, core: Core, context: FitContext) -> Core:
        """Gives every trainable variable its penalty, which Keras adds to the loss."""
        *backbone, head = core.groups
        for group in backbone:
            for variable in _trainable(group):
                variable.regularizer = Distance(self.alpha, ops.copy(variable.value))
        for variable in _trainable(head):
            variable.regularizer = Distance(self.beta, 0.0)
        return core

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """Takes the penalties away."""
        self.release(core)
        return core

    def release(self, core: Core) -> None:
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

    def __init__(self, factor: float, start: Any) -> None:
        self.factor, self.start = factor, start

    def __call__(self, variable: keras.Variable) -> Any:
        """float[]."""
        return 0.5 * self.factor * ops.sum(ops.square(variable - self.start))


def _trainable(group: Group) -> list[keras.Variable]:
    return [variable for layer in group.layers for variable in layer.trainable_weights]
