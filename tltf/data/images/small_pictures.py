"""Small grey thumbnails of the images of a column, made by Pillow to be compared, not learned from."""

import concurrent.futures
import io
import os

import numpy as np
from PIL import Image

from tltf.console.progress import Progress
from tltf.data.images import conversion
from tltf.data.images.structure import MAX_PIXELS
from tltf.data.source import Column

ROWS_AT_ONCE = 256
LEAST_DECODED = 2
"""A JPEG is decoded at a part of its size whose sides are at least so many times the thumbnail's."""
UNREADABLE = conversion.UNREADABLE


def open_image(picture: np.ndarray | bytes | bytearray | str | os.PathLike[str]) -> Image.Image:
    """A PIL image that is not yet decoded.

    Args:
        picture: uint8[H, W, C] or [H, W] (C of 1, 3 or 4), the bytes of an encoded image, or its
            path.

    Raises:
        UNREADABLE: it is not an image, or it has more than MAX_PIXELS.
    """
    image: Image.Image
    if isinstance(picture, (bytes, bytearray)):
        image = Image.open(io.BytesIO(picture))
    elif isinstance(picture, (str, os.PathLike)):
        image = Image.open(picture)
    else:
        array = np.asarray(picture)
        if array.dtype != np.uint8:
            raise ValueError(f"a picture must be uint8 (received {array.dtype})")
        image = Image.fromarray(
            array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
        )
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise ValueError(f"a picture must have 1 to {MAX_PIXELS} pixels")
    return image


def grey_thumbnails(column: Column, side_px: int, progress: Progress) -> np.ndarray:
    """The thumbnails uint8[N, side_px, side_px], with zeros where an image cannot be decoded.

    Args:
        column: the images.
        side_px: side of the square thumbnails, in pixels.
        progress: the display of the progress, which is counted up and closed.
    """
    thumbnails = np.zeros((len(column.values), side_px, side_px), np.uint8)

    def make_one(row: int) -> None:
        try:
            thumbnails[row] = np.asarray(_grey_thumbnail(open_image(column.values[row]), side_px))
        except UNREADABLE:
            return

    with progress, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(thumbnails), ROWS_AT_ONCE):
            rows = range(start, min(start + ROWS_AT_ONCE, len(thumbnails)))
            list(pool.map(make_one, rows))
            progress.add(len(rows))
    return thumbnails


def _grey_thumbnail(image: Image.Image, side_px: int) -> Image.Image:
    image.draft("L", (LEAST_DECODED * side_px,) * 2)
    return (
        conversion.to_network_image(image)
        .convert("L")
        .resize((side_px, side_px), Image.Resampling.BILINEAR)
    )
