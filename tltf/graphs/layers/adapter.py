"""Adapters: small networks with a residual connection behind a layer, which stay in the core.

h + W_up f(W_down h + b_down) + b_up with W_up = 0 and b_up = 0 at the start: Houlsby et al. 2019,
arXiv:1902.00751, section 2.1. Departs: W_down starts as Glorot draws it and W_up at 0, where the
paper draws both with a deviation of .01, so that the network at the start is exactly the base; f is
GELU; the adapter stands before the dropout that a transformer block may have behind its
projections.
"""

import functools
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tltf.graphs.layers import in_place

NAMES = ("adapter_down", "adapter_down_bias", "adapter_up", "adapter_up_bias")
"""The names of a layer's adapter variables."""
KINDS = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)
"""The classes of layers that can have an adapter."""


def takes_adapter(layer: keras.Layer) -> bool:
    """Whether `add` can put an adapter behind the layer, whose last output axis must be channels."""
    is_last = getattr(layer, "data_format", "channels_last") == "channels_last"
    return isinstance(layer, KINDS) and in_place.has_kernel(layer) and is_last


def add(layer: keras.Layer, size: int) -> None:
    """Puts an adapter behind a built layer; what the layer computes does not change yet.

    Args:
        layer: a layer that `takes_adapter` and has no adapter.
        size: width of the bottleneck, at least 1.
    """
    width = in_place.output_width(layer)
    shapes = ((width, size), (size,), (size, width), (width,))
    starts = ("glorot_uniform", "zeros", "zeros", "zeros")
    for name, shape, start in zip(NAMES, shapes, starts, strict=True):
        in_place.add_variable(layer, name, shape, start)
    in_place.change(layer, _adapted(layer.__class__))


def has_adapter(layer: keras.Layer) -> bool:
    """Whether the layer has an adapter that is not removed."""
    return getattr(type(layer), "is_adapted", False)


def size_of(layer: keras.Layer) -> int:
    """Width of the layer's bottleneck; 0 without an adapter."""
    return int(layer.adapter_down.shape[1]) if has_adapter(layer) else 0


def remove(layer: keras.Layer) -> None:
    """Removes the adapter; the layer computes what it did before `add`."""
    in_place.restore(layer, NAMES)


@functools.cache
def _adapted(kind: type[keras.Layer]) -> type[keras.Layer]:
    """The class of layers of class `kind` that have an adapter."""

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> tf.Tensor:
        """float[..., width]: the output of the adapter behind the layer."""
        plain = kind.call(layer, *args, **kwargs)
        down, down_bias, up, up_bias = (ops.cast(getattr(layer, n), plain.dtype) for n in NAMES)
        small = ops.gelu(ops.matmul(plain, down) + down_bias)
        return plain + ops.matmul(small, up) + up_bias

    body = {"is_adapted": True, "__module__": __name__, "call": call}
    return type(f"Adapted{kind.__name__}", (kind,), body)
