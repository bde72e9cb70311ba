"""The cut of a graph into a frozen prefix and a trained suffix.

The prefix is every frozen operation all of whose ancestors are frozen. It runs in inference mode:
no dropout, batch norm on its stored statistics, no gradient. The suffix is the rest; it
shares its layers with the core, so what is trained there is trained in the core.
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from tltf.graphs import freezing, functional
from tltf.graphs.backbone import Group
from tltf.graphs.functional import node_of

BOUNDARY = "boundary_"
"""The prefix of the names of the tensors at the cut."""
MOST_STEPS_TOGETHER = 128
"""Most steps that Keras runs between two callbacks, above a cached prefix of vectors; otherwise 1."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """A model in two parts.

    Args:
        prefix: the model inputs -> {name: boundary tensor}; None where nothing is frozen.
        suffix: the model {name: boundary tensor} -> outputs; the whole model where nothing is
            frozen.
    """

    prefix: keras.Model | None
    suffix: keras.Model


class FrozenPrefix(keras.layers.Layer):
    """A layer around a model that always runs in inference mode, whatever the caller's mode.

    `trainable=False` alone would leave the model's dropout on. Inputs keep their dtype: the layers
    inside cast by their own policies, as they do in the whole model.
    """

    def __init__(self, prefix: keras.Model, **kwargs: Any) -> None:
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.prefix = prefix

    def call(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The outputs of the prefix in inference mode."""
        return self.prefix(inputs, training=False)


def cut(
    model: keras.Model, groups: tuple[Group, ...], kind: type[keras.Model] | None = None
) -> Cut:
    """The `Cut` of a flat functional model by the trainable flags of its layers.

    Args:
        model: flat functional keras.Model.
        groups: the core's groups; the layers of the last one, the head, and those that
            follow them never belong to the prefix.
        kind: class of the suffix; None for keras.Model.
    """
    never = {id(layer) for layer in groups[-1].layers}
    frozen, boundary = _split(model, never)
    if not frozen:
        return Cut(None, model)
    named = {f"{BOUNDARY}{number}": tensor for number, tensor in enumerate(boundary)}
    prefix = keras.Model(model.input, named, name="frozen_prefix")
    inputs = {
        name: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
        for name, tensor in named.items()
    }
    given = [(tensor, inputs[name]) for name, tensor in named.items()]
    flat = functional.replay(keras.tree.flatten(model.output), given)
    outputs = keras.tree.pack_sequence_as(model.output, flat)
    return Cut(prefix, (kind or keras.Model)(inputs, outputs, name="trained_suffix"))


def join(model: keras.Model, parts: Cut, kind: type[keras.Model] | None = None) -> keras.Model:
    """A model with the same inputs and outputs whose frozen prefix runs in inference mode.

    Args:
        model: flat functional keras.Model.
        parts: its `Cut`.
        kind: class of the result; None for keras.Model.
    """
    kind = kind or keras.Model
    if parts.prefix is None:
        return kind(model.input, model.output, name="training")
    boundary = FrozenPrefix(parts.prefix, name="frozen")(model.input)
    return kind(model.input, parts.suffix(boundary), name="training")


def passed_boundaries(prefix: keras.Model) -> dict[str, str]:
    """Boundary name -> input name, of the inputs that a prefix passes on unchanged.

    The cut of a frozen teacher beside a network that is trained from its first layer on has such
    boundaries. The dict is empty unless the content of a text or an image is among them: BERT's
    mask alone is kept with the other boundaries.
    """
    names = {id(tensor): name for name, tensor in prefix.input.items()}
    found = {
        boundary: names[id(tensor)]
        for boundary, tensor in prefix.output.items()
        if id(tensor) in names
    }
    return found if set(found.values()) & {"image", "token_ids"} else {}


def without_passed_inputs(prefix: keras.Model) -> keras.Model:
    """The prefix without the inputs that it only passes on."""
    left = {name: t for name, t in prefix.output.items() if name not in passed_boundaries(prefix)}
    return keras.Model(prefix.input, left, name=prefix.name)


def _split(model: keras.Model, never: set[int]) -> tuple[bool, list[keras.KerasTensor]]:
    """`(whether a layer with weights is in the prefix, boundary tensors in graph order)`.

    A tensor that is computed without weights, such as a scaled image, is not a boundary: the inputs
    that it is computed from are, and the suffix computes it again.
    """
    sources = {id(tensor): {id(tensor): tensor} for tensor in model.inputs}
    boundary, has_weights = dict[int, keras.KerasTensor](), False
    for node in functional.nodes_of(model):
        if node.is_input:
            continue
        if _belongs(node, sources, never):
            is_heavy = bool(getattr(node.operation, "weights", ()))
            has_weights |= is_heavy
            sources.update(_sources(node, sources, is_heavy))
            continue
        for tensor in node.input_tensors:
            boundary |= sources.get(id(tensor), {})
    return has_weights, list(boundary.values())


def _sources(
    node: keras.src.ops.node.Node, sources: dict[int, dict[int, keras.KerasTensor]], is_heavy: bool
) -> dict[int, dict[int, keras.KerasTensor]]:
    """`id(tensor)` of each output of a frozen node -> the tensors to keep for it, by id.

    These are the output itself where weights had a part in it, otherwise the inputs that it is
    computed from.
    """
    below: dict[int, keras.KerasTensor] = {}
    for tensor in node.input_tensors:
        below |= sources[id(tensor)]
    is_light = not is_heavy and all(node_of(tensor).is_input for tensor in below.values())
    return {id(tensor): below if is_light else {id(tensor): tensor} for tensor in node.outputs}


def _belongs(
    node: keras.src.ops.node.Node, sources: dict[int, dict[int, keras.KerasTensor]], never: set[int]
) -> bool:
    operation = node.operation
    if id(operation) in never or any(id(tensor) not in sources for tensor in node.input_tensors):
        return False
    if getattr(operation, "is_always_above", False):
        return False
    return not isinstance(operation, keras.layers.Layer) or freezing.is_frozen(operation)


def steps_together(suffix: keras.Model, steps: int) -> int:
    """The number of steps that Keras runs between two callbacks: several where a step is very short.

    Steps are very short above a cached prefix that gives one vector of floats per example. The
    number divides `steps`, since a dataset of several epochs must not be read across the end of an
    epoch.

    Args:
        suffix: the model that is trained.
        steps: number of steps in an epoch.
    """
    if not all(_is_vector(tensor) for tensor in suffix.inputs):
        return 1
    return max(n for n in range(1, min(steps, MOST_STEPS_TOGETHER) + 1) if steps % n == 0)


def _is_vector(tensor: keras.KerasTensor) -> bool:
    has_width = len(tensor.shape) == 2 and tensor.shape[1] is not None
    is_number = keras.backend.is_float_dtype(tensor.dtype)
    return has_width and is_number and tensor.name.startswith(BOUNDARY)
