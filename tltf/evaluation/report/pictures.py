"""Pictures of examples as data URIs, small enough to stand in a page."""

import base64
import io
import os

import numpy as np
from PIL import Image

from tltf.data.images import conversion, small_pictures

SIZE_PX = 160
QUALITY = 75
"""Of JPEG: a page may have a hundred pictures."""


def data_uri(picture: np.ndarray | bytes | str | os.PathLike[str], size_px: int = SIZE_PX) -> str:
    """A PNG of at most `size_px` on its longer side, or a JPEG where that takes fewer bytes.

    Pictures below 64 px are enlarged by a whole factor, so that browsers do not blur them.

    Args:
        picture: uint8[H, W, C] or [H, W] (C 1, 3 or 4), an encoded image's bytes, or its path.
        size_px: the longer side, at most.

    Returns:
        str: `data:image/...;base64,...`, empty for a picture that cannot be read or is larger
        than `structure.MAX_PIXELS`: a report never fails for a picture.
    """
    image = _fitting(picture, size_px)
    if image is None:
        return ""
    enlarged = _enlarged(image, size_px)
    encoded = [("png", _encoded(enlarged, "PNG", optimize=True))]
    if enlarged is image:
        encoded.append(("jpeg", _encoded(image, "JPEG", quality=QUALITY)))
    kind, content = min(encoded, key=lambda pair: len(pair[1]))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def small_picture(
    picture: np.ndarray | bytes | str | os.PathLike[str], size_px: int = SIZE_PX
) -> Image.Image | None:
    """The picture that `data_uri` encodes; None for one that cannot be read."""
    image = _fitting(picture, size_px)
    return None if image is None else _enlarged(image, size_px)


def _fitting(
    picture: np.ndarray | bytes | str | os.PathLike[str], size_px: int
) -> Image.Image | None:
    """The picture with its longer side at most `size_px`; None for one that cannot be read."""
    try:
        image = conversion.to_network_image(small_pictures.open_image(picture))
        image.thumbnail((size_px, size_px))
    except small_pictures.UNREADABLE:
        return None
    return image


def _enlarged(image: Image.Image, size_px: int) -> Image.Image:
    """The picture itself, or a larger one where its sides are below 64 px."""
    factor = size_px // max(image.size) if max(image.size) < 64 else 1
    if factor <= 1:
        return image
    return image.resize([side * factor for side in image.size], Image.Resampling.NEAREST)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
