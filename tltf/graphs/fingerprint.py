"""What a functional model computes, as a number: equal graph and weights, equal fingerprint.

Two models with the same fingerprint give the same outputs for the same inputs, in whatever
process they were built. The reverse need not hold: an operation that cannot describe itself
makes a fingerprint that is never met again.
"""

import hashlib
import json
import re
import uuid
from typing import Any

import keras
import numpy as np

from tltf.graphs import functional
from tltf.runs import versions

VERSIONED = ("keras", "keras-hub", "tensorflow")
"""Packages whose version belongs to the fingerprint: they hold the layers' arithmetic."""
_WITHOUT_EFFECT = ("name", "trainable", "synchronized")
"""Settings of layers that do not change what they compute in inference mode."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def of_model(model: keras.Model) -> str:
    """Hexadecimal digest of a functional model in inference mode: graph, weights, versions.

    Names of layers do not count, their order does.

    Args:
        model: functional keras.Model, single tensors or dicts of them in and out.
    """
    digest = hashlib.sha256()  # most processors have instructions for it
    digest.update(json.dumps(versions.installed_versions(VERSIONED)).encode())
    outputs = keras.tree.flatten(model.outputs)
    numbers: dict[Any, int] = {}
    for node in functional.ordered_nodes(outputs):
        digest.update(_node(node, numbers).encode())
        for tensor in node.outputs:
            numbers[id(tensor)] = len(numbers)
    digest.update(str([numbers[id(tensor)] for tensor in outputs]).encode())
    for operation in functional.operations(outputs):
        for variable in getattr(operation, "weights", ()):
            array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:32]


def _node(node: keras.src.ops.node.Node, numbers: dict[int, int]) -> str:
    """One call of an operation: what it is, how it is set, which tensors it takes."""
    operation = node.operation
    if node.is_input:
        tensor = node.outputs[0]
        return f"input {tensor.name} {tensor.dtype} {tensor.shape}"
    tensors = {id(tensor): f"tensor {numbers[id(tensor)]}" for tensor in node.input_tensors}
    given = keras.tree.map_structure(
        lambda value: tensors.get(id(value), _plain(value)),
        (node.arguments.args, node.arguments.kwargs),
    )
    kind = f"{type(operation).__module__}.{type(operation).__qualname__}"
    return f"{kind} {_config(operation)} {given}"


def _config(operation: keras.Layer | keras.Operation) -> str:
    """The operation's arguments as JSON, without what has no effect in inference."""
    try:
        config = keras.saving.serialize_keras_object(operation)["config"]
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return uuid.uuid4().hex
    return json.dumps(_effective(config), sort_keys=True, default=_plain)


def _effective(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _effective(inner) for key, inner in value.items() if key not in _WITHOUT_EFFECT
        }
    if isinstance(value, (list, tuple)):
        return [_effective(inner) for inner in value]
    return value


def _plain(value: bool | float | keras.KerasTensor | None) -> str:
    """A text for a value; one with a memory address in it is not a description."""
    text = repr(value)
    return uuid.uuid4().hex if _ADDRESS.search(text) else text
