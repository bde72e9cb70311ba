"""From encoded image bytes to the tensor that a backbone takes, with TensorFlow operations only.

One function for training, evaluation, prediction and the exported graph.
"""

import dataclasses

import tensorflow as tf

from tltf.data import exif

BACKGROUND = 255.0
"""What shows through transparent pixels: white."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey image, ITU-R BT.601, as JPEG has them."""
PNG_DEPTH_AT = 24
"""Place in a PNG file of its bits a channel."""
BITMAP_MAGIC = b"BM"
BITMAP_INFO_AT, BITMAP_BITS_AT, BITMAP_NUM_COLOURS_AT = 14, 28, 46
"""Places in a bitmap file of the info header, of its bits a pixel, of its number of colours."""


@dataclasses.dataclass(frozen=True)
class ImagePreprocessing:
    """Decoding and resizing of images.

    Args:
        size_px: side of the square result in pixels.
        channels: 3 for RGB, 1 for grey.
    """

    size_px: int
    channels: int = 3

    def decode(self, contents):
        """uint8[H, W, channels] of tf.string[] bytes: JPEG, PNG, GIF, BMP or WebP.

        The first frame of an animation; turned upright as its EXIF data say; 16 bits scaled to
        8; transparent pixels on white; grey, palette and CMYK made RGB.

        Raises:
            tf.errors.InvalidArgumentError: bytes that TensorFlow cannot decode.
        """
        image = tf.case(
            [
                (exif.begins(contents, exif.JPEG_MAGIC), lambda: _decode_jpeg(contents)),
                (exif.begins(contents, exif.PNG_MAGIC), lambda: _decode_png(contents)),
                (_is_palette_bitmap(contents), lambda: _decode_palette_bitmap(contents)),
            ],
            default=lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
        )
        image = exif.upright(image, exif.orientation(contents))
        image.set_shape([None, None, 3])
        return in_channels(image, self.channels)

    def resize(self, image):
        """float32[..., S, S, channels] 0 to 255 of uint8[..., H, W, C], C of 1, 3 or 4.

        Bilinear, antialiased; the sides' ratio is not kept.
        """
        image = in_channels(image, self.channels)
        return tf.image.resize(image, [self.size_px, self.size_px], "bilinear", antialias=True)

    def __call__(self, contents):
        """float32[S, S, channels] 0 to 255 of tf.string[] bytes."""
        return self.resize(self.decode(contents))

    def decode_batch(self, contents):
        """float32[B, S, S, channels] 0 to 255 of tf.string[B] bytes; B may be 0.

        Raises:
            tf.errors.InvalidArgumentError: naming the positions that cannot be decoded.
        """
        count = tf.size(contents)
        numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), contents))
        decoded = numbered.map(
            lambda number, item: (number, self(item)), num_parallel_calls=tf.data.AUTOTUNE
        ).ignore_errors()
        blank = tf.zeros([self.size_px, self.size_px, self.channels])
        ended = decoded.concatenate(tf.data.Dataset.from_tensors((tf.constant(-1), blank)))
        numbers, images = ended.batch(tf.cast(count, tf.int64) + 1).get_single_element()
        bad = tf.sets.difference(tf.range(count)[None], numbers[None]).values
        problem = tf.strings.format("image {} of the batch cannot be decoded", bad, summarize=8)
        with tf.control_dependencies([tf.debugging.Assert(tf.size(bad) == 0, [problem])]):
            return tf.ensure_shape(images[:-1], [None, *blank.shape])

    def to_config(self):
        """What `from_config` makes the same preprocessing of; plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        """The preprocessing that `to_config` described."""
        return cls(**config)


def in_channels(image, channels):
    """uint8[..., H, W, channels] of uint8[..., H, W, C]; C of 1, 3 or 4 (RGB and alpha)."""
    given = image.shape[-1]
    if given == 4:
        image, given = _on_background(tf.cast(image, tf.float32), 255.0), 3
    if given == channels:
        return image
    if channels == 3:
        return tf.repeat(image, 3, axis=-1)
    grey = tf.tensordot(tf.cast(image, tf.float32), tf.constant(LUMA), 1)[..., None]
    return tf.cast(tf.round(grey), tf.uint8)


def _on_background(image, largest):
    """uint8[..., 3] of float32[..., 4] with values from 0 to `largest`."""
    colour, alpha = image[..., :3] / largest, image[..., 3:] / largest
    blended = colour * alpha * 255.0 + BACKGROUND * (1.0 - alpha)
    return tf.cast(tf.round(blended), tf.uint8)


def _decode_jpeg(contents):
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


def _decode_png(contents):
    """On the background; 16-bit files are read as 16 bits.

    TensorFlow fills the missing alpha of files with 1 to 4 bits with 1 in place of 255, so it is
    only asked for where the file has transparency (a tRNS chunk).
    """
    depth = exif.bytes_at(contents, PNG_DEPTH_AT, 1)[0]
    is_opaque = (depth < 8) & ~tf.strings.regex_full_match(contents, r"\C*tRNS\C*")
    return tf.case(
        [
            (depth == 16, lambda: _blended_png(contents, tf.uint16)),
            (is_opaque, lambda: tf.io.decode_png(contents, channels=3)),
        ],
        default=lambda: _blended_png(contents, tf.uint8),
    )


def _blended_png(contents, dtype):
    image = tf.io.decode_png(contents, channels=4, dtype=dtype)
    return _on_background(tf.cast(image, tf.float32), float(dtype.max))


def _is_palette_bitmap(contents):
    bits = exif.bytes_at(contents, BITMAP_BITS_AT, 2)
    return exif.begins(contents, BITMAP_MAGIC) & tf.reduce_all(bits == [8, 0])


def _decode_palette_bitmap(contents):
    """TensorFlow gives the places in the palette; the colours stand before the pixels."""
    places = tf.io.decode_bmp(contents, channels=0)[..., 0]
    is_little = tf.constant(True)
    info_size = exif.number(exif.bytes_at(contents, BITMAP_INFO_AT, 4), is_little)
    num_given = exif.number(exif.bytes_at(contents, BITMAP_NUM_COLOURS_AT, 4), is_little)
    num_colours = tf.where((num_given > 0) & (num_given < 256), num_given, 256)
    raw = exif.bytes_at(contents, BITMAP_INFO_AT + info_size, 4 * 256)
    palette = tf.reshape(tf.cast(raw, tf.uint8), [256, 4])[:, 2::-1]
    return tf.gather(palette, tf.minimum(tf.cast(places, tf.int32), num_colours - 1))
