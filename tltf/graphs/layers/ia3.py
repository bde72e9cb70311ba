"""Learned factors on the outputs or inputs of a layer, merged into its kernel and bias at the end.

l * (W x + b), or W (l * x) + b, with l = 1 at the start: Liu et al. 2022, arXiv:2205.05638,
section 3.3. Since l scales columns or rows of W, the merged layer has no extra part.
"""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.graphs.layers import in_place
from tltf.graphs.layers.in_place import kernel_of

SCALE = "ia3_scale"
"""The name of a layer's factors."""
KINDS = (keras.layers.Dense, keras.layers.EinsumDense)
"""The classes of layers that can have factors."""


def takes_scale(layer: keras.Layer) -> bool:
    """Whether `add` can give the layer factors."""
    return isinstance(layer, KINDS) and in_place.has_kernel(layer)


def add(layer: keras.Layer, side: str) -> None:
    """Gives a built layer factors of 1; what the layer computes does not change yet.

    Args:
        layer: a layer that `takes_scale`; without an activation where `side` is outputs.
        side: what the factors scale, `outputs` or `inputs`.
    """
    inputs, outputs = in_place.matrix_shape(layer)
    in_place.add_variable(layer, SCALE, (outputs if side == "outputs" else inputs,), "ones")
    in_place.change(layer, _scaled(layer.__class__, side == "outputs"))


def has_scale(layer: keras.Layer) -> bool:
    """Whether the layer has factors that are neither merged nor removed."""
    return getattr(type(layer), "is_scaled", False)


def merge(layer: keras.Layer) -> None:
    """Scales kernel and bias; the layer computes the same and has its own class again."""
    kernel_of(layer).assign(layer.kernel)
    bias = _bias_of(layer)
    if type(layer).scales_outputs and bias is not None:
        bias.assign(layer.bias)
    remove(layer)


def remove(layer: keras.Layer) -> None:
    """Removes the factors; the layer computes what it did before `add`."""
    in_place.restore(layer, (SCALE,))


@functools.cache
def _scaled(kind: type[keras.Layer], scales_outputs: bool) -> type[keras.Layer]:
    """The class of layers of class `kind` that have factors."""
    body: dict[str, Any] = {
        "is_scaled": True,
        "scales_outputs": scales_outputs,
        "__module__": __name__,
    }
    body["kernel"] = property(lambda layer: kernel_of(layer) * _factors(layer))
    if scales_outputs:
        body["bias"] = property(_scaled_bias)
    return type(f"Scaled{kind.__name__}", (kind,), body)


def _factors(layer: keras.Layer) -> tf.Tensor:
    """The factors in a shape that broadcasts to the kernel's."""
    order, num_inputs = in_place.input_axes(layer)
    scaled = order[num_inputs:] if type(layer).scales_outputs else order[:num_inputs]
    shape = [size if axis in scaled else 1 for axis, size in enumerate(kernel_of(layer).shape)]
    flat = [kernel_of(layer).shape[axis] for axis in scaled]
    by_axis = ops.transpose(ops.reshape(layer.ia3_scale, flat), np.argsort(scaled).tolist())
    return ops.reshape(by_axis, shape)


def _bias_of(layer: keras.Layer) -> keras.Variable | None:
    return layer.__dict__["bias"]


def _scaled_bias(layer: keras.Layer) -> tf.Tensor | None:
    """The bias times the factors.

    A bias has the axes of the outputs in their order, without those that it is broadcast over.
    """
    bias = _bias_of(layer)
    if bias is None:
        return None
    order, num_inputs = in_place.input_axes(layer)
    return bias * ops.reshape(
        layer.ia3_scale, [kernel_of(layer).shape[a] for a in order[num_inputs:]]
    )
