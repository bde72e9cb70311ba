"""Embedding tables of which training updates only the rows that occur.

A vocabulary has far more entries than the training texts have different tokens. A row that never
occurs has a zero gradient in every step, so that its slots stay zero, and Adam or SGD leave it
as it is. To update the rows that occur is therefore to update the table. Since texts are tokenized
before training, these rows are known.
"""

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tltf.errors import ShapeError
from tltf.graphs import functional


class Rows:
    """The rows of one table that are trained, and how they are read and written.

    Args:
        numbers: int[n], the numbers of these rows, each once, in rising order.
        shape: (vocabulary, width) of the table.

    Raises:
        ShapeError: a number is not that of a row of the table.
    """

    scratch: keras.Variable
    """Stands for the table while the optimizer updates these rows; the optimizer makes it."""

    def __init__(
        self, numbers: Sequence[int] | np.ndarray, shape: tf.TensorShape | tuple[int, ...]
    ) -> None:
        self.numbers = np.asarray(numbers, np.int32)
        if len(self.numbers) and not 0 <= self.numbers.min() <= self.numbers.max() < shape[0]:
            what = (
                f"rows {self.numbers.min()} to {self.numbers.max()} of a table of {shape[0]} rows"
            )
            raise ShapeError(what)
        self.shape = (len(self.numbers), shape[1])
        self._places = np.full(shape[0], -1, np.int32)
        self._places[self.numbers] = np.arange(len(self.numbers), dtype=np.int32)

    def compact(self, gradient: tf.IndexedSlices | tf.Tensor) -> tf.Tensor:
        """float[n, width]: the gradient of these rows; several gradients of one row are added.

        Args:
            gradient: of the table, tf.IndexedSlices or dense.
        """
        if not isinstance(gradient, tf.IndexedSlices):
            return tf.gather(gradient, self.numbers)
        places = tf.gather(self._places, gradient.indices)
        values = tf.reshape(gradient.values, [-1, self.shape[1]])
        return tf.math.unsorted_segment_sum(values, tf.reshape(places, [-1]), self.shape[0])

    def read(self, table: tf.Variable) -> tf.Tensor:
        """float[n, width]: these rows of the table."""
        return tf.gather(table, self.numbers)

    def write(self, table: tf.Variable, values: tf.Tensor) -> None:
        """Writes float[n, width] into these rows of the table."""
        table.scatter_update(tf.IndexedSlices(values, tf.constant(self.numbers)))


def used_rows(
    model: keras.Model, used: Callable[[], Mapping[str, np.ndarray]]
) -> dict[int, np.ndarray]:
    """id of an embedding table -> int32[n], the numbers of the rows that can have a gradient.

    Only tables that are read once, by the ids of an input, are included. The tables of tied
    embeddings, which are read as a matrix too, have a gradient in every row.

    Args:
        model: flat functional keras.Model.
        used: () -> {input name: int[n]}, all ids that training gives to that input; it is called
            only where there is a table.
    """
    nodes = [node for node in functional.ordered_nodes(list(model.outputs)) if not node.is_input]
    all_tables = {tensor.name: _table(nodes, tensor) for tensor in model.inputs}
    tables = {name: table for name, table in all_tables.items() if table is not None}
    given, found = used() if tables else {}, dict[int, np.ndarray]()
    for name, table in tables.items():
        ids = np.unique(given.get(name, ()))
        if len(ids) and ids[0] >= 0 and ids[-1] < table.shape[0]:
            found[id(table)] = ids.astype(np.int32)
    return found


def _table(
    nodes: Sequence[keras.src.ops.node.Node], tensor: keras.KerasTensor
) -> keras.Variable | None:
    """The only table in which the ids of an input are looked up; None where there is not exactly one."""
    tables = []
    for node in nodes:
        if any(given is tensor for given in node.input_tensors):
            layer = node.operation
            inner = getattr(layer, "token_embedding", layer)  # KerasHub's, with the positions
            is_read_once = sum(other.operation is layer for other in nodes) == 1
            if isinstance(inner, keras.layers.Embedding) and is_read_once:
                tables.append(None if inner.lora_enabled else inner.embeddings)
    return tables[0] if len(tables) == 1 else None
