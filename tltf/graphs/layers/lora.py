"""Low-rank updates of kernels: added to layers in place, and merged into their kernels.

h = (W + s A B) x with W frozen, B = 0 at the start: Hu et al. 2021, arXiv:2106.09685, eq. 3.
s = alpha / rank, or alpha / sqrt(rank): Kalajdzievski 2023, arXiv:2312.03732, theorem 3.2.

A kernel is treated as a matrix of the axes that it contracts times the axes that it outputs,
whatever its shape. So the 3-axis kernels of attention heads have the paper's size, a row of a
convolution's matrix is a patch, and a depthwise kernel is its positions times its channels. Of a
separable convolution the pointwise kernel is updated.
"""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.graphs.layers import in_place
from tltf.graphs.layers.in_place import kernel_of, matrix_shape

A, B = "lora_a", "lora_b"
"""The names of a layer's two update matrices."""


def add(layer: keras.Layer, rank: int, scale: float, seed: int | None = None) -> None:
    """Adds an update to a built layer; what the layer computes does not change yet.

    Args:
        layer: a layer with a kernel and without an update.
        rank: rank of the update, at least 1.
        scale: s.
        seed: seed of the draw of A, which is uniform within 1 / sqrt(inputs), as in the authors'
            loralib.
    """
    inputs, outputs = matrix_shape(layer)
    bound = inputs**-0.5
    start = keras.initializers.RandomUniform(-bound, bound, seed=seed)
    in_place.add_variable(layer, A, (inputs, rank), start)
    in_place.add_variable(layer, B, (rank, outputs), "zeros")
    layer.lora_scale = float(scale)
    in_place.change(layer, _updated(layer.__class__))


def has_update(layer: keras.Layer) -> bool:
    """Whether the layer has an update that is neither merged nor removed."""
    return getattr(type(layer), "is_low_rank", False)


def delta(layer: keras.Layer) -> tf.Tensor:
    """The update s A B in the kernel's shape."""
    order, _ = in_place.input_axes(layer)
    kernel = kernel_of(layer)
    product = ops.matmul(layer.lora_a, layer.lora_b) * layer.lora_scale
    shaped = ops.reshape(product, [kernel.shape[axis] for axis in order])
    return ops.transpose(shaped, np.argsort(order).tolist())


def merge(layer: keras.Layer) -> None:
    """Adds the update to the kernel; the layer computes the same and has its own class again."""
    kernel_of(layer).assign(kernel_of(layer) + delta(layer))
    remove(layer)


def remove(layer: keras.Layer) -> None:
    """Removes the update; the layer computes what it did before `add`."""
    del layer.lora_scale
    in_place.restore(layer, (A, B))


@functools.cache
def _updated(kind: type[keras.Layer]) -> type[keras.Layer]:
    """The class of layers of class `kind` that have an update."""
    body = {"is_low_rank": True, "__module__": __name__}
    if issubclass(kind, keras.layers.Embedding):

        def call(layer: keras.Layer, inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
            """Rows of the table plus rows of A times B: A B as a whole is as large as the table."""
            plain = kind.call(layer, inputs, *args, **kwargs)
            rows = ops.take(layer.lora_a, ops.cast(inputs, "int32"), axis=0)
            return plain + ops.cast(ops.matmul(rows, layer.lora_b) * layer.lora_scale, plain.dtype)

        body["call"] = call
    else:
        read = property(lambda layer: kernel_of(layer) + delta(layer), _set_kernel)
        body[in_place.kernel_name(kind)] = read
    return type(f"LowRank{kind.__name__}", (kind,), body)


def _set_kernel(layer: keras.Layer, value: object) -> None:
    """Refuses a new kernel: Keras sets it while it builds a layer, and nothing else may."""
    raise AttributeError(f"the kernel of {layer.name} has an update and cannot be set")
