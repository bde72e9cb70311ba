"""How much a stranger's configuration may build: no more than the file of its weights can fill.

A few words of JSON can ask for a layer of terabytes or for millions of layers. Both would be made
before their weights are compared with the file's, so what is asked for is counted as it is asked.
"""

import contextlib
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import keras

from tltf.errors import ModelError

SPARE_BYTES, SPARE_VARIABLES, SPARE_LAYERS = 512 * 2**20, 2000, 4000
"""Beside twice what the file holds: parts of a backbone that no head reads are built, not saved."""


class _Count:
    """What may still be made of one thing."""

    def __init__(self, what: str, most: int, place: pathlib.Path | str) -> None:
        self._what, self._left, self._most, self._place = what, most, most, place

    def take(self, number: int) -> None:
        """Counts `number` more; raises ModelError where that is too much."""
        self._left -= number
        if self._left < 0:
            what = f"asks for more than {self._most} {self._what}, too many for its weights file"
            raise ModelError(what, place=self._place)


@contextlib.contextmanager
def limit_to_file(num_bytes: int, num_variables: int, place: pathlib.Path | str) -> Iterator[Any]:
    """A block in which Keras layers and their weights are made in the measure of a file.

    Args:
        num_bytes: of the file.
        num_variables: that it holds.
        place: the file, for the error.

    Raises:
        ModelError: in the block, before the layer or the variable that is too much is made.
    """
    kind, most_variables = keras.layers.Layer, 2 * num_variables + SPARE_VARIABLES
    num_left = _Count("bytes", 2 * num_bytes + SPARE_BYTES, place)
    variables = _Count("variables", most_variables, place)
    layers = _Count("layers", 2 * most_variables + SPARE_LAYERS, place)
    add_weight, new = kind.add_weight, kind.__dict__["__new__"]

    def counted_weight(layer: keras.Layer, *args: Any, **options: Any) -> keras.Variable:
        shape = options.get("shape", args[0] if args else None)
        num_left.take(4 * math.prod(map(int, shape if isinstance(shape, (tuple, list)) else ())))
        variables.take(1)
        return add_weight(layer, *args, **options)

    def counted_layer(cls: Any, *args: Any, **options: Any) -> keras.Layer | keras.Model:
        layers.take(1)
        return new.__get__(None, cls)(cls, *args, **options)

    kind.add_weight, kind.__new__ = counted_weight, staticmethod(counted_layer)
    try:
        yield
    finally:
        kind.add_weight, kind.__new__ = add_weight, new
