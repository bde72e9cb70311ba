"""The graph cut at its frozen boundary.

The prefix is every operation all of whose ancestors are frozen. It runs in inference mode:
no dropout, batch norm on its stored statistics, no gradient. The suffix is the rest; it
shares its layers with the core, so what is trained there is trained in the core.
"""

import dataclasses

import keras

from tltf import freezing


@dataclasses.dataclass(frozen=True)
class Cut:
    """A model in two parts.

    Args:
        prefix: inputs -> list of boundary tensors; None where nothing is frozen.
        suffix: boundary tensors -> outputs; the model itself where nothing is frozen.
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
    prefix = keras.Model(model.input, boundary, name="frozen_prefix")
    suffix = keras.Model(boundary, model.output, name="trained_suffix")
    return Cut(prefix, suffix)


def training_model(model, groups):
    """A model with the same inputs and outputs whose frozen prefix runs in inference mode."""
    parts = cut(model, groups)
    if parts.prefix is None:
        return keras.Model(model.input, model.output, name="training")
    boundary = FrozenPrefix(parts.prefix, name="frozen")(model.input)
    return keras.Model(model.input, parts.suffix(boundary), name="training")


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
