"""The state of the last token of a text, which in a network that reads forward has seen all others."""

import keras
from keras import ops


def last_state(sequence: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
    """float32[B, d]: the state of the last token of each text; zeros for a text without tokens.

    Args:
        sequence: float[B, L, d], the states.
        mask: [B, L], 1 at tokens.
    """
    is_token = ops.cast(mask, "float32")
    count = ops.sum(is_token, axis=1, keepdims=True)
    is_last = is_token * ops.cast(ops.equal(ops.cumsum(is_token, axis=1), count), "float32")
    return ops.sum(ops.cast(sequence, "float32") * ops.expand_dims(is_last, -1), axis=1)
