"""The dtype policy of layers that are made."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


@contextlib.contextmanager
def policy(name: str) -> Iterator[Any]:
    """Layers made in this block have the dtype policy `name`, whatever a run before has set."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
