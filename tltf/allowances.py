"""How much a stranger's configuration may build: no more than the file of its weights can fill.

A few words of JSON can ask for a layer of terabytes or for millions of layers. Both would be made
before their weights are compared with the file's, so what is asked for is counted as it is asked.
"""

import contextlib
import math

import keras

from tltf.errors import ModelError

SPARE_BYTES, SPARE_VARIABLES = 512 * 2**20, 4000
"""Beside twice the file: parts of a backbone that no head reads are built and not saved."""


@contextlib.contextmanager
def granted(num_bytes, num_variables, place):
    """A block in which Keras layers get weights in the measure of a file.

    Args:
        num_bytes: of the file.
        num_variables: that it holds.
        place: the file, for the error.

    Raises:
        ModelError: in the block, before the variable that is too much is made.
    """
    original, used = keras.layers.Layer.add_weight, [0, 0]
    limits = (2 * num_bytes + SPARE_BYTES, 2 * num_variables + SPARE_VARIABLES)

    def counted(layer, *args, **options):
        shape = options.get("shape", args[0] if args else None)
        used[0] += 4 * math.prod(map(int, shape if isinstance(shape, (tuple, list)) else ()))
        used[1] += 1
        if used[0] > limits[0] or used[1] > limits[1]:
            what = f"asks for more weights than the file holds ({used[1]} of {used[0]} bytes)"
            raise ModelError(what, place=place)
        return original(layer, *args, **options)

    keras.layers.Layer.add_weight = counted
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = original
