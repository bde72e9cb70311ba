"""Limits on what a stranger's configuration may build: no more than its weights file can fill.

A few words of JSON can ask for a layer of terabytes or for millions of layers. Both would be made
before their weights are compared with those in the file, so each request is counted before it is
met.
"""

import contextlib
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import keras

from tltf.errors import ModelError

SPARE_BYTES, SPARE_VARIABLES, SPARE_LAYERS = 512 * 2**20, 2000, 4000
"""What may be built beyond twice what the file holds: the parts of a backbone that no head reads are
built but not saved."""


class _Count:
    """How much of one thing may still be made.

    Args:
        what: the thing, in the plural.
        most: the limit.
        place: the file that sets it, for the error.
    """

    def __init__(self, what: str, most: int, place: pathlib.Path | str) -> None:
        self._what, self._left, self._most, self._place = what, most, most, place

    def take(self, number: int) -> None:
        """Counts `number` more; raises ModelError where that exceeds the limit."""
        self._left -= number
        if self._left < 0:
            what = f"asks for more than {self._most} {self._what}, too many for its weights file"
            raise ModelError(what, place=self._place)


@contextlib.contextmanager
def limit_to_file(num_bytes: int, num_variables: int, place: pathlib.Path | str) -> Iterator[None]:
    """A block in which no more Keras layers and weights can be made than a file can fill.

    Args:
        num_bytes: size of the file.
        num_variables: number of variables that the file holds.
        place: the file, for the error.

    Raises:
        ModelError: in the block, before the layer or the variable that exceeds a limit is made.
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

    def counted_layer(cls: type[keras.Layer], *args: Any, **options: Any) -> keras.Layer:
        layers.take(1)
        return new.__get__(None, cls)(cls, *args, **options)

    kind.add_weight, kind.__new__ = counted_weight, staticmethod(counted_layer)
    try:
        yield
    finally:
        kind.add_weight, kind.__new__ = add_weight, new
