"""Training with a penalty that is added to the loss; the core that is kept has no trace of it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.methods.context import FitContext
from tltf.methods.method import Method, TrainingOutcome


class PenaltyMethod(Method):
    """A method that adds a penalty, computed from tensors of the graph, to the loss.

    Subclasses override `penalty_inputs` and `penalty`.
    """

    plain: Core
    """The core without the penalty, from `prepare` on."""

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """`(tensors that the penalty takes, groups that are trained beside the core's)`."""
        raise NotImplementedError

    def penalty(self, *arrays: tf.Tensor) -> tf.Tensor:
        """float[]: the penalty of a batch, from the tensors of `penalty_inputs` in float32."""
        raise NotImplementedError

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core with a layer behind its logits that adds the penalty."""
        tensors, more = self.penalty_inputs(core, context)
        name = core.head.name
        logits = AddedLoss(self.penalty, name="added_loss")([core.model.output[name], *tensors])
        self.plain = core
        model = keras.Model(core.model.input, {name: logits}, name="core")
        groups = (*core.groups[:-1], *more, core.groups[-1])
        return dataclasses.replace(core, model=model, groups=groups)

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core without the penalty; its layers are the same."""
        return self.plain


class AddedLoss(keras.layers.Layer):
    """A layer that returns its first input and adds a loss that it computes from the others.

    Args:
        function: tensors -> float[].
    """

    def __init__(self, function: Callable[..., tf.Tensor], **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.function = function

    def call(self, tensors: Sequence[tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """The first of `tensors`; without training there is no loss."""
        first, *others = tensors
        if training is False:
            return first
        self.add_loss(self.function(*(ops.cast(other, "float32") for other in others)))
        return first

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple:
        """The shape of the first input."""
        return shapes[0]
