"""The preprocessing of images: from encoded bytes to the tensor of a backbone, in TensorFlow alone.

Training, evaluation, prediction and the exported graph use the same functions.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import tensorflow as tf

from tltf.data.images import byte_reading, exif, headers, structure

BACKGROUND = 255.0
"""The value that shows through transparent pixels, white."""
LUMA = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in a grey image, ITU-R BT.601, as in JPEG."""
JPEG_RATIOS = (1, 2, 4, 8)
"""The divisors of their size at which JPEG files can be decoded, which is cheaper."""
LEAST_SHRINKING = 1.75
"""The sides of a JPEG that is decoded at a part of its size are at least so many times the result's.

At 1.75, the results for ten photos differed from those of whole decoding by .5 (half), .6 (a quarter)
and .75 (an eighth) of 255 on average, and by 1.5 at worst; at 1.5 by .5 to .9; at 3, which is rarely
used, by .2 to .3.
"""
PNG_DEPTH_AT = 24
"""The position in a PNG file of the number of bits per channel."""
WEBP_CHUNK_AT, WEBP_FLAGS_AT = 12, (20, 24)
"""The positions in a WebP file of the name of the first chunk, and of the flags of a VP8X and a VP8L chunk."""
BITMAP_INFO_AT, BITMAP_NUM_COLOURS_AT = 14, 46
"""The positions in a bitmap file of the info header and the number of colours."""
PALETTE_BITMAP = (*byte_reading.BITMAP, (28, b"\x08\x00"))
"""The pattern of a bitmap with 8 bits per pixel."""


