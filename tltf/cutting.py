"""The graph cut at its frozen boundary.

The prefix is every operation all of whose ancestors are frozen. It runs in inference mode:
no dropout, batch norm on its stored statistics, no gradient. The suffix is the rest; it
shares its layers with the core, so what is trained there is trained in the core.
"""

import dataclasses

import keras

from tltf import freezing, graphs

BOUNDARY = "boundary_"
"""Begins the names of the tensors at the cut."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """A model in two parts.

    Args:
        prefix: inputs -> {name: boundary tensor}; None where nothing is frozen.
        suffix: {name: boundary tensor} -> outputs; the model itself where nothing is frozen.
    """

    prefix: keras.Model | None
    suffix: keras.Model


class FrozenPrefix(keras.layers.Layer):
    """A model that always runs in inference mode, whatever the caller's mode.

    `trainable=False` alone would leave its dropout on. Inputs keep their dtype: the layers inside
    cast by their own policies, as they do in the whole model.
    """

    def __init__(self, prefix, **kwargs):
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.prefix = prefix

    def call(self, inputs):
        """The prefix in inference mode."""
        return self.prefix(inputs, training=False)


def cut(model, groups):
    """`Cut` of a flat functional model by its layers' trainable flags.

    Args:
        model: flat functional keras.Model.
        groups: the core's groups; the layers of the last one, the head, and those that
            follow them never belong to the prefix.
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
    flat = graphs.replay(keras.tree.flatten(model.output), given)
    outputs = keras.tree.pack_sequence_as(model.output, flat)
    return Cut(prefix, keras.Model(inputs, outputs, name="trained_suffix"))


def join(model, parts):
    """A model with the same inputs and outputs whose frozen prefix runs in inference mode.

    Args:
        model: flat functional keras.Model.
        parts: its `Cut`.
    """
    if parts.prefix is None:
        return keras.Model(model.input, model.output, name="training")
    boundary = FrozenPrefix(parts.prefix, name="frozen")(model.input)
    return keras.Model(model.input, parts.suffix(boundary), name="training")


def training_model(model, groups):
    """The model cut at its frozen boundary and joined again."""
    return join(model, cut(model, groups))


def _split(model, never):
    """(whether a layer with weights is in the prefix, boundary tensors in graph order)."""
    inside = {id(tensor) for tensor in model.inputs}
    boundary, seen, has_weights = [], set(), False
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            if _belongs(node, inside, never):
                inside.update(id(tensor) for tensor in node.outputs)
                has_weights |= bool(getattr(node.operation, "weights", ()))
                continue
            for tensor in node.input_tensors:
                if id(tensor) in inside and id(tensor) not in seen:
                    seen.add(id(tensor))
                    boundary.append(tensor)
    return has_weights, boundary


def _belongs(node, inside, never):
    operation = node.operation
    if id(operation) in never or any(id(tensor) not in inside for tensor in node.input_tensors):
        return False
    return not isinstance(operation, keras.layers.Layer) or freezing.is_frozen(operation)
