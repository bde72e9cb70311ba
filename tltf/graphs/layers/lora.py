"""Low-rank updates of kernels, put into layers in place and merged into them.

h = (W + s A B) x with W frozen, B = 0 at the start: Hu et al. 2021, arXiv:2106.09685, eq. 3.
s = alpha / rank, or alpha / sqrt(rank): Kalajdzievski 2023, arXiv:2312.03732, theorem 3.2.

A kernel is a matrix here: what it contracts times what it gives, whatever its shape. So the 3-axis
kernels of attention heads have the paper's size, a convolution's row is a patch, and a depthwise
kernel is its places times its channels. A separable convolution's pointwise kernel is updated.
"""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from tltf.graphs.layers import in_place
from tltf.graphs.layers.in_place import kernel_of, matrix_shape

A, B = "lora_a", "lora_b"


def add(layer: keras.Layer, rank: int, scale: float, seed: Any = None) -> None:
    """Gives a built layer an update of a rank; what it computes does not change yet.

    Args:
        layer: one with a kernel and without an update.
        rank: of the update, at least 1.
        scale: s.
        seed: of A, uniform within 1 / sqrt(inputs), as the authors' loralib draws it.
    """
    inputs, outputs = matrix_shape(layer)
    bound = inputs**-0.5
    start = keras.initializers.RandomUniform(-bound, bound, seed=seed)
    in_place.add_variable(layer, A, (inputs, rank), start)
    in_place.add_variable(layer, B, (rank, outputs), "zeros")
    layer.lora_scale = float(scale)
    in_place.change(layer, _updated(layer.__class__))


def has_update(layer: keras.Layer) -> bool:
    """Whether `add` was called, and neither `merge` nor `remove`."""
    return getattr(type(layer), "is_low_rank", False)


def delta(layer: keras.Layer) -> Any:
    """s A B in the kernel's shape."""
    order, _ = in_place.input_axes(layer)
    kernel = kernel_of(layer)
    product = ops.matmul(layer.lora_a, layer.lora_b) * layer.lora_scale
    shaped = ops.reshape(product, [kernel.shape[axis] for axis in order])
    return ops.transpose(shaped, np.argsort(order).tolist())


def merge(layer: keras.Layer) -> None:
    """Adds the update to the kernel; the layer is a plain one again and computes the same."""
    kernel_of(layer).assign(kernel_of(layer) + delta(layer))
    remove(layer)


def remove(layer: keras.Layer) -> None:
    """Takes the update away; the layer computes what it did before `add`."""
    del layer.lora_scale
    in_place.restore(layer, (A, B))


@functools.cache
def _updated(kind: Any) -> type:
    """The class of a layer of class `kind` with an update."""
    body = {"is_low_rank": True, "__module__": __name__}
    if issubclass(kind, keras.layers.Embedding):

        def call(layer: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            """Rows of the table and of A: the product of all rows would be as large as the table."""
            plain = kind.call(layer, inputs, *args, **kwargs)
            rows = ops.take(layer.lora_a, ops.cast(inputs, "int32"), axis=0)
            return plain + ops.cast(ops.matmul(rows, layer.lora_b) * layer.lora_scale, plain.dtype)

        body["call"] = call
    else:
        read = property(lambda layer: kernel_of(layer) + delta(layer), _set_kernel)
        body[in_place.kernel_name(kind)] = read
    return type(f"LowRank{kind.__name__}", (kind,), body)


def _set_kernel(layer: Any, value: Any) -> None:
    """Keras sets the kernel of a layer that is built; nothing else does."""
    raise AttributeError(f"the kernel of {layer.name} has an update and cannot be set")
