"""L2-SP: a penalty holds fine-tuned weights near their start."""

import keras
import tensorflow as tf
from keras import ops

from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.rules import EVERYTHING, require_strengths


def l2_sp(alpha: float = 0.1, beta: float = 0.01) -> "NearStart":
    """A method that trains everything; a penalty holds the backbone near its start, the head near 0.

    L + alpha / 2 |w - w0|^2 + beta / 2 |v|^2, w the backbone's and v the head's trained variables:
    Li et al. 2018, arXiv:1802.01483, eq. 2. It takes the place of weight decay, which is 0 unless
    --weight_decay says otherwise. Adam rescales a penalty in the loss, so the same strength does
    not mean the same as with the paper's SGD.

    Args:
        alpha: strength for the backbone, at least 0.
        beta: strength for the head, at least 0.

    Raises:
        FlagError: a number below 0.
    """
    require_strengths(alpha, beta)
    return NearStart(alpha, beta)


class NearStart(Method):
    """The method that `l2_sp` makes."""

    def __init__(self, alpha: float, beta: float) -> None:
        super().__init__(lambda core: [Phase("l2_sp", EVERYTHING)])
        self.alpha, self.beta = alpha, beta

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The same core; each of its trainable variables gets a penalty that Keras adds to the loss."""
        *backbone, head = core.groups
        for group in backbone:
            for variable in _trainable(group):
                variable.regularizer = Distance(self.alpha, ops.copy(variable.value))
        for variable in _trainable(head):
            variable.regularizer = Distance(self.beta, 0.0)
        return core

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core without the penalties."""
        self.release(core)
        return core

    def release(self, core: Core) -> None:
        """Removes the penalties."""
        for group in core.groups:
            for layer in group.layers:
                for variable in layer.weights:
                    variable.regularizer = None


class Distance(keras.regularizers.Regularizer):
    """The penalty factor / 2 |w - start|^2 of a variable w.

    Args:
        factor: strength of the penalty.
        start: tensor of the variable's shape, or 0.
    """

    def __init__(self, factor: float, start: tf.Tensor | float) -> None:
        self.factor, self.start = factor, start

    def __call__(self, variable: keras.Variable) -> tf.Tensor:
        """float[]: the penalty."""
        return 0.5 * self.factor * ops.sum(ops.square(variable - self.start))


def _trainable(group: Group) -> list[keras.Variable]:
    return [variable for layer in group.layers for variable in layer.trainable_weights]
