"""The graphs of several models as one, in which the same computation stands once.

Models that share frozen layers compute them once: their layers have the same settings and the same
weights, and take the same tensors.
"""

from collections.abc import Callable, Sequence

import keras

from tltf.errors import ShapeError
from tltf.graphs import fingerprint, functional

Identity = Callable[[str, keras.Operation], str]
"""(name of an operation in its model, the operation) -> a text that is equal for equal weights."""


def weights_identity(name: str, operation: keras.Operation) -> str:
    """The `Identity` by the numbers of the weights."""
    weights = getattr(operation, "weights", ())
    return fingerprint.hash_variables(weights) if weights else ""


class JoinedGraph:
    """A graph that grows by the graphs of models; what it computes already is not added again.

    Two calls of operations are the same where class, settings and weights are equal and they take the
    same tensors. A layer that cannot describe its settings is never the same as another.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._calls: dict[str, tuple[str, list[keras.KerasTensor]]] = {}
        self._alive: list[keras.KerasTensor] = []

    def add(
        self,
        prefix: str,
        outputs: Sequence[keras.KerasTensor],
        given: Sequence[tuple[keras.KerasTensor, keras.KerasTensor]],
        identity: Identity = weights_identity,
    ) -> tuple[list[keras.KerasTensor], dict[str, str]]:
        """Adds what some tensors of a flat functional model need.

        The model cannot be used any more: its operations get the prefix before their names, and its
        layers are called again in this graph.

        Args:
            prefix: of the names of operations, such as `member_1_`.
            outputs: tensors of the model.
            given: (input of the model, tensor of this graph that takes its place).
            identity: what tells weights apart.

        Returns:
            `(tensors, shared)`: a tensor of this graph for each of `outputs`, and the name of each
            layer with weights that is not added, in the model -> the layer of this graph that stands
            for it.

        Raises:
            ShapeError: `outputs` need an input that is not given.
        """
        done, names = {id(old): new for old, new in given}, dict[int, str]()
        shared = dict[str, str]()
        for node in functional.ordered_nodes(outputs, done):
            operation = node.operation
            if node.is_input:
                raise ShapeError(f"input {operation.name!r} of the model is not given")
            name = names.setdefault(id(operation), operation.name)
            numbers = {id(old): self._number(done[id(old)]) for old in node.input_tensors}
            key = f"{fingerprint.call_text(node, numbers)} {identity(name, operation)}"
            if key not in self._calls:
                operation.name = prefix + name
                args, kwargs = node.arguments.fill_in(done)
                results = keras.tree.flatten(operation(*args, **kwargs))
                self._calls[key] = operation.name, results
            elif getattr(operation, "weights", ()):
                shared[name] = self._calls[key][0]
            done.update(zip(map(id, node.outputs), self._calls[key][1], strict=True))
        return [done[id(tensor)] for tensor in outputs], shared

    def _number(self, tensor: keras.KerasTensor) -> int:
        """The number of a tensor of this graph, which is kept alive, so that no other has its id."""
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self._numbers)
            self._alive.append(tensor)
        return self._numbers[id(tensor)]
