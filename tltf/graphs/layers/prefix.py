"""Prefixes: learned keys and values before those of the sequence, which stay in the core.

head_i = Attention(x W_q, [P_k; x W_k], [P_v; x W_v]): Li & Liang 2021, arXiv:2101.00190, section
4.2, in the form of He et al. 2021, arXiv:2110.04366, eq. 5. Departs: the vectors themselves are
trained, not a network that makes them. They are matrices, so AdamW decays them.
"""

import functools
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tltf.graphs.layers import in_place

KEYS, VALUES = "prefix_keys", "prefix_values"
"""The names of an attention's prefix variables."""
DEVIATION = 0.02
"""Standard deviation of the random numbers that a prefix starts from."""


def add(layer: keras.Layer, length: int) -> None:
    """Gives a built multi-head attention a prefix.

    Args:
        layer: keras.layers.MultiHeadAttention without a prefix.
        length: number of keys, at least 1.
    """
    heads = layer._num_heads
    for name, width in ((KEYS, layer._key_dim), (VALUES, layer._value_dim)):
        # An initializer gives the same numbers each time, so each variable has its own.
        start = keras.initializers.RandomNormal(stddev=DEVIATION)
        in_place.add_variable(layer, name, (length, heads, width), start)
    in_place.change(layer, _prefixed(layer.__class__))


def has_prefix(layer: keras.Layer) -> bool:
    """Whether the layer has a prefix that is not removed."""
    return getattr(type(layer), "is_prefixed", False)


def length_of(layer: keras.Layer) -> int:
    """Number of keys in the prefix; 0 without a prefix."""
    return int(layer.prefix_keys.shape[0]) if has_prefix(layer) else 0


def remove(layer: keras.Layer) -> None:
    """Removes the prefix; the layer computes what it did before `add`."""
    in_place.restore(layer, (KEYS, VALUES))


@functools.cache
def _prefixed(kind: type[keras.Layer]) -> type[keras.Layer]:
    """The class of layers of class `kind` that have a prefix."""

    def compute(
        layer: keras.Layer,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        attention_mask: tf.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Attention over the prefix and the sequence; the prefix is never masked."""
        if kwargs.pop("use_causal_mask", False):
            causal = layer._compute_causal_mask(query, value)
            seen = True if attention_mask is None else ops.cast(attention_mask, "bool")
            attention_mask = ops.logical_and(causal, seen)
        if attention_mask is not None:
            length = layer.prefix_keys.shape[0]
            before = [(0, 0)] * (len(attention_mask.shape) - 1) + [(length, 0)]
            attention_mask = ops.pad(ops.cast(attention_mask, "bool"), before, constant_values=True)
        key, value = _behind(layer.prefix_keys, key), _behind(layer.prefix_values, value)
        return kind._compute_attention(layer, query, key, value, attention_mask, *args, **kwargs)

    body = {"is_prefixed": True, "__module__": __name__, "_compute_attention": compute}
    return type(f"Prefixed{kind.__name__}", (kind,), body)


def _behind(prefix: keras.Variable, tensor: tf.Tensor) -> tf.Tensor:
    """float[B, P + S, heads, dim]: the prefix, the same for every example, then `tensor`."""
    every = ops.broadcast_to(prefix, (ops.shape(tensor)[0], *prefix.shape))
    return ops.concatenate([ops.cast(every, tensor.dtype), tensor], axis=1)