@dataclasses.dataclass(frozen=True)
class ImagePreprocessing:
    """Decoding and resizing of images.

    Args:
        size_px: side of the square result, in pixels.
        channels: 3 for RGB, 1 for grey.
    """

    size_px: int
    channels: int = 3

    fields: ClassVar[tuple[str, ...]] = ("image",)
    """The names of the fields of an example."""

    def decode(self, contents: tf.Tensor) -> tf.Tensor:
        """uint8[H, W, channels], decoded from the bytes tf.string[] of a JPEG, PNG, GIF, BMP or WebP file.

        The result is the first frame, turned upright as its EXIF data say, with 16 bits scaled to
        8, white behind transparent pixels, and grey, palette and CMYK images made RGB.

        Raises:
            tf.errors.InvalidArgumentError: TensorFlow cannot decode the bytes.
        """
        image, _ = self._decode_with_sides(contents, lambda: _with_sides(_decode_jpeg(contents)))
        return exif.turn_upright(image, exif.orientation(contents))

    def resize(self, image: tf.Tensor) -> tf.Tensor:
        """float32[..., S, S, channels], resized from uint8[..., H, W, C], C of 1, 3 or 4; at most 4 axes.

        The results are whole numbers from 0 to 255, so that they can be kept as uint8. Resizing is
        bilinear and antialiased, and does not keep the ratio of the sides.
        """
        image = tf.convert_to_tensor(image)
        is_grey = image.shape[-1] == 1 and not _is_enlarged(image.shape[-3:-1], self.size_px)
        image = convert_channels(image, 1 if is_grey else self.channels)
        if image.shape[-3:-1] == [self.size_px, self.size_px]:
            resized = tf.cast(image, tf.float32)
        else:
            image, sides = _with_sides(image)
            resized = _resize(image, sides, self.size_px)
        return convert_channels(resized, self.channels)

    def __call__(self, contents: tf.Tensor) -> tf.Tensor:
        """float32[S, S, channels], whole numbers from 0 to 255, made from the bytes tf.string[] of a file.

        It is what `resize` makes of `decode`, but cheaper: a JPEG whose sides are several times S is
        decoded at a half, a quarter or an eighth of its size (see LEAST_SHRINKING). For photos
        the mean difference of the pixels is about .6, at worst 2, of 255. The result, not the
        large image, is turned upright, which can round a pixel the other way.

        Its graph is made once in a process, since every dataset of a run calls it and each making takes
        some tenths of a second.

        Raises:
            tf.errors.InvalidArgumentError: TensorFlow cannot decode the bytes.
        """
        return _reader(self)(contents)

    def _read_one(self, contents: tf.Tensor) -> tf.Tensor:
        """See `__call__`."""
        image, sides = self._decode_with_sides(contents, lambda: self._shrunk_jpeg(contents))
        resized = _resize(image, sides, self.size_px)
        return exif.turn_upright(resized, exif.orientation(contents))

    def read(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> float32[S, S, channels], see `__call__`."""
        return {self.fields[0]: self(contents)}

    def read_array(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> float32[..., S, S, channels], see `resize`."""
        return {self.fields[0]: self.resize(pixels)}

    def read_batch(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> float32[B, S, S, channels], see `decode_batch`."""
        return {self.fields[0]: self.decode_batch(contents)}

    def _decode_with_sides(
        self, contents: tf.Tensor, decode_jpeg: Callable[[], tuple[tf.Tensor, tf.Tensor]]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`(uint8[H, W, channels], float32[2])`, an image that is not yet upright and its sides.

        Args:
            contents: tf.string[], the file.
            decode_jpeg: returns the same for a JPEG file, with 3 channels; see `_with_sides`.
        """
        formats = (byte_reading.JPEG, byte_reading.PNG, byte_reading.WEBP, PALETTE_BITMAP)
        image, sides = tf.switch_case(
            byte_reading.first_match(byte_reading.read_head(contents), formats),
            [
                decode_jpeg,
                lambda: _with_sides(_decode_png(contents)),
                lambda: _with_sides(_decode_webp(contents)),
                lambda: _with_sides(_decode_palette_bitmap(contents)),
                lambda: _with_sides(_decode_any(contents, 3)),
            ],
        )
        image.set_shape([None, None, 3])
        return convert_channels(image, self.channels), sides

    def _shrunk_jpeg(self, contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A JPEG decoded at the smallest part of its size that is large enough, and its exact sides."""
        sides = tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.float32)
        least = tf.constant([LEAST_SHRINKING * self.size_px * ratio for ratio in JPEG_RATIOS[1:]])
        place = tf.reduce_sum(tf.cast(tf.reduce_min(sides) >= least, tf.int32))
        image = tf.switch_case(
            place, [lambda ratio=ratio: _decode_jpeg(contents, ratio) for ratio in JPEG_RATIOS]
        )
        ratio = tf.gather(tf.constant(JPEG_RATIOS, tf.float32), place)
        return image, sides / ratio

    def decode_batch(self, contents: tf.Tensor) -> tf.Tensor:
        """float32[B, S, S, channels], 0 to 255, made from the bytes tf.string[B] of files; B may be 0.

        A single image is decoded without the dataset that names the places of bad ones, which would
        take as long as its decoding.

        Raises:
            tf.errors.InvalidArgumentError: files cannot be decoded, or their headers claim more than
                `structure.MAX_PIXELS`; the error names their places in a batch of several.
        """
        count = tf.size(contents)
        decode = tf.function(lambda item: self(_require_bounded(item)), autograph=False)
        return tf.cond(
            count == 1,
            lambda: tf.reshape(decode(contents[0]), [1, *self._shape]),
            lambda: self._decode_several(contents, count, decode),
        )

    @property
    def _shape(self) -> tuple[int, int, int]:
        """The shape of a decoded image."""
        return self.size_px, self.size_px, self.channels

    def _decode_several(
        self, contents: tf.Tensor, count: tf.Tensor, decode: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """The result of `decode_batch`; an error names the places of the images in the batch.

        Args:
            contents: tf.string[B].
            count: int32[], B.
            decode: decodes one of them.
        """
        numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), contents))
        decoded = numbered.map(
            lambda number, item: (number, decode(item)), num_parallel_calls=tf.data.AUTOTUNE
        ).ignore_errors()
        ended = decoded.concatenate(
            tf.data.Dataset.from_tensors((tf.constant(-1), tf.zeros(self._shape)))
        )
        numbers, images = ended.batch(tf.cast(count, tf.int64) + 1).get_single_element()
        bad = tf.sets.difference(tf.range(count)[None], numbers[None]).values
        problem = tf.strings.format("image {} of the batch cannot be decoded", bad, summarize=8)
        with tf.control_dependencies([tf.debugging.Assert(tf.size(bad) == 0, [problem])]):
            return tf.ensure_shape(images[:-1], [None, *self._shape])

    def to_config(self) -> dict[str, int]:
        """The data that `from_config` makes the same preprocessing of, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, int]) -> "ImagePreprocessing":
        """The preprocessing that the data of `to_config` describes."""
        return cls(**config)


@functools.cache
def _reader(preprocessing: ImagePreprocessing) -> Callable[[tf.Tensor], tf.Tensor]:
    """`preprocessing._read_one` as a graph function, which is traced at its first call."""
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(preprocessing._read_one, input_signature=signature, autograph=False)


def _require_bounded(contents: tf.Tensor) -> tf.Tensor:
    """The contents, by an operation that fails where their header claims more than MAX_PIXELS."""
    is_jpeg = byte_reading.starts_with(contents, byte_reading.JPEG_MAGIC)
    most = structure.MAX_PIXELS * tf.where(is_jpeg, structure.JPEG_PIXELS, 1)
    is_small = headers.num_pixels(contents) <= tf.cast(most, tf.float32)
    with tf.control_dependencies([tf.debugging.Assert(is_small, ["the image is too large"])]):
        return tf.identity(contents)


def convert_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """uint8[..., H, W, channels] made from uint8[..., H, W, C], C of 1, 3 or 4 (RGB and alpha).

    Where nothing is computed, any dtype is taken and kept.
    """
    own_channels = image.shape[-1]
    if own_channels == 4:
        image, own_channels = _blend(tf.cast(image, tf.float32), 255.0), 3
    if own_channels == channels:
        return image
    if channels == 3:
        return tf.repeat(image, 3, axis=-1)
    grey = tf.tensordot(tf.cast(image, tf.float32), tf.constant(LUMA), 1)[..., None]
    return tf.cast(tf.round(grey), tf.uint8)


def _blend(image: tf.Tensor, largest: float) -> tf.Tensor:
    """uint8[..., 3], an image float32[..., 4] with values from 0 to `largest` on the background."""
    colour, alpha = image[..., :3] / largest, image[..., 3:] / largest
    blended = colour * alpha * 255.0 + BACKGROUND * (1.0 - alpha)
    return tf.cast(tf.round(blended), tf.uint8)


def _with_sides(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """An image and its sides float32[2], which are those of its pixels.

    The sides of a JPEG that is decoded at a part of its size can have fractions, where the picture
    ends within its last pixels.
    """
    return image, tf.cast(tf.shape(image)[-3:-1], tf.float32)


def _resize(image: tf.Tensor, sides: tf.Tensor, size_px: int) -> tf.Tensor:
    """float32[..., S, S, C], whole numbers, resized from uint8[..., H, W, C].

    Args:
        image: the image.
        sides: float32[2], the sides of the picture in pixels of the image, see `_with_sides`.
        size_px: S, in pixels.
    """
    images = image if image.shape.rank == 4 else image[None]
    static = images.shape[1:3]
    if static.is_fully_defined():
        is_enlarged = _is_enlarged(static, size_px)
        resized = (_enlarge if is_enlarged else _scale)(images, sides, size_px)
    else:
        resized = tf.cond(
            tf.reduce_all(tf.shape(images)[1:3] <= size_px),
            lambda: _enlarge(images, sides, size_px),
            lambda: _scale(images, sides, size_px),
        )
    return tf.round(resized if image.shape.rank == 4 else resized[0])


def _is_enlarged(sides: tf.TensorShape, size_px: int) -> bool:
    """Whether both sides are at most S, as far as they are known when a graph is made."""
    return sides.is_fully_defined() and max(sides) <= size_px


def _enlarge(images: tf.Tensor, _: tf.Tensor, size_px: int) -> tf.Tensor:
    """Resizing without antialiasing: the same as `_scale` but for rounding, in a quarter of the time."""
    return tf.raw_ops.ResizeBilinear(
        images=images, size=[size_px, size_px], half_pixel_centers=True
    )


def _scale(images: tf.Tensor, sides: tf.Tensor, size_px: int) -> tf.Tensor:
    return tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=[size_px, size_px],
        scale=size_px / sides,
        translation=[0.0, 0.0],
        kernel_type="triangle",
        antialias=True,
    )


def _decode_jpeg(contents: tf.Tensor, ratio: int = 1) -> tf.Tensor:
    return tf.io.decode_jpeg(contents, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _decode_png(contents: tf.Tensor) -> tf.Tensor:
    """The image of a PNG file on the background; 16-bit files are read as 16 bits.

    TensorFlow fills the missing alpha of files with 1 to 4 bits with 1 in place of 255, so alpha is
    only asked for where the file has transparency (a tRNS chunk).
    """
    depth = byte_reading.read_bytes(contents, PNG_DEPTH_AT, 1)[0]
    is_opaque = (depth < 8) & ~tf.strings.regex_full_match(contents, r"\C*tRNS\C*")
    return tf.switch_case(
        tf.where(depth == 16, 0, tf.where(is_opaque, 1, 2)),
        [
            lambda: _decode_blended_png(contents, tf.uint16),
            lambda: tf.io.decode_png(contents, channels=3),
            lambda: _decode_blended_png(contents, tf.uint8),
        ],
    )


def _decode_blended_png(contents: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    image = tf.io.decode_png(contents, channels=4, dtype=dtype)
    return _blend(tf.cast(image, tf.float32), float(dtype.max))


def _decode_webp(contents: tf.Tensor) -> tf.Tensor:
    """The image of a WebP file on the background.

    An animation is refused before it is decoded, because TensorFlow would write beyond its memory.
    """
    flags, lossless = (byte_reading.read_bytes(contents, at, 1)[0] // 2 for at in WEBP_FLAGS_AT)
    is_extended = byte_reading.starts_with(contents, b"VP8X", WEBP_CHUNK_AT)
    is_lossless = byte_reading.starts_with(contents, b"VP8L", WEBP_CHUNK_AT)
    is_animated = is_extended & (flags % 2 == 1)
    has_alpha = tf.where(is_extended, flags // 8 % 2, lossless // 8 % 2) == 1
    has_alpha &= is_extended | is_lossless
    what = "an animated WebP is not decoded"
    with tf.control_dependencies([tf.debugging.Assert(~is_animated, [what])]):
        checked = tf.identity(contents)
    return tf.cond(
        has_alpha,
        lambda: convert_channels(tf.ensure_shape(_decode_any(checked, 4), [None, None, 4]), 3),
        lambda: _decode_any(checked, 3),
    )


def _decode_any(contents: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.io.decode_image(contents, channels=channels, expand_animations=False)


def _decode_palette_bitmap(contents: tf.Tensor) -> tf.Tensor:
    """The image of a bitmap file with a palette, which stands before the pixels.

    TensorFlow decodes the places in the palette only.
    """
    places = tf.io.decode_bmp(contents, channels=0)[..., 0]
    info_size = byte_reading.read_number(byte_reading.read_bytes(contents, BITMAP_INFO_AT, 4), True)
    num_claimed = byte_reading.read_number(
        byte_reading.read_bytes(contents, BITMAP_NUM_COLOURS_AT, 4), True
    )
    num_colours = tf.where((num_claimed > 0) & (num_claimed < 256), num_claimed, 256)
    raw = byte_reading.read_bytes(contents, BITMAP_INFO_AT + info_size, 4 * 256)
    palette = tf.reshape(tf.cast(raw, tf.uint8), [256, 4])[:, 2::-1]
    return tf.gather(palette, tf.minimum(tf.cast(places, tf.int32), num_colours - 1))
