"""Raw inputs of a model: how programs hold them, and the bytes that a server gets."""

import collections.abc
import io
import keyword
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tltf.data.source import Column
from tltf.errors import DataError

FIELDS = {"text": ("text",), "image": ("image", "path")}
"""Modality -> names under which other tools take an input."""
INPUTS = {"image": "image_bytes"}
"""Field of an example -> input of an export, where that has another name."""


def list_inputs(inputs: Any, modality: str, column: str = "") -> Iterable[object]:
    """The inputs, one by one, of whatever a program holds them in.

    Args:
        inputs: one input (a text, or a path, encoded bytes, an array or a picture of Pillow); a
            list, tuple or iterator of inputs; an array or a series; or a dict or a frame, of which
            one field is read.
        modality: `image` or `text`.
        column: the field of the run's own data; `text`, `image` and `path` are read too.

    Raises:
        DataError: there are no inputs of this modality, or a dict or a frame lacks the field.
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
        return _list_array(np.asarray(inputs), modality)
    if isinstance(inputs, (set, frozenset, bytes, os.PathLike)) or not hasattr(inputs, "__iter__"):
        raise DataError(f"takes {modality}s, or a list of them (received {type(inputs).__name__})")
    return (
        _item(_field_of(i, names) if isinstance(i, collections.abc.Mapping) else i) for i in inputs
    )


def list_rows(inputs: Any, fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The rows of inputs with several fields, as tuples in the fields' order.

    Args:
        inputs: a frame or a dict of columns; a dict or a tuple, which is one row; or a list of rows.
        fields: the names of the fields.

    Raises:
        DataError: there are no rows with these fields.
    """
    is_frame = hasattr(inputs, "iloc") and hasattr(inputs, "columns")
    if is_frame or isinstance(inputs, collections.abc.Mapping):
        columns = [_field_of(inputs, (name,)) for name in fields]
        if all(isinstance(column, str) for column in columns):
            return [tuple(columns)]
        return list(zip(*map(list, columns), strict=True))
    names = ", ".join(fields)
    if isinstance(inputs, str) or not hasattr(inputs, "__iter__"):
        raise DataError(f"takes rows with {names} (received {type(inputs).__name__})")
    if isinstance(inputs, tuple) and all(isinstance(item, str) for item in inputs):
        inputs = [inputs]
    return [_row(item, fields) for item in inputs]


def _row(row: Any, fields: tuple[str, ...]) -> tuple[Any, ...]:
    if isinstance(row, collections.abc.Mapping):
        return tuple(_field_of(row, (name,)) for name in fields)
    if isinstance(row, (tuple, list)) and len(row) == len(fields):
        return tuple(row)
    raise DataError(f"takes rows with {', '.join(fields)} (received {type(row).__name__})")


def _item(item: object) -> object:
    """One input; a picture of Pillow becomes a PNG, turned as its camera noted, like that of a file."""
    if not isinstance(item, Image.Image):
        return item
    upright, file = ImageOps.exif_transpose(item), io.BytesIO()
    is_png = upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    (upright if is_png else upright.convert("RGB")).save(file, "PNG")
    return file.getvalue()


def _field_of(inputs: Any, names: Sequence[str]) -> Any:
    keys = list(inputs.columns) if hasattr(inputs, "columns") else list(inputs)
    present = [name for name in names if name in keys]
    if not present:
        shown = ", ".join(map(str, keys))
        raise DataError(
            f"there is no field {' or '.join(names)} (fields: {shown})", fix="give its values"
        )
    if hasattr(inputs, "columns") and keys.count(present[0]) > 1:
        raise DataError(
            f"{keys.count(present[0])} columns are named {present[0]}", fix="give its values"
        )
    return inputs[present[0]]


def _list_array(array: np.ndarray, modality: str) -> list[np.ndarray | str]:
    is_names = array.dtype.kind in "USO"
    if is_names and array.ndim <= 1:
        return [
            v.decode() if isinstance(v, bytes) and modality == "text" else v
            for v in np.atleast_1d(array).tolist()
        ]
    if modality == "image" and not is_names and array.ndim in (2, 3, 4):
        return list(array) if array.ndim == 4 else [array]
    raise DataError(f"takes {modality}s (received an array of {array.dtype}{list(array.shape)})")


def encode_column(column: Column) -> list[bytes]:
    """The values of a Column as bytes; decoded images become PNG, which loses nothing."""
    if column.kind == "text":
        return [encode_text(text) for text in column.values]
    if column.kind == "path":
        return [_read(path) for path in column.values]
    if column.kind == "array":
        return [encode_png(array) for array in column.values]
    return list(column.values)


def input_names(fields: Sequence[str]) -> dict[str, str]:
    """Field of an example -> the input of `serving_default` that takes it.

    A name is changed to one that TensorFlow accepts for an argument: `the claim` is `the_claim`.
    """
    names = dict[str, str]()
    for place, field in enumerate(fields, 1):
        name = re.sub(r"\W", "_", INPUTS.get(field, field), flags=re.ASCII)
        is_free = name[0].isalpha() and not keyword.iskeyword(name) and name not in names.values()
        names[field] = name if is_free else f"input_{place}_{name}"
    return names


def encode_text(text: str) -> bytes:
    """The UTF-8 of a text; what UTF-8 cannot hold (lone surrogates) becomes a question mark."""
    return text.encode("utf-8", "replace")


def encode_png(image: np.ndarray) -> bytes:
    """The PNG of uint8[H, W] or uint8[H, W, C], C of 1, 3 or 4."""
    import tensorflow as tf

    image = image if image.ndim == 3 else image[..., None]
    return tf.io.encode_png(image).numpy()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
