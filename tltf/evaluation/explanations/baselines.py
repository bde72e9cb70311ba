"""Inputs in which nothing is seen: where integrated gradients begin, and what deleting puts in place."""

import numpy as np
from scipy import ndimage

from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError

OF_IMAGES = ("auto", "blurred", "black", "white", "grey", "mean")
OF_TEXTS = ("auto", "mask", "pad")
BLUR = 0.15
"""The standard deviation of the blur, as a share of the picture's side."""
_FILLED = {"black": 0.0, "grey": 127.5, "white": 255.0}


def of_images(pixels: np.ndarray, name: str) -> np.ndarray:
    """float32[B, h, w, c]: pictures of the same size in which nothing is seen.

    Args:
        pixels: float32[B, h, w, c], 0 to 255.
        name: one of OF_IMAGES.
    """
    if name in _FILLED:
        return np.full_like(pixels, _FILLED[name])
    if name == "mean":
        return np.broadcast_to(pixels.mean(axis=(1, 2), keepdims=True), pixels.shape).copy()
    sides = [BLUR * side for side in pixels.shape[1:3]]
    return ndimage.gaussian_filter(pixels, (0, *sides, 0), mode="nearest")


def of_tokens(token_ids: np.ndarray, prepared: TextPreprocessing, name: str) -> np.ndarray:
    """int32[B, L]: the token ids with every token of the texts replaced.

    The tokens that the family writes around texts, and padding, stay.

    Args:
        token_ids: int32[B, L].
        prepared: the preprocessing of the texts.
        name: one of OF_TEXTS.
    """
    start, end = prepared.special_ids()
    is_frame = np.isin(token_ids, [*start, *end, prepared.pad_id])
    return np.where(is_frame, token_ids, hidden_id(prepared, name)).astype(np.int32)


def hidden_id(prepared: TextPreprocessing, name: str) -> int:
    """The id that stands for a token that is not seen: mask, unknown word or padding."""
    if name != "pad":
        try:
            return int(prepared.mask_id() or 0)
        except FlagError:
            pass  # byte-level vocabularies without a mask know every word
    return prepared.pad_id
