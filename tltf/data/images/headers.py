"""The number of pixels that the header of an encoded image claims, read with TensorFlow operations.

So the exported graph refuses a file of a few bytes before its decoder allocates gigabytes.
"""

import tensorflow as tf

from tltf.data.images import exif

GIF_MAGIC, BITMAP_MAGIC, WEBP_MAGIC = b"GIF8", b"BM", b"WEBP"
KINDS_OF_WEBP = {
    b"VP8 ": {"position": 26, "size": 2, "mask": 0x3FFF},
    b"VP8X": {"position": 24, "size": 3, "more": 1},
}
"""Chunk -> where its sides stand, see `_pixels_from_sides`."""


def num_pixels(contents: tf.Tensor) -> tf.Tensor:
    """float32[], width times height of a file tf.string[]; 0 where the format is not known.

    The formats are PNG, JPEG, GIF, BMP and WebP; the missing part of a header counts as zeros.

    Raises:
        tf.errors.InvalidArgumentError: a JPEG ends before its sides.
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
    """The product of two numbers of `size` bytes that follow each other, whatever their signs.

    Args:
        contents: tf.string[], the file.
        position: position of the first number.
        size: number of bytes of each number.
        is_little: whether the lowest byte comes first.
        mask: bits of a number that count.
        more: what is added to each number.
    """
    sides = [
        exif.read_number(exif.read_bytes(contents, position + place, size), tf.constant(is_little))
        for place in (0, size)
    ]
    masked = tf.bitwise.bitwise_and(tf.stack(sides), mask) + more
    return tf.reduce_prod(tf.abs(tf.cast(masked, tf.float32)))


def _webp_pixels(contents: tf.Tensor) -> tf.Tensor:
    """The number of pixels of a WebP file; a lossless one has 14 bits per side, for the side less 1."""
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
