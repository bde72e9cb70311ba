"""Raw inputs as a server gets them: encoded images or UTF-8 strings, as bytes."""

import collections.abc
import io
import keyword
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tltf.data.source import TEST, TRAIN, VALIDATION, Column
from tltf.errors import DataError

FIELDS = {"text": ("text",), "image": ("image", "path")}
"""Modality -> names under which other tools take an input."""
INPUTS = {"image": "image_bytes"}
"""Field of an example -> input of an export, where it has another name."""
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


def list_rows(inputs: Any, fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The rows of inputs with several fields, as tuples in the fields' order.

    Args:
        inputs: a frame or a dict of columns; a dict or a tuple, which is one row; or a list of those.
        fields: their names.

    Raises:
        DataError: no rows with these fields.
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


def _row(given: Any, fields: tuple[str, ...]) -> tuple[Any, ...]:
    if isinstance(given, collections.abc.Mapping):
        return tuple(_field_of(given, (name,)) for name in fields)
    if isinstance(given, (tuple, list)) and len(given) == len(fields):
        return tuple(given)
    raise DataError(f"takes rows with {', '.join(fields)} (received {type(given).__name__})")


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
        return [
            v.decode() if isinstance(v, bytes) and modality == "text" else v
            for v in np.atleast_1d(array).tolist()
        ]
    if modality == "image" and not is_names and array.ndim in (2, 3, 4):
        return list(array) if array.ndim == 4 else [array]
    raise DataError(f"takes {modality}s (received an array of {array.dtype}{list(array.shape)})")


def of_run(trained: Any, limit: int) -> dict[str, list[bytes]]:
    """Up to `limit` raw inputs of the test split, else of another one, else made-up ones.

    Args:
        trained: Trained.
        limit: most inputs, taken at equal distances.

    Returns:
        Input of `serving_default` -> list of bytes.
    """
    for role in (TEST, VALIDATION, TRAIN):
        source = trained.splits.get(role)
        if source is not None and len(source):
            chosen = np.unique(np.linspace(0, len(source) - 1, limit).astype(int))
            chosen_rows = source.take(chosen)
            names = input_names(list(source.fields))
            return {names[name]: of_column(column) for name, column in chosen_rows.fields.items()}
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


def input_names(fields: Sequence[str]) -> dict[str, str]:
    """Field of an example -> the input of `serving_default` that takes it.

    A name is made one that TensorFlow takes for an argument: `the claim` is `the_claim`.
    """
    names = dict[str, str]()
    for place, field in enumerate(fields, 1):
        name = re.sub(r"\W", "_", INPUTS.get(field, field), flags=re.ASCII)
        is_free = name[0].isalpha() and not keyword.iskeyword(name) and name not in names.values()
        names[field] = name if is_free else f"input_{place}_{name}"
    return names


def probes(trained: Any) -> dict[str, list[bytes]]:
    """Input of `serving_default` -> made-up raw inputs that a core of this modality takes."""
    fields = list(input_names(trained.preprocessing.fields).values())
    if trained.core.backbone.modality == "text":
        return {name: [encode_text(text) for text in _PROBE_TEXTS] for name in fields}
    numbers = np.random.default_rng(0)
    sides = numbers.integers(8, 200, (NUM_PROBES, 2))
    pictures = [png(numbers.integers(0, 256, (*side, 3), np.uint8)) for side in sides]
    return dict.fromkeys(fields, pictures)


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
