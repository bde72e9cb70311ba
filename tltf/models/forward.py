"""The forward pass of a model in inference mode over a whole dataset."""

import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tltf.console import signals
from tltf.graphs import flat_dense
from tltf.models import length_sorting


class ForwardPass:
    """The forward pass of a model in inference mode over a dataset; the model is traced once.

    Rows of different lengths are computed sorted by length; the results are in the dataset's order.

    Args:
        model: inputs -> tensor or dict of tensors.
        names: the output to take of a dict, or several, whose results are put side by side; empty for
            a single tensor.

    Attributes:
        seconds: the time that the network took so far, the tracing included and reading not.
    """

    def __init__(self, model: keras.Model, names: str | Sequence[str] = "") -> None:
        self.model, self.seconds = model, 0.0
        self._names = (names,) if isinstance(names, str) else tuple(names)
        self._traced: Callable[[dict[str, tf.Tensor]], tf.Tensor] | None = None

    def __call__(self, dataset: tf.data.Dataset) -> np.ndarray:
        """float32[N, d] over a dataset of (inputs, ...) batches; a noted signal interrupts it."""
        if self._traced is None:
            self._traced = self._trace(dataset.element_spec[0])
        specs = dataset.element_spec[0]
        long = [name for name, spec in specs.items() if spec.shape[1:2].as_list() == [None]]
        batches = (batch[0] for batch in signals.stop_when_requested(dataset))
        if long:
            return length_sorting.run(self._timed, batches, long)
        return np.concatenate([self._timed(batch) for batch in batches])

    def _taken(self, outputs: tf.Tensor | dict[str, tf.Tensor]) -> tf.Tensor:
        """float[B, d]: the outputs that are taken."""
        if self._names == ("",):
            return outputs
        taken = [outputs[name] for name in self._names]
        return taken[0] if len(taken) == 1 else tf.concat(taken, axis=1)

    def _timed(self, batch: dict[str, tf.Tensor]) -> np.ndarray:
        """float32[B, d] of a batch; its time is added to `seconds`."""
        if self._traced is None:
            raise RuntimeError("a pass is traced before it is timed")
        start = time.perf_counter()
        array = self._traced(batch).numpy()
        self.seconds += time.perf_counter() - start
        return array

    def _trace(
        self, specs: dict[str, tf.TensorSpec]
    ) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
        """The model as one graph for batches of any size."""

        def step(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
            with flat_dense.flat_dense():
                outputs = self.model(inputs, training=False)
            return tf.cast(self._taken(outputs), tf.float32)

        wide = {k: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for k, v in specs.items()}
        return tf.function(step, input_signature=[wide], autograph=False)
