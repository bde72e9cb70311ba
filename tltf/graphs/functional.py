"""Tools for functional graphs: replay on new inputs, order of nodes, layers by group, names.

Libraries return whole Models. `replay` calls their layers again on other tensors, node by
node, so that the result is one flat graph with no Model inside and the layers (and their
weights) are shared with the original. Only this module knows where Keras keeps its nodes.
"""

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tltf.errors import ShapeError

_COUNTED_VARIABLE = re.compile(r"\bvariable_\d+$")
"""A name that Keras made by counting variables."""
_STOCK_CALLS = (keras.Model.call, keras.Sequential.call)
"""The `call` methods of models that compute just what their graph says."""


def node_of(tensor: keras.KerasTensor) -> keras.src.ops.node.Node:
    """The node, one call of one operation, that made a KerasTensor."""
    operation, node_index, _ = tensor._keras_history
    return operation._inbound_nodes[node_index]


def num_calls(layer: keras.Layer) -> int:
    """The number of times that a layer was called on KerasTensors."""
    return len(layer._inbound_nodes)


def nodes_of(model: keras.Model) -> list[keras.src.ops.node.Node]:
    """The nodes of a functional model, each after the nodes that it needs."""
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def inputs_of_call(layer: keras.Layer, index: int = 0) -> list[keras.KerasTensor]:
    """The KerasTensors that one call of a layer takes."""
    return list(layer._inbound_nodes[index].input_tensors)


def outputs_of_consumers(model: keras.Model, tensor: keras.KerasTensor) -> list[keras.KerasTensor]:
    """What the operations of a functional model give that take a tensor themselves, in order of use."""
    return [
        output
        for node in nodes_of(model)
        if any(given is tensor for given in node.input_tensors)
        for output in node.outputs
    ]


def outputs_of(model: keras.Model, class_name: str) -> list[keras.KerasTensor]:
    """The KerasTensors that the layers of a class give, in order of use."""
    found = layers(list(model.outputs))
    return [layer.output for layer in found if type(layer).__name__ == class_name]


def ordered_nodes(
    tensors: Sequence[keras.KerasTensor], known: dict[int, keras.KerasTensor] | tuple = ()
) -> list[keras.src.ops.node.Node]:
    """Every node that `tensors` need, each after the nodes that it needs itself.

    Args:
        tensors: outputs of the graph.
        known: ids of the tensors at which the walk stops.
    """
    order, seen = [], set()
    stack = [(tensor, False) for tensor in reversed(tensors)]
    while stack:
        tensor, is_ready = stack.pop()
        if id(tensor) in known:
            continue
        node = node_of(tensor)
        if is_ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((tensor, True))
            stack.extend((parent, False) for parent in reversed(node.input_tensors))
    return order


def replay(
    outputs: Sequence[keras.KerasTensor],
    given: Sequence[tuple[keras.KerasTensor, keras.KerasTensor]],
) -> list[keras.KerasTensor]:
    """`outputs` computed again by the same layers from other tensors; nested models become flat.

    Args:
        outputs: tensors of the old graph.
        given: (tensor of the old graph, tensor that takes its place).

    Returns:
        A tensor of the new graph for each of `outputs`.

    Raises:
        ShapeError: `outputs` need an input that is not given.
    """
    done = {id(old): new for old, new in given}
    for node in ordered_nodes(outputs, done):
        if node.is_input:
            raise ShapeError(f"input {node.operation.name!r} of the old graph is not given")
        args, kwargs = node.arguments.fill_in(done)
        results = _call(node.operation, args, kwargs)
        done.update(zip(map(id, node.outputs), results, strict=True))
    return [done[id(tensor)] for tensor in outputs]


def _call(
    operation: keras.Operation, args: tuple, kwargs: dict[str, Any]
) -> list[keras.KerasTensor]:
    """Flat results of an operation; the nodes of a functional model are called in its place."""
    if _is_functional(operation):
        inner = zip(operation.inputs, keras.tree.flatten(args[0]), strict=True)
        return replay(list(operation.outputs), list(inner))
    return keras.tree.flatten(operation(*args, **kwargs))


