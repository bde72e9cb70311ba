"""Fingerprints of functional models: equal for equal graphs with equal weights.

Two models with the same fingerprint give the same outputs for the same inputs, in whatever
process they were built. The reverse need not hold: a model with an operation that cannot describe
itself has another fingerprint each time.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from tltf.graphs import functional
from tltf.runs import versions

VERSIONED = ("keras", "keras-hub", "tensorflow")
"""Packages whose versions are part of the fingerprint, because they do the layers' arithmetic."""
_WITHOUT_EFFECT = ("name", "trainable", "synchronized")
"""Settings of layers that do not change what they compute in inference mode."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""A memory address in the text of a value."""


def hash_model(model: keras.Model) -> str:
    """The fingerprint of a model in inference mode, 32 hexadecimal digits: graph, weights, versions.

    The names of layers do not count, but their order does.

    Args:
        model: a functional model; inputs and outputs are single tensors or dicts of them.
    """
    digest = hashlib.sha256()  # most processors have instructions for it
    digest.update(json.dumps(versions.installed_versions(VERSIONED)).encode())
    outputs = keras.tree.flatten(model.outputs)
    numbers: dict[int, int] = {}
    for node in functional.ordered_nodes(outputs):
        digest.update(call_text(node, numbers).encode())
        for tensor in node.outputs:
            numbers[id(tensor)] = len(numbers)
    digest.update(str([numbers[id(tensor)] for tensor in outputs]).encode())
    for operation in functional.operations(outputs):
        _add_weights(digest, getattr(operation, "weights", ()))
    return digest.hexdigest()[:32]


def hash_weights(model: keras.Model) -> str:
    """A fingerprint of the numbers of a model's weights alone, 32 hexadecimal digits."""
    return hash_variables(model.weights)


def hash_variables(variables: Iterable[keras.Variable]) -> str:
    """A fingerprint of the numbers of some variables, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    _add_weights(digest, variables)
    return digest.hexdigest()[:32]


def _add_weights(digest: "hashlib._Hash", weights: Iterable[keras.Variable]) -> None:
    for variable in weights:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)


def call_text(node: keras.src.ops.node.Node, numbers: dict[int, int]) -> str:
    """A text for one call of an operation: its class, its settings and the tensors that it takes.

    Args:
        node: the call.
        numbers: id of each tensor that it takes -> a number that no other tensor has.
    """
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


def _config(operation: keras.Operation) -> str:
    """The operation's settings as JSON, without those that have no effect in inference mode."""
    try:
        config = keras.saving.serialize_keras_object(operation)["config"]
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return uuid.uuid4().hex
    return json.dumps(_effective(config), sort_keys=True, default=_plain)


def _effective(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: inner if key == "dtype" else _effective(inner)  # a dtype policy is but a name
            for key, inner in value.items()
            if key not in _WITHOUT_EFFECT
        }
    if isinstance(value, (list, tuple)):
        return [_effective(inner) for inner in value]
    return value


def _plain(value: object) -> str:
    """A text for a value; a new one each time where it would hold a memory address."""
    text = repr(value)
    return uuid.uuid4().hex if _ADDRESS.search(text) else text
