"""The EXIF orientation of encoded images, read and undone with TensorFlow operations.

So a photo from a phone is upright in training, in prediction and in the exported graph. EXIF is
read from JPEG (APP1 segment), PNG (eXIf chunk) and WebP (EXIF chunk).
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tltf.data.images import byte_reading
from tltf.data.images.byte_reading import piece, read_bytes, read_number, starts_with

ORIENTATION_TAG = 0x0112
UPRIGHT = 1
MAX_SEGMENTS = 4096
EXIF_MAGIC = b"Exif\x00\x00"
MAY_HAVE_EXIF = r"\C*(Exif\x00\x00|eXIf|EXIF)\C*"
"""A pattern in which `\\C` is any byte. Most images have no EXIF, and this test is much faster than parsing."""
PNG_EXIF = r"\C*eXIf\C*"
XMP = r"\C*tiff:Orientation(?:=\"|>)([1-8])\C*"
START_OF_SCAN = r"\C*\xff\xda\C*"
ABSENT = 0
"""The value in place of an orientation where there is none."""
SEARCHED_BYTES = 65536
"""The number of bytes that are searched at one end of the file: JPEG and PNG have EXIF near the start,
WebP has it at the end."""


def orientation(contents: tf.Tensor) -> int | tf.Tensor:
    """The orientation int32[], 1 to 8, of image bytes tf.string[]; 1, upright, where there is none."""
    last = tf.maximum(tf.strings.length(contents) - SEARCHED_BYTES, 0)
    start = tf.where(starts_with(contents, byte_reading.RIFF_MAGIC), last, 0)
    searched = piece(contents, start, SEARCHED_BYTES)
    may_have = tf.strings.regex_full_match(searched, MAY_HAVE_EXIF)
    result = tf.cond(
        may_have | _is_further_on(contents, searched, last),
        lambda: _exif_orientation(contents),
        lambda: ABSENT,
    )
    return tf.cond(result == ABSENT, lambda: _orientation_in_xmp(searched), lambda: result)


def _is_further_on(contents: tf.Tensor, searched: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Whether EXIF can be beyond the first bytes: in headers that go on, or in a PNG chunk after the pixels."""

    def is_in_rest() -> tf.Tensor:
        is_jpeg = starts_with(contents, byte_reading.JPEG_MAGIC)
        has_long_headers = is_jpeg & ~tf.strings.regex_full_match(searched, START_OF_SCAN)
        end = piece(contents, last, SEARCHED_BYTES)
        is_png = starts_with(contents, byte_reading.PNG_MAGIC)
        return has_long_headers | (is_png & tf.strings.regex_full_match(end, PNG_EXIF))

    return tf.cond(last > 0, is_in_rest, lambda: tf.constant(False))


def _orientation_in_xmp(searched: tf.Tensor) -> int | tf.Tensor:
    """The orientation in XMP, as an attribute or an element `tiff:Orientation`; 1 without it."""
    return tf.cond(
        tf.strings.regex_full_match(searched, XMP),
        lambda: tf.strings.to_number(tf.strings.regex_replace(searched, XMP, r"\1"), tf.int32),
        lambda: UPRIGHT,
    )


def turn_upright(image: tf.Tensor, orientation_value: int | tf.Tensor) -> tf.Tensor:
    """The image uint8[H, W, C] made upright by its orientation, 1 to 8; [W, H, C] from 5 on."""

    def turn() -> tf.Tensor:
        is_upside_down, is_mirrored = (
            tf.reduce_any(orientation_value == np.array(values, np.int32))
            for values in ((3, 4, 7, 8), (2, 3, 6, 7))
        )
        result = tf.cond(
            orientation_value >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image
        )
        return tf.raw_ops.Reverse(tensor=result, dims=[is_upside_down, is_mirrored, False])

    return tf.cond(orientation_value == UPRIGHT, lambda: image, turn)


def _exif_orientation(contents: tf.Tensor) -> int | tf.Tensor:
    """The orientation in the EXIF data of a JPEG, PNG or WebP; ABSENT without it."""
    formats = (byte_reading.JPEG, byte_reading.PNG, ((0, byte_reading.RIFF_MAGIC),))
    start = tf.switch_case(
        byte_reading.first_match(byte_reading.read_head(contents), formats),
        [
            lambda: _tiff_in_jpeg(contents),
            lambda: _tiff_in_png(contents),
            lambda: _tiff_in_webp(contents),
            lambda: tf.constant(-1),
        ],
    )
    return tf.cond(start < 0, lambda: ABSENT, lambda: _orientation_in_tiff(contents, start))


