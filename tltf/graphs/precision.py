"""The number format in which layers compute."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def policy(name: str) -> Iterator[None]:
    """A block in which new layers have the dtype policy `name`, whatever an earlier run has set."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def is_half(model: keras.Model) -> bool:
    """Whether a layer of the model computes in float16 or bfloat16."""
    halves = {"float16", "bfloat16"}
    return any(layer.compute_dtype in halves for layer in model._flatten_layers())
