"""Reading of bytes and numbers in encoded images, with few TensorFlow operations.

Where a graph decodes one small image at a time, each operation costs as much as the work in it.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

HEAD_BYTES = 32
"""The number of bytes in which patterns are compared."""
JPEG_MAGIC, PNG_MAGIC, RIFF_MAGIC = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF"
GIF_MAGIC, BITMAP_MAGIC, WEBP_MAGIC = b"GIF8", b"BM", b"WEBP"
Pattern = Sequence[tuple[int, bytes]]
"""Positions in a file, below HEAD_BYTES, and the bytes that stand there."""
JPEG: Pattern = ((0, JPEG_MAGIC),)
PNG: Pattern = ((0, PNG_MAGIC),)
GIF: Pattern = ((0, GIF_MAGIC),)
BITMAP: Pattern = ((0, BITMAP_MAGIC),)
WEBP: Pattern = ((0, RIFF_MAGIC), (8, WEBP_MAGIC))


def read_bytes(contents: tf.Tensor, position: int | tf.Tensor, count: int) -> tf.Tensor:
    """int32[count], the unsigned bytes of tf.string[] from `position` on, with zeros beyond the end."""
    found = piece(contents, position, count)
    return tf.cast(tf.io.decode_raw(found, tf.uint8, fixed_length=count), tf.int32)


def read_head(contents: tf.Tensor) -> tf.Tensor:
    """int32[HEAD_BYTES], the first unsigned bytes of tf.string[], with zeros beyond the end."""
    return tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=HEAD_BYTES), tf.int32)


def first_match(head: tf.Tensor, patterns: Sequence[Pattern]) -> tf.Tensor:
    """The place int32[] of the first pattern that a file's head has; their number if there is none.

    Args:
        head: int32[HEAD_BYTES], see `read_head`.
        patterns: the patterns.
    """
    wanted = np.full((len(patterns) + 1, HEAD_BYTES), -1, np.int32)  # the last matches all
    for row, pattern in zip(wanted, patterns, strict=False):
        for position, magic in pattern:
            row[position : position + len(magic)] = list(magic)
    matches = tf.reduce_all((head == wanted) | (wanted < 0), axis=1)
    return tf.argmax(tf.cast(matches, tf.int32), output_type=tf.int32)


def starts_with(contents: tf.Tensor, magic: bytes, position: int | tf.Tensor = 0) -> tf.Tensor:
    """bool[], whether `contents`, tf.string[], has the bytes `magic` at `position`."""
    return piece(contents, position, len(magic)) == magic


def read_number(values: tf.Tensor, is_little: bool | tf.Tensor) -> tf.Tensor:
    """The number int32[] in unsigned bytes int32[n]; from 2^31 on it is negative."""
    places = np.arange(values.shape[0], dtype=np.int32) * 8
    little, big = tf.bitwise.left_shift(values, places), tf.bitwise.left_shift(values, places[::-1])
    return tf.reduce_sum(tf.where(is_little, little, big))


def piece(contents: tf.Tensor, position: int | tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """tf.string[], up to `count` bytes from `position` on; none beyond the end."""
    return tf.strings.substr(contents, tf.minimum(position, tf.strings.length(contents)), count)
