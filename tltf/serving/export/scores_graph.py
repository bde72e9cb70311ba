"""The graph of formats that know no strings: a model's tensors in, the numbers of its head out."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf
from absl import logging

from tltf.graphs import batch_norm_folding, precision
from tltf.graphs.core import Core
from tltf.models import core_builder
from tltf.models.transfer_model import TransferModel

SIGNATURE = "serving_default"
"""The name of the graph's only signature."""
BATCH_DIM, TOKENS_DIM = "batch", "tokens"
"""The names of the axes whose size is free."""


def float32_core(core: Core) -> Core:
    """The core, or a copy where it computes in another precision or is spread over devices."""
    values = tf.distribute.DistributedValues
    is_plain = not precision.is_half(core.model) and not any(
        isinstance(weight.value, values) for weight in core.model.weights
    )
    return core if is_plain else core_builder.float32_copy(core)


class ScoresModule(tf.Module):
    """The core in float32 with its batch norms folded, and the outputs of its head that are numbers.

    Images are float32[B, S, S, C] with pixels from 0 to 255, since the scaling is in the graph. Texts
    are `token_ids`, `padding_mask` (1 at tokens, 0 at padding) and perhaps `segment_ids`, each
    int32[B, L]. Outputs are those of `Head.serving_outputs`, without the strings.

    Args:
        trained: the model.
        batch_size: B, or None for any.
        any_length: whether L stays free where the core takes texts of any length.
    """

    def __init__(
        self, trained: TransferModel, batch_size: int | None = None, any_length: bool = False
    ) -> None:
        super().__init__()
        core = float32_core(trained.core)
        self._head, self._labels = core.head, [b""] * len(trained.class_names)
        self._model: keras.Model = batch_norm_folding.fold(core.model)
        self.weights = [weight.value for weight in self._model.weights]
        is_text = core.backbone.modality == "text"
        length = None if any_length else getattr(trained.preprocessing, "length", None)
        self.specs = {
            name: tf.TensorSpec(
                [
                    batch_size,
                    length if tensor.shape[1] is None else tensor.shape[1],
                    *tensor.shape[2:],
                ],
                tf.int32 if is_text else tf.float32,
                name,
            )
            for name, tensor in core.backbone.inputs.items()
        }
        function = tf.function(self._answer, autograph=False)
        self.concrete = function.get_concrete_function(**self.specs)

    def _answer(self, **tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = self._model(tensors, training=False)[self._head.name]
        outputs = self._head.serving_outputs(self._head.scores(logits), self._labels)
        return {name: value for name, value in outputs.items() if value.dtype != tf.string}

    def positional(self) -> tf.types.experimental.PolymorphicFunction:
        """The graph as a function of tensors in the order of `specs`."""

        def answer(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._answer(**dict(zip(self.specs, tensors, strict=True)))

        return tf.function(answer, autograph=False)

    @property
    def outputs(self) -> dict[str, tf.TensorSpec]:
        """Output -> its shape and dtype."""
        return {
            k: tf.TensorSpec(v.shape, v.dtype) for k, v in self.concrete.structured_outputs.items()
        }

    def save(self, folder: pathlib.Path | str) -> None:
        """Writes the graph as a SavedModel, from which converters take the names."""
        with hide_notes():
            tf.saved_model.save(self, str(folder), signatures={SIGNATURE: self.concrete})


@contextmanager
def hide_notes() -> Iterator[None]:
    """A block in which TensorFlow prints warnings about saving, but no notes."""
    before = logging.get_verbosity()
    logging.set_verbosity(min(before, logging.WARNING))
    try:
        yield
    finally:
        logging.set_verbosity(before)


def shape_text(spec: tf.TensorSpec) -> list[int | str]:
    """The shape with names for free axes, such as `["batch", 96, 96, 3]`."""
    free = (BATCH_DIM, TOKENS_DIM)
    return [
        free[place] if size is None else size for place, size in enumerate(spec.shape.as_list())
    ]
