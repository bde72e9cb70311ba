"""Small grey pictures of all images of a column, by Pillow: they are compared, not learned from."""

import concurrent.futures
import io
import os
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from tltf.console.progress import Progress
from tltf.data.images import conversion
from tltf.data.images.structure import MAX_PIXELS
from tltf.data.source import Column

NUM_ROWS = 256
LEAST_DECODED = 2
"""A JPEG is decoded at a part of its size with at least so many times the thumbnail's side."""
UNREADABLE = conversion.UNREADABLE


def open_image(picture: Any) -> Any:
    """A PIL image, not yet decoded.

    Args:
        picture: uint8[H, W, C] or [H, W] (C 1, 3 or 4), an encoded image's bytes, or its path.

    Raises:
        UNREADABLE: it is none, or has more than MAX_PIXELS.
    """
    image: Image.Image
    if isinstance(picture, (bytes, bytearray)):
        image = Image.open(io.BytesIO(picture))
    elif isinstance(picture, (str, pathlib.Path)):
        image = Image.open(picture)
    else:
        array = np.asarray(picture)
        if array.dtype != np.uint8:
            raise ValueError(f"a picture is uint8 (received {array.dtype})")
        image = Image.fromarray(
            array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
        )
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise ValueError(f"a picture has 1 to {MAX_PIXELS} pixels")
    return image


def grey_thumbnails(column: Column, side_px: int, progress: Progress) -> np.ndarray:
    """uint8[N, side_px, side_px]; zeros where an image cannot be decoded.

    Args:
        column: Column of images.
        side_px: of the square thumbnails.
        progress: Progress, which is counted up and closed.
    """
    found = np.zeros((len(column.values), side_px, side_px), np.uint8)

    def one(row: int) -> None:
        try:
            found[row] = _grey_thumbnail(open_image(column.values[row]), side_px)
        except UNREADABLE:
            return

    with progress, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(found), NUM_ROWS):
            rows = range(start, min(start + NUM_ROWS, len(found)))
            list(pool.map(one, rows))
            progress.add(len(rows))
    return found


def _grey_thumbnail(image: Any, side_px: int) -> Any:
    image.draft("L", (LEAST_DECODED * side_px,) * 2)
    return (
        conversion.to_network_image(image)
        .convert("L")
        .resize((side_px, side_px), Image.Resampling.BILINEAR)
    )
