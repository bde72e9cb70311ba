"""A functional model in two parts at given tensors, so that gradients can be taken from there on.

The upper part takes the model's inputs too: what does not pass through the tensors is computed from
them again. Both parts share their layers with the model.
"""

import dataclasses
from collections.abc import Mapping

import keras

from tltf.graphs import functional


@dataclasses.dataclass(frozen=True)
class SplitGraph:
    """A model in two parts.

    Args:
        below: the model inputs -> {name of a point: tensor}.
        above: the model {names of the inputs and of the points: tensor} -> outputs of the model.
    """

    below: keras.Model
    above: keras.Model


def split_at(model: keras.Model, points: Mapping[str, keras.KerasTensor]) -> SplitGraph:
    """The two parts of a flat functional model.

    Args:
        model: from a dict of inputs to outputs.
        points: name, which no input has -> a tensor of the model's graph.
    """
    tensors = {**model.input, **points}
    inputs = {
        name: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
        for name, tensor in tensors.items()
    }
    given = [(tensor, inputs[name]) for name, tensor in tensors.items()]
    flat = functional.replay(keras.tree.flatten(model.output), given)
    outputs = keras.tree.pack_sequence_as(model.output, flat)
    below = keras.Model(model.input, dict(points), name="below")
    return SplitGraph(below, keras.Model(inputs, outputs, name="above"))