def _walk(
    contents: tf.Tensor, first: int, step: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
) -> tf.Tensor:
    """The position of the TIFF data, or -1.

    Args:
        contents: tf.string[], the file.
        first: position of the first segment.
        step: position of a segment -> (position of TIFF data in it or -1, next position or -1).
    """
    length = tf.strings.length(contents)

    def is_searching(position: tf.Tensor, result: tf.Tensor) -> tf.Tensor:
        return (result < 0) & (position >= 0) & (position < length)

    def advance(position: tf.Tensor, result: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        result, following = step(position)
        return tf.where(following > position, following, -1), result

    _, result = tf.while_loop(
        is_searching,
        advance,
        (tf.constant(first), tf.constant(-1)),
        maximum_iterations=MAX_SEGMENTS,
        parallel_iterations=1,
    )
    return result


def _tiff_in_jpeg(contents: tf.Tensor) -> tf.Tensor:
    def step(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        head = read_bytes(contents, position, 4)
        has_exif = (head[1] == 0xE1) & (starts_with(contents, EXIF_MAGIC, position + 4))
        is_header = (head[0] == 0xFF) & (head[1] != 0xDA) & (head[1] != 0xD9)
        following = position + 2 + head[2] * 256 + head[3]
        following = tf.where(head[1] == 0xFF, position + 1, following)  # fill bytes
        return tf.where(has_exif, position + 10, -1), tf.where(is_header, following, -1)

    return _walk(contents, 2, step)


def _tiff_in_png(contents: tf.Tensor) -> tf.Tensor:
    def step(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        head = read_bytes(contents, position, 8)
        size = read_number(head[:4], is_little=False)
        has_exif = tf.reduce_all(head[4:] == list(b"eXIf"))
        following = tf.where(size >= 0, position + 12 + size, -1)
        return tf.where(has_exif, position + 8, -1), following

    return _walk(contents, 8, step)


def _tiff_in_webp(contents: tf.Tensor) -> tf.Tensor:
    def step(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        head = read_bytes(contents, position, 8)
        size = read_number(head[4:], is_little=True)
        has_exif = tf.reduce_all(head[:4] == list(b"EXIF"))
        following = tf.where(size >= 0, position + 8 + size + size % 2, -1)
        start = position + 8
        is_prefixed = starts_with(contents, EXIF_MAGIC, start)
        return tf.where(has_exif, tf.where(is_prefixed, start + 6, start), -1), following

    return _walk(contents, 12, step)


def _orientation_in_tiff(contents: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The orientation in the first directory of TIFF data from `start` on; ABSENT without it."""
    head = read_bytes(contents, start, 8)
    is_little = head[0] == ord("I")
    directory = start + read_number(head[4:], is_little)
    directory = tf.where(directory < start, tf.strings.length(contents), directory)
    num_entries = read_number(read_bytes(contents, directory, 2), is_little)
    entries = piece(contents, directory + 2, tf.minimum(num_entries, MAX_SEGMENTS) * 12)
    raw = tf.cast(tf.io.decode_raw(entries, tf.uint8), tf.int32)
    table = tf.reshape(raw[: tf.size(raw) // 12 * 12], [-1, 12])
    table = tf.concat([table, tf.zeros([1, 12], tf.int32)], 0)
    tags = _read_shorts(table[:, :2], is_little)
    row = table[tf.argmax(tf.cast(tags == ORIENTATION_TAG, tf.int32))]
    is_tag = _read_shorts(row[:2], is_little) == ORIENTATION_TAG
    is_short = _read_shorts(row[2:4], is_little) == 3
    value = tf.where(is_short, _read_shorts(row[8:10], is_little), read_number(row[8:], is_little))
    return tf.where(is_tag, tf.where((value >= 1) & (value <= 8), value, UPRIGHT), ABSENT)


def _read_shorts(pairs: tf.Tensor, is_little: tf.Tensor) -> tf.Tensor:
    """The numbers int32[...] in pairs of unsigned bytes int32[..., 2]."""
    little = pairs[..., 0] + 256 * pairs[..., 1]
    return tf.where(is_little, little, 256 * pairs[..., 0] + pairs[..., 1])
