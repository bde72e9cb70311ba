"""Embedding tables of which training needs some rows only.

A vocabulary has far more entries than the training texts have different tokens. A row that never
occurs has a zero gradient in every step, so that its slots stay zero and Adam or SGD leave it
as it is: updating the rows that occur is updating the table. Since texts are tokenized before
training, these rows are known.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltf.errors import ShapeError
from tltf.graphs import functional
from tltf.methods.adversaries import AdversarialModel


class Rows:
    """The rows of one table that are trained, and the way there and back.

    Args:
        numbers: int[n] row numbers, each once, ascending.
        shape: (vocabulary, width) of the table.

    Raises:
        ShapeError: numbers that are not rows of the table.
    """

    def __init__(self, numbers: Any, shape: tf.TensorShape | tuple[int, ...]) -> None:
        self.numbers = np.asarray(numbers, np.int32)
        if len(self.numbers) and not 0 <= self.numbers.min() <= self.numbers.max() < shape[0]:
            raise ShapeError(f"rows {self.numbers.min()} to {self.numbers.max()} of {shape[0]}")
        self.shape = (len(self.numbers), shape[1])
        self.scratch = None
        self._places = np.full(shape[0], -1, np.int32)
        self._places[self.numbers] = np.arange(len(self.numbers), dtype=np.int32)

    def compact(self, gradient: tf.IndexedSlices | tf.Tensor) -> tf.Tensor:
        """float[n, width] of the table's gradient, tf.IndexedSlices or dense; repeats are added."""
        if not isinstance(gradient, tf.IndexedSlices):
            return tf.gather(gradient, self.numbers)
        places = tf.gather(self._places, gradient.indices)
        values = tf.reshape(gradient.values, [-1, self.shape[1]])
        return tf.math.unsorted_segment_sum(values, tf.reshape(places, [-1]), self.shape[0])

    def read(self, table: tf.Variable) -> Any:
        """float[n, width]: the rows of a tf.Variable."""
        return tf.gather(table, self.numbers)

    def write(self, table: tf.Variable, values: Any) -> None:
        """Puts float[n, width] back."""
        table.scatter_update(tf.IndexedSlices(values, tf.constant(self.numbers)))


def used_rows(
    model: AdversarialModel | keras.Model, used: Callable[..., Any] | type
) -> dict[int, np.ndarray]:
    """id of an embedding table -> int32[n], the rows that can have a gradient.

    Only tables that are read once and by nothing but an input's ids: those of tied embeddings,
    which are read as a matrix too, have a gradient in every row.

    Args:
        model: flat functional keras.Model.
        used: () -> {input name: int[n]}, all ids that training gives to that input; called only
            where there is a table.
    """
    nodes = [node for node in functional.ordered_nodes(list(model.outputs)) if not node.is_input]
    tables: dict[str, Any] = {tensor.name: _table(nodes, tensor) for tensor in model.inputs}
    tables = {name: table for name, table in tables.items() if table is not None}
    given, found = used() if tables else {}, {}
    for name, table in tables.items():
        ids = np.unique(given.get(name, ()))
        if len(ids) and ids[0] >= 0 and ids[-1] < table.shape[0]:
            found[id(table)] = ids.astype(np.int32)
    return found


def _table(
    nodes: Sequence[keras.src.ops.node.Node], tensor: keras.KerasTensor
) -> keras.Variable | None:
    """The one table that is looked up by the ids of an input, or None."""
    tables = []
    for node in nodes:
        if any(given is tensor for given in node.input_tensors):
            layer = node.operation
            inner = getattr(layer, "token_embedding", layer)  # KerasHub's, with the positions
            is_read_once = sum(other.operation is layer for other in nodes) == 1
            if isinstance(inner, keras.layers.Embedding) and is_read_once:
                tables.append(None if inner.lora_enabled else inner.embeddings)
    return tables[0] if len(tables) == 1 else None
