"""The JSON of TF Serving's REST interface: bodies of requests to arrays, arrays to answers.

A body has `instances` (row format) or `inputs` (column format), and may have `signature_name`. Bytes
are `{"b64": ...}`. What is wrong with a body is a BadRequest, whatever a stranger sends.
"""

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from tltf.serving.server.exported_model import Arrays, LoadedVersion

DEFAULT_SIGNATURE = "serving_default"
B64 = "b64"
BINARY_SUFFIX = "_bytes"
"""Outputs whose names end with it are written as {"b64": ...}."""


class BadRequest(ValueError):
    """A body that cannot be answered; the message says why."""


@dataclasses.dataclass(frozen=True)
class PredictRequest:
    """A request, read.

    Args:
        signature: the name of the signature.
        arrays: its inputs, all of the same first length.
        is_row_format: whether the answer is in row format too.
    """

    signature: str
    arrays: Arrays
    is_row_format: bool


def read_request(body: bytes, version: LoadedVersion) -> PredictRequest:
    """The request in the body of a `:predict` call.

    Raises:
        BadRequest: it is no JSON, has other keys, or its values do not fit the signature.
    """
    parsed = _parse(body)
    formats = [key for key in ("instances", "inputs") if key in parsed]
    if len(formats) != 1:
        raise BadRequest("the body has to have one of `instances` and `inputs`")
    signature = parsed.get("signature_name") or DEFAULT_SIGNATURE
    if not isinstance(signature, str) or signature not in version.signatures:
        shown = ", ".join(sorted(version.signatures))
        raise BadRequest(f"there is no signature {signature!r:.80} (signatures: {shown})")
    specs = version.inputs_of(signature)
    is_rows = formats == ["instances"]
    values = parsed[formats[0]]
    columns = _columns_of_rows(values, specs) if is_rows else _columns(values, specs)
    arrays = {name: _array(name, columns[name], spec) for name, spec in specs.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise BadRequest(f"the inputs have different lengths: {lengths}")
    return PredictRequest(signature, arrays, is_rows)


def write_answer(outputs: Arrays, is_row_format: bool) -> bytes:
    """The body of the answer to a request; a single output stands without its name."""
    lists = {name: _list(name, array) for name, array in outputs.items()}
    if not is_row_format:
        only = next(iter(lists.values()))
        return _dump({"outputs": lists if len(lists) > 1 else only})
    if len(lists) == 1:
        return _dump({"predictions": next(iter(lists.values()))})
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return _dump({"predictions": rows})


def signatures_json(version: LoadedVersion) -> dict[str, Any]:
    """The signatures of a version as TF Serving's metadata have them."""
    definitions = {
        name: {
            "inputs": _specs_json(name, version.inputs_of(name)),
            "outputs": _specs_json(name, version.outputs_of(name)),
            "method_name": "tensorflow/serving/predict",
        }
        for name in version.signatures
    }
    return {"signature_def": {"signature_def": definitions}}


def _specs_json(signature: str, specs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
    return {
        name: {
            "dtype": types_pb2.DataType.Name(spec.dtype.as_datatype_enum),
            "tensor_shape": {
                "dim": [{"size": str(size or -1), "name": ""} for size in spec.shape.as_list()],
                "unknown_rank": False,
            },
            "name": f"{signature}_{name}:0",
        }
        for name, spec in specs.items()
    }


def _parse(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError too, and numbers of too many digits
        raise BadRequest(f"the body is not JSON: {error!s:.200}") from error
    if not isinstance(parsed, dict):
        raise BadRequest("the body has to be a JSON object")
    return parsed


def _columns_of_rows(rows: Any, specs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Input name -> its values, from the rows of `instances`."""
    if not isinstance(rows, list):
        raise BadRequest("`instances` has to be a list")
    if len(specs) == 1:
        (name,) = specs
        return {name: [row[name] if _is_named(row, name) else row for row in rows]}
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != specs.keys():
            raise BadRequest(f"instance {place} has to be an object with {', '.join(specs)}")
    return {name: [row[name] for row in rows] for name in specs}


def _is_named(row: Any, name: str) -> bool:
    return isinstance(row, dict) and row.keys() == {name}


def _columns(values: Any, specs: Mapping[str, Any]) -> dict[str, Any]:
    """Input name -> its values, from `inputs`."""
    if isinstance(values, dict) and not _is_binary(values):
        if values.keys() != specs.keys():
            given = ", ".join(sorted(map(str, values))) or "none"
            raise BadRequest(f"the inputs are {', '.join(specs)} (received {given:.200})")
        return values
    if len(specs) > 1:
        raise BadRequest(f"`inputs` has to be an object with {', '.join(specs)}")
    return {next(iter(specs)): values}


def _is_binary(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {B64}


def _array(name: str, values: Any, spec: tf.TensorSpec) -> np.ndarray:
    """The array of the values of an input, of the signature's dtype and shape."""
    if not isinstance(values, list):
        raise BadRequest(f"input {name} has to be a list")
    array = _strings(name, values) if spec.dtype == tf.string else _numbers(name, values, spec)
    wanted = spec.shape.as_list()
    if not values and len(wanted) > 1:
        array = array.reshape([0, *(size or 0 for size in wanted[1:])])
    if not spec.shape.is_compatible_with(array.shape):
        shown = [size if size is not None else "any" for size in wanted]
        raise BadRequest(f"input {name} has the shape {list(array.shape)}, not {shown}")
    return array


def _strings(name: str, values: Sequence[Any]) -> np.ndarray:
    """Bytes, dtype object, [B]."""
    array = np.empty(len(values), object)
    for place, value in enumerate(values):
        if isinstance(value, str):
            array[place] = value.encode("utf-8", "replace")
        elif _is_binary(value) and isinstance(value[B64], str):
            try:
                array[place] = base64.b64decode(value[B64], validate=True)
            except (binascii.Error, ValueError) as error:
                raise BadRequest(f"value {place} of input {name} is not base64: {error}") from error
        else:
            what = f'value {place} of input {name} has to be a text or {{"b64": ...}}'
            raise BadRequest(f"{what} (received {type(value).__name__})")
    return array


def _numbers(name: str, values: Sequence[Any], spec: tf.TensorSpec) -> np.ndarray:
    wanted = np.dtype(spec.dtype.as_numpy_dtype)
    try:
        array = np.array(values)
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"input {name} is not an array: rows of different lengths") from error
    kinds = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[wanted.kind]
    if array.size and array.dtype.kind not in kinds:
        raise BadRequest(f"input {name} takes {wanted.name} (received {array.dtype.name:.20})")
    if wanted.kind in "iu" and array.size:
        bounds = np.iinfo(wanted)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise BadRequest(f"input {name} has numbers beyond those of {wanted.name}")
    with np.errstate(over="ignore"):  # what is too large is infinite, which the graph refuses
        return array.astype(wanted)


def _list(name: str, array: np.ndarray) -> list[Any]:
    """The values of an output for JSON."""
    if array.dtype.kind != "O":
        return array.tolist()
    return [_text(name, value) if isinstance(value, bytes) else value for value in array.tolist()]


def _text(name: str, value: bytes) -> str | dict[str, str]:
    if name.endswith(BINARY_SUFFIX):
        return {B64: base64.b64encode(value).decode("ascii")}
    return value.decode("utf-8", "replace")


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
