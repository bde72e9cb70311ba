"""How many pixels an encoded image claims to have, read from its header with TensorFlow operations.

So that the exported graph refuses a file of a few bytes before its decoder allocates gigabytes.
"""

import tensorflow as tf

from tltf.data.images import exif

GIF_MAGIC, BITMAP_MAGIC, WEBP_MAGIC = b"GIF8", b"BM", b"WEBP"
KINDS_OF_WEBP = {
    b"VP8 ": {"position": 26, "size": 2, "mask": 0x3FFF},
    b"VP8X": {"position": 24, "size": 3, "more": 1},
}
"""Chunk -> where its sides are, see `_product`."""


def num_pixels(contents: tf.Tensor) -> tf.Tensor:
    """float32[] of tf.string[]: width times height; 0 for a file of no known kind.

    PNG, JPEG, GIF, BMP and WebP; a header that ends early counts as zeros.

    Raises:
        tf.errors.InvalidArgumentError: a JPEG that ends before its sides.
    """
    begins = exif.begins
    is_webp = begins(contents, exif.RIFF_MAGIC) & begins(contents, WEBP_MAGIC, 8)
    return tf.case(
        [
            (begins(contents, exif.JPEG_MAGIC), lambda: _of_jpeg(contents)),
            (begins(contents, exif.PNG_MAGIC), lambda: _product(contents, 16, 4, is_little=False)),
            (begins(contents, GIF_MAGIC), lambda: _product(contents, 6, 2)),
            (begins(contents, BITMAP_MAGIC), lambda: _product(contents, 18, 4)),
            (is_webp, lambda: _of_webp(contents)),
        ],
        default=lambda: tf.constant(0.0),
    )


def _of_jpeg(contents: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.float32))


def _product(
    contents: tf.Tensor,
    position: int,
    size: int,
    is_little: bool = True,
    mask: int = -1,
    more: int = 0,
) -> tf.Tensor:
    """Of two numbers of `size` bytes that follow each other; the sign of a side does not count."""
    sides = [
        exif.number(exif.bytes_at(contents, position + place, size), tf.constant(is_little))
        for place in (0, size)
    ]
    masked = tf.bitwise.bitwise_and(tf.stack(sides), mask) + more
    return tf.reduce_prod(tf.abs(tf.cast(masked, tf.float32)))


def _of_webp(contents: tf.Tensor) -> tf.Tensor:
    """A lossless one has 14 bits a side, which follow each other, less 1."""
    bits = exif.number(exif.bytes_at(contents, 21, 4), tf.constant(True))
    sides = [
        tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, shift), 0x3FFF) + 1 for shift in (0, 14)
    ]
    cases = [
        (exif.begins(contents, chunk, 12), lambda place=place: _product(contents, **place))
        for chunk, place in KINDS_OF_WEBP.items()
    ]
    return tf.case(cases, default=lambda: tf.reduce_prod(tf.cast(sides, tf.float32)))
