"""A model that predicts: the core with its preprocessing and class names."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltf.caching.frozen_outputs import NotCached
from tltf.config.recipe import Recipe
from tltf.console import out_of_memory
from tltf.data import pipeline
from tltf.data.lookups import Lookup
from tltf.data.source import Source, Splits
from tltf.graphs.core import Core
from tltf.graphs.frozen_prefix import BOUNDARY
from tltf.heads.pooling import pool
from tltf.models import predictor
from tltf.models.forward import Forward
from tltf.models.prediction import Prediction


@dataclasses.dataclass
class Trained:
    """A core with what turns raw inputs into its inputs and its outputs into labels.

    How it was trained is in a `TrainingResult`.

    Args:
        core: the model that is served.
        preprocessing: ImagePreprocessing or TextPreprocessing.
        class_names: one name per output, in order.
        options: the Options of the run, with every `auto` resolved; None for a model without a run.
        splits: role -> Source of the data that it was trained and judged on; {} for a loaded model.
        recipe: Recipe of these options; None for a loaded model.
        above: (Forward, (Source, batch size) -> dataset) of the layers above a cached frozen
            prefix, so that a split is not run through the prefix again; None for the whole core.
    """

    core: Core
    preprocessing: Any
    class_names: tuple[str, ...]
    options: Any = None
    splits: Splits | dict[str, Source] = dataclasses.field(default_factory=dict)
    recipe: Recipe | None = None
    above: tuple[Forward, Callable[[Source, int], tf.data.Dataset]] | None = None

    def scores(self, source: Source, batch_size: int = 128) -> np.ndarray:
        """float32[N, K] for a Source, in its order: probabilities, or quantiles; see the head."""
        with out_of_memory.explain_out_of_memory("eval_batch_size", batch_size):
            logits = self._logits(source, batch_size)
        return keras.ops.convert_to_numpy(self.core.head.scores(logits))

    def _logits(self, source: Source, batch_size: int) -> np.ndarray:
        if self.above:
            forward, dataset = self.above
            with contextlib.suppress(NotCached):
                return forward(dataset(source, batch_size))
        forward = Forward(self.core.model, self.core.head.name)
        return forward(self.dataset(source, batch_size))

    def features(self, source: Source, batch_size: int = 128) -> np.ndarray:
        """float32[N, d]: the pooled backbone features of a Source, below the head."""
        model = self.feature_model()
        with out_of_memory.explain_out_of_memory("eval_batch_size", batch_size):
            return Forward(model, next(iter(model.output)))(self.dataset(source, batch_size))

    def feature_model(self) -> keras.Model:
        """keras.Model: the core's inputs -> {name: float32[B, d]}, equal to a linear probe's cut."""
        taps, modality = self.core.backbone.taps, self.core.backbone.modality
        features = pool(taps, modality, "auto")
        return keras.Model(self.core.backbone.inputs, {f"{BOUNDARY}0": features})

    def predict(self, inputs: Any, batch_size: int = 128) -> list[Prediction]:
        """A `Prediction` for each text, path of an image file or uint8[H, W, C] array.

        An input that cannot be read gets a Prediction with its `error`; the others are not
        disturbed by it.
        """
        return predictor.predict(self, inputs, batch_size)

    def dataset(
        self,
        source: Source,
        batch_size: int,
        reads: Lookup | None = None,
        is_repeated: bool = False,
    ) -> tf.data.Dataset:
        """Batches of a Source in its order, as the core takes them; texts are cut to the longest.

        Args:
            source: Source.
            batch_size: examples per batch.
            reads: Lookup of the outputs of a frozen prefix, in place of the inputs of the core.
            is_repeated: whether the dataset is read more than once, so that decoded images are kept.
        """
        return pipeline.build(
            source,
            self.preprocessing,
            batch_size=batch_size,
            length_buckets=self.takes_any_length,
            reads=reads,
            cache_bytes=pipeline.CACHE_BYTES if is_repeated else 0,
        )

    @property
    def takes_any_length(self) -> bool:
        """Whether the core takes texts of any length, so that padding can be cut off."""
        tensors = self.core.backbone.inputs.values()
        return self.core.backbone.modality == "text" and all(t.shape[1] is None for t in tensors)
