"""Training with a loss added to that of the targets; the core that is kept has no trace of it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from tltf.graphs.core import Core
from tltf.methods.method import Method, TrainingOutcome


class Penalised(Method):
    """Adds `penalty` of tensors of the graph to the loss.

    Subclasses define `penalty(*arrays)` -> float[] and override `penalty_inputs`.
    """

    plain = None

    def penalty_inputs(self, core: Any, context: Any) -> tuple[list, tuple]:
        """`(tensors that the penalty takes, groups that are trained beside the core's)`."""
        raise NotImplementedError

    def penalty(self, *arrays: Any) -> Any:
        """float[]: what is added to the loss of a batch."""
        raise NotImplementedError

    def prepare(self, core: Any, context: Any) -> Any:
        """The core with a layer behind its logits that adds the loss."""
        tensors, more = self.penalty_inputs(core, context)
        name = core.head.name
        logits = AddedLoss(self.penalty, name="added_loss")([core.model.output[name], *tensors])
        self.plain = core
        model = keras.Model(core.model.input, {name: logits}, name="core")
        groups = (*core.groups[:-1], *more, core.groups[-1])
        return dataclasses.replace(core, model=model, groups=groups)

    def finish(self, core: Core, outcome: TrainingOutcome | None) -> Any:
        """The core without it; its layers are the same."""
        return self.plain


class AddedLoss(keras.layers.Layer):
    """Gives its first input back and adds a loss of the others.

    Args:
        function: arrays -> float[].
    """

    def __init__(self, function: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.function = function

    def call(self, tensors: Sequence[Any]) -> Any:
        """The first of `tensors`."""
        first, *others = tensors
        self.add_loss(self.function(*(ops.cast(other, "float32") for other in others)))
        return first

    def compute_output_shape(self, shapes: Sequence[tuple]) -> tuple[None, int]:
        """That of the first."""
        return shapes[0]
