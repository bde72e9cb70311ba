"""Pictures of examples as data URIs, small enough to stand in a page."""

import base64
import io
import os

import numpy as np
from PIL import Image

from tltf.console import lazy_imports
from tltf.data.images import conversion, small_pictures

mpl = lazy_imports.Module("matplotlib")

SIZE_PX = 160
QUALITY = 75
"""Of JPEG: a page may have a hundred pictures."""


Picture = np.ndarray | bytes | str | os.PathLike[str]
"""uint8[H, W, C] or [H, W] (C 1, 3 or 4), an encoded image's bytes, or its path."""
COLOUR_MAP = "viridis"
"""The colours of values that are not below 0: perceptually uniform, and lighter where they are larger."""
FOR, AGAINST = (36, 113, 235), (235, 110, 20)
"""Blue and orange, red green blue, of values above and below 0: told apart with every kind of eyes."""
FULL_SHARE = 0.99
"""The share of values that are not larger than the one that gets the full colour."""
OPAQUE = 0.85
"""The opacity of the full colour."""


def data_uri(picture: Picture, size_px: int = SIZE_PX) -> str:
    """A PNG of at most `size_px` on its longer side, or a JPEG where that takes fewer bytes.

    Pictures below 64 px are enlarged by a whole factor, so that browsers do not blur them.

    Args:
        picture: what is shown.
        size_px: the longer side, at most.

    Returns:
        str: `data:image/...;base64,...`, empty for a picture that cannot be read or is larger
        than `structure.MAX_PIXELS`: a report never fails for a picture.
    """
    image, factor = _shown(picture, size_px)
    return "" if image is None else _uri(image, is_exact=factor > 1)


def small_picture(picture: Picture, size_px: int = SIZE_PX) -> Image.Image | None:
    """The picture that `data_uri` encodes; None for one that cannot be read."""
    return _shown(picture, size_px)[0]


def heat_uri(picture: Picture, heat: np.ndarray, is_signed: bool, size_px: int = SIZE_PX) -> str:
    """The picture in grey under the colours of an explanation, as `data_uri` encodes it.

    Args:
        picture: what was explained.
        heat: float[h, w], values over the whole picture, whose shape may be another.
        is_signed: whether values below 0 speak against the answer.
        size_px: the longer side, at most.
    """
    image, factor = _shown(picture, size_px)
    if image is None:
        return ""
    colours, opacity = heat_colours(_resized(heat, image.size, factor), is_signed)
    grey = np.asarray(image.convert("L"), np.float32)[..., None]
    mixed = grey * (1 - opacity[..., None]) + colours * opacity[..., None]
    return _uri(Image.fromarray(mixed.round().astype(np.uint8)), is_exact=False)


def heat_colours(heat: np.ndarray, is_signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """`(float[h, w, 3] of 0 to 255, opacity float[h, w] of 0 to 1)` of the values float[h, w].

    What is small is transparent, so that the picture is seen where nothing was found.
    """
    size = np.abs(heat)
    full = float(np.quantile(size, FULL_SHARE)) or float(size.max()) or 1.0
    strength = np.minimum(size / full, 1.0)
    if is_signed:
        colours = np.where((heat >= 0)[..., None], np.array(FOR, float), np.array(AGAINST, float))
    else:
        colours = mpl.colormaps[COLOUR_MAP](strength)[..., :3] * 255.0
    return colours, OPAQUE * np.sqrt(strength)


def _resized(heat: np.ndarray, size: tuple[int, int], factor: int) -> np.ndarray:
    """float[H, W]: the values at the size (W, H) of a picture that was enlarged by a factor."""
    small = (size[0] // factor, size[1] // factor)
    image = Image.fromarray(np.asarray(heat, np.float32)).resize(small, Image.Resampling.BILINEAR)
    return np.asarray(image.resize(size, Image.Resampling.NEAREST))


def _shown(picture: Picture, size_px: int) -> tuple[Image.Image | None, int]:
    """`(image of at most size_px, factor by which it was enlarged)`; None for one that cannot be read."""
    try:
        image = conversion.to_network_image(small_pictures.open_image(picture))
        image.thumbnail((size_px, size_px))
    except small_pictures.UNREADABLE:
        return None, 1
    factor = size_px // max(image.size) if max(image.size) < 64 else 1
    if factor > 1:
        image = image.resize([side * factor for side in image.size], Image.Resampling.NEAREST)
    return image, max(factor, 1)


def _uri(image: Image.Image, is_exact: bool) -> str:
    """The data URI of the smaller of PNG and JPEG; of PNG alone where pixels must stay exact."""
    encoded = [("png", _encoded(image, "PNG", optimize=True))]
    if not is_exact:
        encoded.append(("jpeg", _encoded(image, "JPEG", quality=QUALITY)))
    kind, content = min(encoded, key=lambda pair: len(pair[1]))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
