"""The base class of methods that explain answers, and what they give."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from tltf.graphs.core import Core
from tltf.models.served_model import ServedModel

Tensors = dict[str, tf.Tensor]
"""Input of a core -> tensor [B, ...]."""


@dataclasses.dataclass(frozen=True)
class Attributions:
    """What the parts of B inputs add to an output.

    Args:
        values: float32[B, h, w] over an image, or float32[B, L] over tokens.
        outputs: float32[B], the explained output.
        baselines: float32[B], the same output where nothing of the input is seen; None for a method
            without a baseline.
        errors: float32[B], by how much the values fail to sum up to outputs - baselines, as a share of
            that; None for a method that does not promise it.
        steps: int[B], passes through the model that the values are made of, for each input.
    """

    values: np.ndarray
    outputs: np.ndarray
    baselines: np.ndarray | None
    errors: np.ndarray | None
    steps: np.ndarray


Attribute = Callable[[Tensors, np.ndarray], Attributions]
"""`(inputs, chosen)` -> Attributions, where float32[B, E] `chosen` says with what weights the columns of
`Head.evidence` make the output that is explained."""


class Explainer:
    """A method that explains answers."""

    modalities: ClassVar[tuple[str, ...]]
    """Of `image` and `text`."""
    is_signed: ClassVar[bool]
    """Whether values below 0 speak against the answer; else no value is below 0."""

    def attach(self, model: ServedModel, batch_size: int) -> Attribute:
        """The method for one model, with its graphs made.

        Args:
            model: whose answers are explained.
            batch_size: the most passes that it computes together for the inputs that it is given.

        Raises:
            ModelError: the model does not have what the method takes.
        """
        raise NotImplementedError


def explained_outputs(
    core: Core, model: keras.Model, tensors: Tensors, chosen: tf.Tensor | np.ndarray
) -> tf.Tensor:
    """float32[B]: the output that is explained.

    Args:
        core: whose head says what the outputs mean.
        model: the core's own, or the upper part of it.
        tensors: inputs of `model`.
        chosen: float32[B, E], see `Attribute`.
    """
    logits = model(tensors, training=False)[core.head.name]
    return tf.reduce_sum(core.head.evidence(logits) * chosen, axis=1)
