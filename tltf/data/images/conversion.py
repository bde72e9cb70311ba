"""Conversion to PNG, by Pillow, of images that TensorFlow does not decode or decodes wrongly.

TIFF, AVIF, JPEG 2000, icons, portable maps (PPM, PGM, PBM), bitmaps of 1, 4 and 16 bits, with
run-length coding or with OS/2 headers, animated WebP, GIF with transparent pixels, and HEIC with the
extra `heic`. Training, prediction and the client of a server see the same: the first frame, upright,
white behind transparent pixels, with 8 bits. TensorFlow is not imported here.
"""

import hashlib
import io
import re
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from tltf.data.images.structure import MAX_PIXELS
from tltf.files import assets, atomic_files

MAGICS = (
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypavi", "AVIF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\1\0", "icon"),
)
"""Position in the file, bytes there, name of the format."""
EXTENSIONS = (
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
    ".avif",
    ".jp2",
    ".j2k",
    ".ico",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
)
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    IndexError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for files that are not images or are broken (SyntaxError: a broken PNG)."""
WIDE = ("I", "F")
"""How the names of modes with more than 8 bits per channel begin."""
BITS = (1, 2, 4, 8, 16, 24, 32)
"""The numbers of bits that a pixel of a bitmap may have."""
INFO_HEADER_BYTES = 40
"""The smallest size of the info header of bitmaps that TensorFlow decodes."""
_PORTABLE_MAP = re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+(#[^\n]*\n\s*)*\d+\s")


def format_of(contents: bytes) -> str:
    """The name of the format of an image that must be converted; empty for others.

    Args:
        contents: bytes of the file; the first 512 are enough, except for the transparency of a GIF.
    """
    if contents[:2] == b"BM":
        return _odd_bitmap(contents)
    if contents[:4] == b"RIFF":
        return "animated WebP" if _is_animated_webp(contents) else ""
    if contents[:4] == b"GIF8":
        return "transparent GIF" if _is_transparent_gif(contents) else ""
    for place, magic, name in MAGICS:
        if contents[place : place + len(magic)] == magic:
            return name
    return "portable map" if _PORTABLE_MAP.match(contents[:512]) else ""


def _is_animated_webp(contents: bytes) -> bool:
    return contents[8:16] == b"WEBPVP8X" and len(contents) > 20 and bool(contents[20] & 2)


def _odd_bitmap(contents: bytes) -> str:
    """The name of a kind of bitmap that must be converted; empty for others."""
    if len(contents) < 34:
        return ""
    (info_size,) = struct.unpack("<I", contents[14:18])
    if info_size < INFO_HEADER_BYTES:
        return "OS/2 BMP"
    (bits,) = struct.unpack("<H", contents[28:30])
    (coding,) = struct.unpack("<I", contents[30:34])
    if bits not in BITS or (bits in (8, 24, 32) and coding == 0):
        return ""
    return f"{bits}-bit BMP"


def _is_transparent_gif(contents: bytes) -> bool:
    """Whether the first frame has a transparent colour, or leaves a part of the picture free."""
    try:
        width, height, packed = struct.unpack("<HHB", contents[6:11])
        position = 13 + (3 << ((packed & 7) + 1) if packed & 0x80 else 0)
        while contents[position] == 0x21:
            if contents[position + 1] == 0xF9 and contents[position + 3] & 1:
                return True
            position += 2
            while contents[position]:
                position += 1 + contents[position]
            position += 1
        left, top, inner_width, inner_height = struct.unpack(
            "<HHHH", contents[position + 1 : position + 9]
        )
        return (left, top, inner_width, inner_height) != (0, 0, width, height)
    except (IndexError, struct.error):
        return False


def to_network_image(image: Image.Image) -> Image.Image:
    """The image as the network sees it: upright, 8 bits, white behind transparent pixels.

    16 bits are divided by 257; numbers with a fraction or with more bits are scaled by the largest,
    where that is beyond 1 and 255.

    Returns:
        An image of mode L or RGB.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(WIDE):
        values = np.asarray(image).astype(np.float64)
        most = values.max(initial=0)
        unit = 1.0 if image.mode == "F" and most <= 1 else 255.0
        unit = 65535.0 if most > 255 or image.mode != "F" else unit
        values = np.clip(values * (255.0 / max(unit, most if most > 65535 else unit)), 0, 255)
        return Image.fromarray(np.round(values).astype(np.uint8))
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), over)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def to_png(contents: bytes) -> bytes:
    """The PNG bytes of the first frame of an image.

    Raises:
        UNREADABLE: Pillow cannot read it either, or it has more than MAX_PIXELS.
        ImportError: it is HEIC and the extra `heic` is not installed.
    """
    if format_of(contents) == "HEIC":
        _register_heic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd tags of TIFF files
        image: Image.Image = Image.open(io.BytesIO(contents))
        if not 0 < image.width * image.height <= MAX_PIXELS:
            raise ValueError(f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS}")
        image.seek(0)
        buffer = io.BytesIO()
        to_network_image(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encode_array(image: np.ndarray) -> bytes:
    """The PNG bytes of uint8[H, W] or uint8[H, W, C], C of 1, 3 or 4, without loss."""
    pixels = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _register_heic() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


def convert_to_cache(contents: bytes, kind: str) -> tuple[str, str]:
    """Converts an image to a PNG in the cache.

    Args:
        contents: bytes of a file.
        kind: its format, see `format_of`.

    Returns:
        `(path of the PNG, "")`, or `("", why there is none)`.

    Raises:
        StorageError: the cache cannot be written.
    """
    name = hashlib.sha256(contents).hexdigest()
    path = assets.cache_folder() / "converted" / name[:2] / f"{name}.png"
    if path.is_file():
        return str(path), ""
    try:
        png = to_png(contents)
    except ImportError:
        return "", f"is {kind}, which needs the extra heic: pip install 'tltf[heic]'"
    except UNREADABLE as error:
        message = str(error)
        return "", message if message.startswith("has ") else f"is a damaged {kind} file"
    with atomic_files.replace_file(path, "wb") as file:
        file.write(png)
    return str(path), ""


def make_decodable(contents: bytes) -> bytes:
    """The bytes of an image, as PNG where TensorFlow would not decode it; damaged images stay as they are."""
    if not format_of(contents):
        return contents
    try:
        return to_png(contents)
    except (ImportError, *UNREADABLE):
        return contents
