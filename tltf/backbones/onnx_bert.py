"""Reads the weights of a BERT from an ONNX file, without the package onnx and without running it.

An ONNX file is one protobuf message, described in onnx.proto. Protobuf's own parser, which comes
with TensorFlow, gives its fields by number; only these are read: the graph of the model (7), the
nodes (1) and initializers (5) of the graph, and of these what `Node` and `_tensor` name.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf import empty_pb2, message, unknown_fields

from tltf.errors import ModelError

_FLOAT = 1
"""The number of float32 among the data types of ONNX."""
_EMBEDDINGS = {
    "word_embeddings.weight": "token_embedding/embeddings",
    "position_embeddings.weight": "position_embedding/embeddings",
    "token_type_embeddings.weight": "segment_embedding/embeddings",
    "LayerNorm.weight": "embeddings_layer_norm/gamma",
    "LayerNorm.bias": "embeddings_layer_norm/beta",
}
_DENSE = {
    "attention.self.query": "self_attention_layer/query",
    "attention.self.key": "self_attention_layer/key",
    "attention.self.value": "self_attention_layer/value",
    "attention.output.dense": "self_attention_layer/attention_output",
    "intermediate.dense": "feedforward_intermediate_dense",
    "output.dense": "feedforward_output_dense",
}
_NORMS = {
    "attention.output.LayerNorm": "self_attention_layer_norm",
    "output.LayerNorm": "feedforward_layer_norm",
}
"""Names of a layer's parts in PyTorch -> their names in KerasHub."""


@dataclasses.dataclass(frozen=True)
class Node:
    """An operation of the graph.

    Args:
        kind: the operator, such as `MatMul`.
        inputs: names of the tensors that it takes.
        outputs: names of the tensors that it gives.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
    """The part of an ONNX file that is read.

    Args:
        tensors: name -> float32 array, the initializers of that type.
        nodes: the operations in their order.
    """

    tensors: dict[str, np.ndarray]
    nodes: tuple[Node, ...]


def read(path: pathlib.Path) -> Graph:
    """The float32 initializers and the nodes of an ONNX file.

    Raises:
        ModelError: the file is not ONNX, or a tensor lies outside of it.
    """
    try:
        (raw,) = _fields(path.read_bytes())[7]
        graph = _fields(raw)
        nodes = [_fields(part) for part in graph[1]]
        tensors = dict(filter(None, map(_tensor, graph[5])))
        return Graph(
            tensors, tuple(Node(_texts(n[4])[0], _texts(n[1]), _texts(n[2])) for n in nodes)
        )
    except (message.DecodeError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(f"is not a readable ONNX file ({error})", place=path) from error


def _fields(raw: bytes) -> dict[int, list[Any]]:
    """Number of a field -> its values in a message: bytes, or whole numbers."""
    found = collections.defaultdict[int, list[Any]](list)
    for field in unknown_fields.UnknownFieldSet(empty_pb2.Empty.FromString(raw)):
        found[field.field_number].append(field.data)
    return found


def _texts(values: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(value.decode("utf-8") for value in values)


def _tensor(raw: bytes) -> tuple[str, np.ndarray] | None:
    """`(name, values)` of a TensorProto; None for other types than float32."""
    fields = _fields(raw)
    if fields[2] != [_FLOAT]:
        return None
    shape, (values,) = [int(size) for size in fields[1]], fields[9]
    return _texts(fields[8])[0], np.frombuffer(values, "<f4").reshape(shape)


def bert_arrays(graph: Graph, layers: int, heads: int, prefix: str) -> dict[str, np.ndarray]:
    """The weights of a BERT without pooler, by the names that a BertBackbone's have in tltf.

    Exporters of PyTorch keep the names of biases and norms but not those of kernels, so that a
    kernel is found by the bias that is added to its product.

    Args:
        graph: the file's graph.
        layers: number of transformer layers.
        heads: number of attention heads.
        prefix: what stands before `embeddings.` and `encoder.` in the names.

    Raises:
        ModelError: a weight is missing.
    """
    kernels = _kernel_by_bias(graph)
    made = {}
    try:
        for theirs, own in _EMBEDDINGS.items():
            made[own] = graph.tensors[f"{prefix}embeddings.{theirs}"]
        for number in range(layers):
            there, here = f"{prefix}encoder.layer.{number}.", f"transformer_layer_{number}/"
            for theirs, own in _DENSE.items():
                bias = graph.tensors[f"{there}{theirs}.bias"]
                kernel = graph.tensors[kernels[f"{there}{theirs}.bias"]]
                made |= _dense(here + own, kernel, bias, heads)
            for theirs, own in _NORMS.items():
                made[f"{here}{own}/gamma"] = graph.tensors[f"{there}{theirs}.weight"]
                made[f"{here}{own}/beta"] = graph.tensors[f"{there}{theirs}.bias"]
    except KeyError as error:
        raise ModelError(f"the ONNX file has no weight {error}, which a BERT has") from error
    return made


def _kernel_by_bias(graph: Graph) -> dict[str, str]:
    """Name of a bias -> name of the kernel whose product it is added to."""
    products = {
        node.outputs[0]: node.inputs[1]
        for node in graph.nodes
        if node.kind == "MatMul" and node.inputs[1] in graph.tensors
    }
    found = {}
    for node in graph.nodes:
        for product, bias in (node.inputs, node.inputs[::-1]) if node.kind == "Add" else ():
            if product in products and bias in graph.tensors:
                found[bias] = products[product]
    return found


def _dense(name: str, kernel: np.ndarray, bias: np.ndarray, heads: int) -> dict[str, np.ndarray]:
    """Kernel and bias of a dense layer; those of attention are cut into heads, as KerasHub has them."""
    if name.endswith("attention_output"):
        kernel = kernel.reshape(heads, -1, kernel.shape[-1])
    elif "self_attention_layer/" in name:
        kernel, bias = kernel.reshape(len(kernel), heads, -1), bias.reshape(heads, -1)
    return {f"{name}/kernel": np.ascontiguousarray(kernel), f"{name}/bias": bias}
