"""The number of pixels that the header of an encoded image claims, read with TensorFlow operations.

So the exported graph refuses a file of a few bytes before its decoder allocates gigabytes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tltf.data.images import byte_reading
from tltf.data.images.byte_reading import BITMAP, GIF, HEAD_BYTES, PNG, WEBP, Pattern

Bits = Sequence[tuple[int, int, float]]
"""(position of a byte, the bits of it that count, what each of them is worth) of all parts of a number."""


def _bytes(position: int, size: int, is_little: bool = True, last: int = 0xFF) -> Bits:
    """The Bits of a number of `size` bytes, of whose highest byte the bits `last` count."""
    places = range(size) if is_little else range(size - 1, -1, -1)
    return [
        (position + step, last if place == size - 1 else 0xFF, 256.0**place)
        for step, place in enumerate(places)
    ]


@dataclasses.dataclass(frozen=True)
class _Sides:
    """Where the headers of a format have the sides of the image.

    Args:
        pattern: what such a file begins with.
        width: the Bits of the width.
        height: the Bits of the height.
        more: what is added to each.
    """

    pattern: Pattern
    width: Bits
    height: Bits
    more: int = 0


_SIDES = (
    _Sides(PNG, _bytes(16, 4, is_little=False), _bytes(20, 4, is_little=False)),
    _Sides(GIF, _bytes(6, 2), _bytes(8, 2)),
    _Sides(BITMAP, _bytes(18, 4), _bytes(22, 4)),
    _Sides((*WEBP, (12, b"VP8 ")), _bytes(26, 2, last=0x3F), _bytes(28, 2, last=0x3F)),
    _Sides((*WEBP, (12, b"VP8X")), _bytes(24, 3), _bytes(27, 3), more=1),
    # lossless: 14 bits for each side less 1
    _Sides(
        WEBP, _bytes(21, 2, last=0x3F), [(22, 0xC0, 2.0**-6), (23, 0xFF, 4), (24, 0x0F, 2**10)], 1
    ),
)
"""The formats whose sides stand at fixed positions; the first that fits counts."""


def num_pixels(contents: tf.Tensor) -> tf.Tensor:
    """float32[], width times height of a file tf.string[]; 0 where the format is not known.

    The formats are PNG, JPEG, GIF, BMP and WebP; the missing part of a header counts as zeros, and
    the sign of a side does not count.

    Raises:
        tf.errors.InvalidArgumentError: a JPEG ends before its sides.
    """
    head = byte_reading.read_head(contents)
    return tf.cond(
        byte_reading.first_match(head, [byte_reading.JPEG]) == 0,
        lambda: _jpeg_pixels(contents),
        lambda: _pixels(head),
    )


def _jpeg_pixels(contents: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.float32))


def _pixels(head: tf.Tensor) -> tf.Tensor:
    """`num_pixels` of a file that is no JPEG, from its first bytes int32[HEAD_BYTES]."""
    masks = np.zeros((len(_SIDES), 2, HEAD_BYTES), np.int32)
    worth = np.zeros(masks.shape)
    for place, sides in enumerate(_SIDES):
        for side, bits in enumerate((sides.width, sides.height)):
            for position, mask, value in bits:
                masks[place, side, position], worth[place, side, position] = mask, value
    more = np.array([[sides.more] for sides in _SIDES], np.float64)
    numbers = tf.cast(tf.bitwise.bitwise_and(head, masks), tf.float64)
    found = tf.reduce_sum(numbers * worth, axis=2) + more
    unsigned = tf.minimum(found, 2.0**32 - found)
    products = tf.concat([tf.reduce_prod(unsigned, axis=1), [0.0]], axis=0)
    place = byte_reading.first_match(head, [sides.pattern for sides in _SIDES])
    return tf.cast(products[place], tf.float32)
