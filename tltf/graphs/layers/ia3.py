"""Learned factors on what a layer gives or takes, merged into its kernel and bias.

l * (W x + b), or W (l * x) + b, with l = 1 at the start: Liu et al. 2022, arXiv:2205.05638,
section 3.3. Since l acts on columns or rows of W, the trained layer is a plain one again.
"""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from tltf.graphs.layers import in_place
from tltf.graphs.layers.in_place import kernel_of

SCALE = "ia3_scale"
KINDS = (keras.layers.Dense, keras.layers.EinsumDense)


def takes_scale(layer: keras.Layer) -> bool:
    """Whether `add` can change the layer."""
    return isinstance(layer, KINDS) and in_place.has_kernel(layer)


def add(layer: keras.Layer, side: str) -> None:
    """Gives a built layer factors of 1; what it computes does not change yet.

    Args:
        layer: one that `takes_scale`, without an activation where `side` is outputs.
        side: `outputs` or `inputs`: what the factors scale.
    """
    inputs, outputs = in_place.matrix_shape(layer)
    in_place.add_variable(layer, SCALE, (outputs if side == "outputs" else inputs,), "ones")
    in_place.change(layer, _scaled(layer.__class__, side == "outputs"))


def has_scale(layer: keras.Layer) -> bool:
    """Whether `add` was called, and neither `merge` nor `remove`."""
    return getattr(type(layer), "is_scaled", False)


def merge(layer: keras.Layer) -> None:
    """Scales kernel and bias; the layer is a plain one again and computes the same."""
    kernel_of(layer).assign(layer.kernel)
    if type(layer).scales_outputs and _bias_of(layer) is not None:
        _bias_of(layer).assign(layer.bias)
    remove(layer)


def remove(layer: keras.Layer) -> None:
    """Takes the factors away; the layer computes what it did before `add`."""
    in_place.restore(layer, (SCALE,))


@functools.cache
def _scaled(kind: type, scales_outputs: bool) -> type:
    """The class of a layer of class `kind` with factors."""
    body = {"is_scaled": True, "scales_outputs": scales_outputs, "__module__": __name__}
    body["kernel"] = property(lambda layer: kernel_of(layer) * _factors(layer))
    if scales_outputs:
        body["bias"] = property(_scaled_bias)
    return type(f"Scaled{kind.__name__}", (kind,), body)


def _factors(layer: keras.Layer) -> Any:
    """The factors in a shape that goes with the kernel's."""
    order, num_inputs = in_place.input_axes(layer)
    scaled = order[num_inputs:] if type(layer).scales_outputs else order[:num_inputs]
    shape = [size if axis in scaled else 1 for axis, size in enumerate(kernel_of(layer).shape)]
    flat = [kernel_of(layer).shape[axis] for axis in scaled]
    by_axis = ops.transpose(ops.reshape(layer.ia3_scale, flat), np.argsort(scaled).tolist())
    return ops.reshape(by_axis, shape)


def _bias_of(layer: keras.Layer) -> Any:
    return layer.__dict__["bias"]


def _scaled_bias(layer: keras.Layer) -> Any:
    """The bias has the outputs' axes in their order, but for those that it is spread over."""
    bias = _bias_of(layer)
    if bias is None:
        return None
    order, num_inputs = in_place.input_axes(layer)
    return bias * ops.reshape(
        layer.ia3_scale, [kernel_of(layer).shape[a] for a in order[num_inputs:]]
    )
