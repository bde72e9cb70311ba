"""Built layers changed in place: they get variables and compute something else.

A layer gets a subclass of its class and more variables. So layers inside other layers are
reached too, and a graph that was built stays as it is. Each change can be undone.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from tltf.graphs import functional
from tltf.graphs.backbone import Group

MATRICES = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
"""Classes of layers that have a kernel. The kernel of a separable convolution is its pointwise one:
the depthwise one before it has only a few numbers per channel, fewer than an update of them."""
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


def has_kernel(layer: keras.Layer) -> bool:
    """Whether the layer has a kernel that is not quantized."""
    return isinstance(layer, MATRICES) and getattr(layer, "quantization_mode", None) is None


def kernel_of(layer: keras.Layer) -> keras.Variable:
    """The kernel variable of a layer, also where reading the layer's attribute gives something else."""
    if isinstance(layer, keras.layers.Embedding):
        return layer._embeddings
    if isinstance(layer, (*_DEPTHWISE, *_SEPARABLE)):
        return layer.__dict__[kernel_name(type(layer))]
    return layer._kernel


def kernel_name(kind: type) -> str:
    """The attribute by which layers of a class read their kernel; not for embeddings."""
    return "pointwise_kernel" if issubclass(kind, _SEPARABLE) else "kernel"


def is_depthwise(layer: keras.Layer) -> bool:
    """Whether each of the layer's channels has a kernel of its own."""
    return isinstance(layer, _DEPTHWISE)


def input_axes(layer: keras.Layer) -> tuple[list[int], int]:
    """`(axes of the kernel, inputs first; number of input axes)`."""
    axes = list(range(len(kernel_of(layer).shape)))
    if isinstance(layer, keras.layers.EinsumDense):
        _, kernel, output = _labels(layer.equation)
        axes.sort(key=lambda axis: kernel[axis] in output)  # a stable sort: inputs come first
        return axes, sum(label not in output for label in kernel)
    return axes, len(axes) - (2 if is_depthwise(layer) else 1)


def _labels(equation: str) -> tuple[str, str, str]:
    """The axis labels of an einsum's input, kernel and output: `ab,bc->ac` as ("ab", "bc", "ac")."""
    operands, output = equation.replace(" ", "").replace("...", "").split("->")
    inputs, kernel = operands.split(",")
    return inputs, kernel, output


def matrix_shape(layer: keras.Layer) -> tuple[int, int]:
    """`(inputs, outputs)` of the layer's kernel as a matrix."""
    order, num_inputs = input_axes(layer)
    shape = [kernel_of(layer).shape[axis] for axis in order]
    return int(np.prod(shape[:num_inputs])), int(np.prod(shape[num_inputs:]))


def output_width(layer: keras.Layer) -> int:
    """Size of the last axis of the output of a layer with a kernel; not for depthwise layers."""
    axis = -1
    if isinstance(layer, keras.layers.EinsumDense):
        _, kernel, output = _labels(layer.equation)
        axis = kernel.index(output[-1])
    return int(kernel_of(layer).shape[axis])


def add_variable(
    layer: keras.Layer,
    name: str,
    shape: tuple[int, ...],
    initializer: keras.Initializer | str,
) -> None:
    """Gives a built layer a variable of the layer's dtype, as the attribute `name`."""
    layer._tracker.unlock()
    setattr(layer, name, layer.add_weight(shape, initializer, layer.variable_dtype, name=name))
    layer._tracker.lock()


def change(layer: keras.Layer, kind: type[keras.Layer]) -> None:
    """Gives the layer the class `kind`, a subclass of its class."""
    layer.__class__ = kind


def restore(layer: keras.Layer, names: tuple[str, ...]) -> None:
    """Removes the variables `names` and gives the layer the class that it had before."""
    for name in names:
        layer._untrack_variable(getattr(layer, name))
        super(keras.Layer, layer).__delattr__(name)  # Keras's own collects garbage for each
    layer.__class__ = type(layer).__mro__[1]


def kernels(
    groups: Sequence[Group], is_wanted: Callable[[keras.Layer], bool]
) -> list[tuple[str, keras.Layer]]:
    """`(<group>/<name of the kernel>, layer)` of the wanted layers with a kernel, in depth order.

    Args:
        groups: groups of a backbone.
        is_wanted: whether a layer with a kernel is wanted.
    """
    return _named(groups, lambda layer: has_kernel(layer) and is_wanted(layer), kernel_of)


def attentions(groups: Sequence[Group]) -> list[tuple[str, keras.Layer]]:
    """`(<group>/<name of the query kernel>, layer)` of the groups' multi-head attentions."""
    is_attention = lambda layer: isinstance(layer, keras.layers.MultiHeadAttention)  # noqa: E731
    return _named(groups, is_attention, lambda layer: kernel_of(layer._query_dense))


def _named(
    groups: Sequence[Group],
    is_wanted: Callable[[keras.Layer], bool],
    variable_of: Callable[[keras.Layer], keras.Variable],
) -> list[tuple[str, keras.Layer]]:
    variables = functional.named_weights([layer for group in groups for layer in group.layers])
    names = {id(variable): name for name, variable in variables.items()}
    return [
        (f"{group.name}/{names[id(variable_of(layer))]}", layer)
        for group in groups
        for outer in group.layers
        for layer in outer._flatten_layers()
        if is_wanted(layer)
    ]