def _is_functional(operation: keras.Operation) -> bool:
    if not isinstance(operation, keras.Model) or not getattr(operation, "outputs", None):
        return False
    is_stock = isinstance(operation, keras.Sequential) or type(operation).call in _STOCK_CALLS
    return is_stock or type(operation).call.__qualname__ == "Functional.call"


def operations(tensors: Sequence[keras.KerasTensor]) -> list[keras.Operation]:
    """The operations that `tensors` need, inputs included, each once, in order of use."""
    unique = {id(node.operation): node.operation for node in ordered_nodes(tensors)}
    return list(unique.values())


def layers(tensors: Sequence[keras.KerasTensor]) -> list[keras.Layer]:
    """The layers that `tensors` need, without the input layers, in order of use."""
    found = operations(tensors)
    return [
        item
        for item in found
        if isinstance(item, keras.Layer) and not isinstance(item, keras.layers.InputLayer)
    ]


def layers_by_point(
    points: dict[str, list[keras.KerasTensor]],
) -> dict[str, tuple[keras.Layer, ...]]:
    """Name of a point -> its layers: a layer belongs to the first point that needs it.

    Args:
        points: name -> list of KerasTensor, in depth order.

    Returns:
        dict, name -> tuple of layers in order of use; names without a layer are left out.
    """
    taken, result = set[int](), dict[str, tuple[keras.Layer, ...]]()
    for name, tensors in points.items():
        fresh = [layer for layer in layers(tensors) if id(layer) not in taken]
        taken.update(map(id, fresh))
        if fresh:
            result[name] = tuple(fresh)
    return result


def name_for_good(tensors: Sequence[keras.KerasTensor], prefix: str = "backbone") -> None:
    """Replaces every name that Keras made by counting by one that is the same in each process.

    Keras numbers unnamed operations by what the process built before. Weights are looked up by
    name, so such names are replaced by `<prefix>_<class>`, `<prefix>_<class>_1`, ...
    """
    found = operations(tensors)
    unnamed = [item for item in found if _is_counted(item)]
    used = {item.name for item in found} - {item.name for item in unnamed}
    for item in unnamed:
        base = name = f"{prefix}_{_snake_case(type(item).__name__)}"
        number = 0
        while name in used:
            number += 1
            name = f"{base}_{number}"
        used.add(name)
        item.name = name


def _is_counted(operation: keras.Operation) -> bool:
    if isinstance(operation, keras.layers.InputLayer):
        return False
    counted = _snake_case(type(operation).__name__) + r"(_\d+)?"
    return re.fullmatch(counted, operation.name) is not None


def _snake_case(name: str) -> str:
    """A class's name in snake case, as Keras makes names of operations from it."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def state_of(model: keras.Model) -> tuple[int, ...]:
    """Numbers that change where a layer gets or loses variables, or computes something else.

    A graph that was traced before is then of the old model. It keeps its variables alive, so that
    no new one has the number of an old one.
    """
    kinds = (type(layer) for layer in model._flatten_layers())
    return tuple(map(id, [*kinds, *model.weights]))


def named_weights(graph_layers: Sequence[keras.Layer]) -> dict[str, keras.Variable]:
    """Weights by a name that does not depend on the process: `<layer>/<path inside the layer>`.

    The seeds of random layers are not weights.

    Args:
        graph_layers: layers with different names.

    Returns:
        dict, name -> keras.Variable.
    """
    result = {}
    for layer in graph_layers:
        for variable in layer.weights:
            inside = _COUNTED_VARIABLE.sub("variable", variable.path.removeprefix(f"{layer.path}/"))
            name, number = f"{layer.name}/{inside}", 0
            while name in result:
                number += 1
                name = f"{layer.name}/{inside}_{number}"
            result[name] = variable
    return result


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Name -> array of all weights of a flat model, without random seeds; see `named_weights`."""
    named = named_weights(model.layers)
    return {name: keras.ops.convert_to_numpy(weight.value) for name, weight in named.items()}
