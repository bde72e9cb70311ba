"""Dense layers of sequences computed on all steps of all rows at once, in graphs for inference.

Keras multiplies [B, L, D] by a kernel as a batch of B matrices, and TensorFlow then fuses neither the
bias nor the activation. On [B L, D] it is one product with both fused: MiniLM's frozen layers take
0.77 times as long in float32. The results differ in rounding only, by some 3e-7.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

_lock = threading.RLock()


@contextlib.contextmanager
def flat_dense() -> Iterator[None]:
    """A block in which Dense and EinsumDense layers that are traced compute on [B L, D].

    Only graphs that are traced in the block change. A thread that traces another graph meanwhile
    gets the same numbers too, but for rounding.
    """
    kinds = {keras.layers.Dense: _dense, keras.layers.EinsumDense: _einsum_dense}
    with _lock:
        before = {kind: kind.call for kind in kinds}
        for kind, change in kinds.items():
            kind.call = change(kind.call)
        try:
            yield
        finally:
            for kind, call in before.items():
                kind.call = call


def _dense(plain: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """`Dense.call` with the steps of a sequence as rows."""

    def call(self: keras.layers.Dense, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        if inputs.shape.rank != 3 or inputs.shape[-1] is None:
            return plain(self, inputs, training)
        flat = plain(self, tf.reshape(inputs, [-1, inputs.shape[-1]]), training)
        return _unflattened(flat, inputs, 2, [flat.shape[-1]])

    return call


def _einsum_dense(plain: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """`EinsumDense.call` as the product of two matrices, where its equation is one."""

    def call(self: keras.layers.EinsumDense, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        count = _num_contracted(self, inputs)
        if not count:
            return plain(self, inputs, training)
        kernel = keras.ops.convert_to_tensor(self.kernel)
        wide, narrow = kernel.shape[:count].as_list(), kernel.shape[count:].as_list()
        matrix = tf.reshape(kernel, [math.prod(wide), math.prod(narrow)])
        flat = tf.matmul(tf.reshape(inputs, [-1, math.prod(wide)]), matrix)
        if self.bias is not None:
            bias = keras.ops.convert_to_tensor(self.bias)
            flat = tf.nn.bias_add(flat, tf.reshape(bias, [-1]))
        result = _unflattened(flat, inputs, inputs.shape.rank - count, narrow)
        return result if self.activation is None else self.activation(result)

    return call


def _num_contracted(layer: keras.layers.EinsumDense, inputs: tf.Tensor) -> int:
    """The number of axes that the inputs' last axes and the kernel's first share; 0 for other equations."""
    operands, output = layer.equation.replace(" ", "").split("->")
    given, kernel = operands.split(",")
    count = sum(label not in output for label in kernel)
    is_product = (
        "." not in layer.equation
        and inputs.shape.rank == len(given)
        and 0 < count < len(kernel)
        and given.endswith(kernel[:count])
        and output == given[: len(given) - count] + kernel[count:]
        and None not in inputs.shape[len(given) - count :].as_list()
    )
    has_whole_bias = layer.bias is None or tuple(layer.bias.shape) == tuple(
        layer.kernel.shape[count:]
    )
    is_plain = getattr(layer, "quantization_mode", None) is None
    return count if is_product and has_whole_bias and is_plain else 0


def _unflattened(flat: tf.Tensor, inputs: tf.Tensor, num_kept: int, last: list[int]) -> tf.Tensor:
    """`flat` [N, K] with the first axes of `inputs` in place of N, and the axes `last` in place of K."""
    static = inputs.shape[:num_kept].as_list()
    sizes = tf.shape(inputs)
    kept = [sizes[axis] if size is None else size for axis, size in enumerate(static)]
    return tf.ensure_shape(tf.reshape(flat, [*kept, *last]), [*static, *last])
