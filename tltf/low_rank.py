"""Low-rank updates of kernels, put into layers in place and merged into them.

h = (W + s A B) x with W frozen, B = 0 at the start: Hu et al. 2021, arXiv:2106.09685, eq. 3.
s = alpha / rank, or alpha / sqrt(rank): Kalajdzievski 2023, arXiv:2312.03732, theorem 3.2.

A kernel is a matrix here: what it contracts times what it gives, whatever its shape. So the 3-axis
kernels of attention heads have the paper's size, a convolution's row is a patch, and a depthwise
kernel is its places times its channels. Layers inside of other layers are reached too, since a
layer changes its class, not its place in the graph.
"""

import functools

import keras
import numpy as np
from keras import ops

KINDS = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
"""Layers, and their subclasses, that take an update."""
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
A, B = "lora_a", "lora_b"


def takes_update(layer):
    """Whether `add` can change the layer."""
    return isinstance(layer, KINDS) and getattr(layer, "quantization_mode", None) is None


def kernel_of(layer):
    """The keras.Variable that an update is added to."""
    if isinstance(layer, keras.layers.Embedding):
        return layer._embeddings
    return layer.__dict__["kernel"] if isinstance(layer, _DEPTHWISE) else layer._kernel


def matrix_shape(layer):
    """`(inputs, outputs)` of the layer's kernel as a matrix."""
    order, num_inputs = _order(layer)
    shape = [kernel_of(layer).shape[axis] for axis in order]
    return int(np.prod(shape[:num_inputs])), int(np.prod(shape[num_inputs:]))


def add(layer, rank, scale, seed=None):
    """Gives a built layer an update of a rank; what it computes does not change yet.

    Args:
        layer: one that `takes_update`, without an update.
        rank: of the update, at least 1.
        scale: s.
        seed: of A, uniform within 1 / sqrt(inputs), as the authors' loralib draws it.
    """
    inputs, outputs = matrix_shape(layer)
    bound = inputs**-0.5
    start = keras.initializers.RandomUniform(-bound, bound, seed=seed)
    dtype = kernel_of(layer).dtype
    layer._tracker.unlock()
    layer.lora_a = layer.add_weight((inputs, rank), start, dtype, name=A)
    layer.lora_b = layer.add_weight((rank, outputs), "zeros", dtype, name=B)
    layer._tracker.lock()
    layer.lora_scale = float(scale)
    layer.__class__ = _updated(layer.__class__)


def has_update(layer):
    """Whether `add` was called, and neither `merge` nor `remove`."""
    return getattr(type(layer), "is_low_rank", False)


def delta(layer):
    """s A B in the kernel's shape."""
    order, _ = _order(layer)
    kernel = kernel_of(layer)
    product = ops.matmul(layer.lora_a, layer.lora_b) * layer.lora_scale
    shaped = ops.reshape(product, [kernel.shape[axis] for axis in order])
    return ops.transpose(shaped, np.argsort(order).tolist())


def merge(layer):
    """Adds the update to the kernel; the layer is a plain one again and computes the same."""
    kernel_of(layer).assign(kernel_of(layer) + delta(layer))
    remove(layer)


def remove(layer):
    """Takes the update away; the layer computes what it did before `add`."""
    for name in (A, B):
        layer._untrack_variable(getattr(layer, name))
        super(keras.Layer, layer).__delattr__(name)  # Keras's own collects garbage for each
    del layer.lora_scale
    layer.__class__ = type(layer).__mro__[1]


@functools.cache
def _updated(kind):
    """The class of a layer of class `kind` with an update."""
    body = {"is_low_rank": True, "__module__": __name__}
    if issubclass(kind, keras.layers.Embedding):
        body["call"] = _embed
    else:
        body["kernel"] = property(lambda layer: kernel_of(layer) + delta(layer), _set_kernel)
    return type(f"LowRank{kind.__name__}", (kind,), body)


def _set_kernel(layer, value):
    """Keras sets the kernel of a layer that is built; nothing else does."""
    raise AttributeError(f"the kernel of {layer.name} has an update and cannot be set")


def _embed(layer, inputs, *args, **kwargs):
    """Rows of the table and of A only: the product of all rows would be as large as the table."""
    plain = super(type(layer), layer).call(inputs, *args, **kwargs)
    rows = ops.take(layer.lora_a, ops.cast(inputs, "int32"), axis=0)
    return plain + ops.cast(ops.matmul(rows, layer.lora_b) * layer.lora_scale, plain.dtype)


def _order(layer):
    """`(axes of the kernel, inputs first; number of input axes)`."""
    axes = list(range(len(kernel_of(layer).shape)))
    if isinstance(layer, keras.layers.EinsumDense):
        _, kernel, output = _labels(layer.equation)
        axes.sort(key=lambda axis: kernel[axis] in output)  # a stable sort: inputs come first
        return axes, sum(label not in output for label in kernel)
    return axes, len(axes) - (2 if isinstance(layer, _DEPTHWISE) else 1)


def _labels(equation):
    """`ab,bc->ac` as ("ab", "bc", "ac")."""
    given, output = equation.replace(" ", "").replace("...", "").split("->")
    return (*given.split(","), output)
