"""Raw inputs as a server gets them: encoded images or UTF-8 strings, as bytes."""

import collections.abc
import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tltf.data.source import TEST, TRAIN, VALIDATION, Column
from tltf.errors import DataError

FIELDS = {"text": ("text",), "image": ("image", "path")}
"""Modality -> names under which other tools take an input."""
NUM_PROBES = 16
_PROBE_TEXTS = (
    "The weather is lovely today.",
    "He drove to the stadium!",
    "",
    "na\u00efve caf\u00e9 \u2014 \u4f60\u597d \U0001f600",
    "a " * 600,
)


def list_inputs(inputs: Any, modality: str, column: str = "") -> Iterator[Any] | list[Any]:
    """The inputs in what a program holds them in, one after the other.

    Args:
        inputs: one input, a text, or a path, encoded bytes, an array or a picture of Pillow; a list, tuple or iterator of them; an array or a series; a dict or a
            frame, of which one field is read.
        modality: `image` or `text`.
        column: the field of the run's own data; `text`, `image` and `path` will do too.

    Raises:
        DataError: no inputs of this kind, or a dict or a frame without the field.
    """
    if isinstance(inputs, str) or (
        modality == "image" and isinstance(inputs, (bytes, os.PathLike, Image.Image))
    ):
        return [_item(inputs)]
    names = list(dict.fromkeys(name for name in (column, *FIELDS[modality]) if name))
    if isinstance(inputs, collections.abc.Mapping) or hasattr(inputs, "iloc"):
        if isinstance(inputs, collections.abc.Mapping) or hasattr(inputs, "columns"):
            return list_inputs(_field_of(inputs, names), modality, column)
        is_row = any(name in inputs.index for name in names)
        return (
            list_inputs(_field_of(dict(inputs), names), modality, column)
            if is_row
            else inputs.tolist()
        )
    if hasattr(inputs, "numpy") or hasattr(inputs, "__array__"):
        return _of_array(np.asarray(inputs), modality)
    if isinstance(inputs, (set, frozenset, bytes, os.PathLike)) or not hasattr(inputs, "__iter__"):
        raise DataError(f"takes {modality}s, or a list of them (received {type(inputs).__name__})")
    return (
        _item(_field_of(i, names) if isinstance(i, collections.abc.Mapping) else i) for i in inputs
    )


def _item(given: Any) -> Any:
    """One input; a picture of Pillow as PNG, turned as its camera noted, like a file's."""
    if not isinstance(given, Image.Image):
        return given
    upright, file = ImageOps.exif_transpose(given), io.BytesIO()
    is_png = upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    (upright if is_png else upright.convert("RGB")).save(file, "PNG")
    return file.getvalue()


def _field_of(given: Any, names: Sequence[str]) -> Any:
    keys = list(given.columns) if hasattr(given, "columns") else list(given)
    found = [name for name in names if name in keys]
    if not found:
        shown = ", ".join(map(str, keys))
        raise DataError(f"no field {' or '.join(names)} (fields: {shown})", fix="give its values")
    if hasattr(given, "columns") and keys.count(found[0]) > 1:
        raise DataError(
            f"{keys.count(found[0])} columns are named {found[0]}", fix="give its values"
        )
    return given[found[0]]


def _of_array(array: np.ndarray, modality: str) -> list[np.ndarray | str]:
    is_names = array.dtype.kind in "USO"
    if is_names and array.ndim <= 1:
        return [v.decode() if isinstance(v, bytes) and modality == "text" else v
                for v in np.atleast_1d(array).tolist()]  # fmt: skip
    if modality == "image" and not is_names and array.ndim in (2, 3, 4):
        return list(array) if array.ndim == 4 else [array]
    raise DataError(f"takes {modality}s (received an array of {array.dtype}{list(array.shape)})")


def of_run(trained: Any, limit: int) -> list[bytes]:
    """Up to `limit` raw inputs of the test split, else of another one, else made-up ones.

    Args:
        trained: Trained.
        limit: most inputs, taken at equal distances.

    Returns:
        list of bytes.
    """
    for role in (TEST, VALIDATION, TRAIN):
        source = trained.splits.get(role)
        if source is not None and len(source):
            chosen = np.unique(np.linspace(0, len(source) - 1, limit).astype(int))
            return of_column(source.take(chosen).column)
    return probes(trained)


def of_column(column: Column) -> list[bytes]:
    """The list of bytes of a Column; decoded images become PNG, which loses nothing."""
    if column.kind == "text":
        return [encode_text(text) for text in column.values]
    if column.kind == "path":
        return [_read(path) for path in column.values]
    if column.kind == "array":
        return [png(array) for array in column.values]
    return list(column.values)


def probes(trained: Any) -> list[bytes]:
    """Made-up raw inputs that a core of this modality takes."""
    if trained.core.backbone.modality == "text":
        return [encode_text(text) for text in _PROBE_TEXTS]
    numbers = np.random.default_rng(0)
    sides = numbers.integers(8, 200, (NUM_PROBES, 2))
    return [png(numbers.integers(0, 256, (*side, 3), np.uint8)) for side in sides]


def encode_text(text: str) -> bytes:
    """UTF-8 of a str; what UTF-8 cannot hold (lone surrogates) becomes a question mark."""
    return text.encode("utf-8", "replace")


def png(image: np.ndarray) -> bytes:
    """PNG bytes of uint8[H, W] or uint8[H, W, C], C of 1, 3 or 4."""
    import tensorflow as tf

    image = image if image.ndim == 3 else image[..., None]
    return tf.io.encode_png(image).numpy()


def _read(path: Any) -> Any:
    with open(path, "rb") as file:
        return file.read()
