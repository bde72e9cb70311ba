"""The dtype policy of layers that are made."""

import contextlib

import keras


@contextlib.contextmanager
def policy(name):
    """Layers made in this block have the dtype policy `name`, whatever a run before has set."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
