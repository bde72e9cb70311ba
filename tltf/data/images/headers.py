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
"""Chunk -> where its sides are, see `_pixels_from_sides`."""


def num_pixels(contents: tf.Tensor) -> tf.Tensor:
    """float32[] of tf.string[]: width times height; 0 for a file of no known kind.

    PNG, JPEG, GIF, BMP and WebP; a header that ends early counts as zeros.

    Raises:
        tf.errors.InvalidArgumentError: a JPEG that ends before its sides.
    """
    starts_with = exif.starts_with
    is_webp = starts_with(contents, exif.RIFF_MAGIC) & starts_with(contents, WEBP_MAGIC, 8)
    return tf.case(
        [
            (starts_with(contents, exif.JPEG_MAGIC), lambda: _jpeg_pixels(contents)),
            (
                starts_with(contents, exif.PNG_MAGIC),
                lambda: _pixels_from_sides(contents, 16, 4, is_little=False),
            ),
            (starts_with(contents, GIF_MAGIC), lambda: _pixels_from_sides(contents, 6, 2)),
            (starts_with(contents, BITMAP_MAGIC), lambda: _pixels_from_sides(contents, 18, 4)),
            (is_webp, lambda: _webp_pixels(contents)),
        ],
        default=lambda: tf.constant(0.0),
    )


def _jpeg_pixels(contents: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.float32))


def _pixels_from_sides(
    contents: tf.Tensor,
    position: int,
    size: int,
    is_little: bool = True,
    mask: int = -1,
    more: int = 0,
) -> tf.Tensor:
    """Of two numbers of `size` bytes that follow each other; the sign of a side does not count."""
    sides = [
        exif.read_number(exif.read_bytes(contents, position + place, size), tf.constant(is_little))
        for place in (0, size)
    ]
    masked = tf.bitwise.bitwise_and(tf.stack(sides), mask) + more
    return tf.reduce_prod(tf.abs(tf.cast(masked, tf.float32)))


def _webp_pixels(contents: tf.Tensor) -> tf.Tensor:
    """A lossless one has 14 bits a side, which follow each other, less 1."""
    bits = exif.read_number(exif.read_bytes(contents, 21, 4), tf.constant(True))
    sides = [
        tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, shift), 0x3FFF) + 1 for shift in (0, 14)
    ]
    cases = [
        (
            exif.starts_with(contents, chunk, 12),
            lambda place=place: _pixels_from_sides(contents, **place),
        )
        for chunk, place in KINDS_OF_WEBP.items()
    ]
    return tf.case(cases, default=lambda: tf.reduce_prod(tf.cast(sides, tf.float32)))
