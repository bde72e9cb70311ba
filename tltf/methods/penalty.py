"""Training with a penalty that is added to the loss; the core that is kept has no trace of it."""

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome


class PenaltyMethod(Method):
    """A method that adds a penalty, computed from tensors of the graph, to the loss.

    Subclasses override `penalty_inputs` and `penalty`.
    """

    takes_targets = False
    """Whether `penalty` takes the targets of the batch before the tensors; there is none without them."""
    needs_training_batches = False
    """Whether `penalty` takes batches that are made as those of training are; no others have one."""
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
        layer = AddedLoss(
            self.penalty, self.takes_targets, self.needs_training_batches, name="added_loss"
        )
        logits = layer([core.model.output[name], *tensors])
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
        function: tensors -> float[]; with `takes_targets` (targets, tensors) -> float[].
        takes_targets: whether the function takes targets, which a `TargetsModel` shows to the layer;
            where it shows none, as in validation, nothing is added.
        only_in_training: whether nothing is added where the layer does not train.
    """

    def __init__(
        self,
        function: Callable[..., tf.Tensor],
        takes_targets: bool = False,
        only_in_training: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.function, self.takes_targets = function, takes_targets
        self.only_in_training = only_in_training
        self.seen = threading.local()  # each device of a strategy traces in a thread of its own

    def call(self, tensors: Sequence[tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """The first of `tensors`."""
        first, *others = tensors
        if self.only_in_training and not training:
            return first
        given = [ops.cast(other, "float32") for other in others]
        if self.takes_targets:
            targets = getattr(self.seen, "targets", None)
            if targets is None:
                return first
            given.insert(0, targets)
        self.add_loss(self.function(*given))
        return first

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple:
        """The shape of the first input."""
        return shapes[0]


class TargetsModel(keras.Model):
    """A functional model that shows the targets of a training batch to its layers of added losses."""

    def train_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """The metrics of a batch after one step on it."""
        _, targets, _ = keras.utils.unpack_x_y_sample_weight(data)
        layers = [layer for layer in self._flatten_layers() if isinstance(layer, AddedLoss)]
        (shown,) = targets.values()
        try:
            for layer in layers:
                layer.seen.targets = shown
            metrics: dict[str, tf.Tensor] = super().train_step(data)
        finally:
            for layer in layers:
                layer.seen.targets = None
        return metrics


class BackboneLossMethod(PenaltyMethod):
    """A method whose phases with steps train the backbone by a loss on the targets, without the head.

    The last phase makes the head, on the backbone as it is then.
    """

    takes_targets = True
    model_class = TargetsModel

    def core_of(self, core: Core, phase: Phase) -> Core:
        """The core without the loss in phases that take no steps."""
        return core if phase.solver == "gradient" else self.plain

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core with the head that the last phase has made, without the loss."""
        is_penalised = any(isinstance(layer, AddedLoss) for layer in core.model.layers)
        return self.plain if is_penalised else core


def head_features(core: Core) -> keras.KerasTensor:
    """float32[B, d]: what the head's output layer takes, as it stands in the core's graph."""
    logits = core.model.output[core.head.name]
    features: keras.KerasTensor = functional.node_of(logits).input_tensors[0]
    return features


def require_one_class(targets: tf.Tensor, method: str) -> None:
    """Refuses targets that mix classes, which are not int[B].

    Raises:
        FlagError: the targets are probabilities.
    """
    if len(targets.shape) != 1:
        raise FlagError(
            f"{method} compares the classes of rows, and mixup and cutmix mix them",
            flag="augment",
            fix="leave mixup and cutmix out",
        )
