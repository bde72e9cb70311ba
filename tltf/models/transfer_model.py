"""The model of a run: the core with its preprocessing and class names, its data and its options."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tltf.caching.feature_cache import Cache
from tltf.caching.frozen_outputs import NotCached
from tltf.config.recipe import Recipe
from tltf.console import out_of_memory
from tltf.data import pipeline
from tltf.data.lookups import Lookup
from tltf.data.source import Source, Splits
from tltf.graphs import batch_norm_folding, fingerprint, functional
from tltf.graphs.frozen_prefix import BOUNDARY
from tltf.heads.pooling import pool
from tltf.models import prediction_frame, predictor
from tltf.models.forward import ForwardPass
from tltf.models.prediction import Prediction
from tltf.models.served_model import ServedModel

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(repr=False)
class TransferModel(ServedModel):
    """A model that predicts, with the data that it was trained and judged on.

    The record of its training is in a `TrainingResult`.

    Args:
        splits: role -> Source of the data; {} for a loaded model.
        recipe: the recipe of the options; None for a loaded model.
        above: the pass through the layers above a cached frozen prefix, and the function that makes
            its dataset of a Source and a batch size, so that a split does not run through the
            prefix again; None for the whole core.
        judged: role -> float32[N, K], the scores on which a report has judged this model; an export
            must give the same.
        known_logits: role -> float32[N, L], the core's outputs that were computed already, by which
            the head was tuned.
    """

    splits: Splits | dict[str, Source] = dataclasses.field(default_factory=dict)
    recipe: Recipe | None = None
    above: tuple[ForwardPass, Callable[[Source, int], tf.data.Dataset]] | None = None
    judged: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    known_logits: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    _whole: tuple[tuple[object, ...], ForwardPass] | None = dataclasses.field(
        default=None, init=False
    )

    def __repr__(self) -> str:
        what = self.core.head.describe(self.class_names)
        return f"TransferModel({self.core.backbone.name}: {what})"

    @functools.cached_property
    def feature_cache(self) -> Cache:
        """The cache of the run's frozen layers, as its flags say."""
        return Cache(self.run_options.cache)

    def scores(self, source: Source, batch_size: int = 128) -> np.ndarray:
        """float32[N, K]: the head's probabilities or quantiles for the rows of a Source, in its order."""
        return self.scores_of(self.logits(source, batch_size))

    def scores_of(self, logits: np.ndarray) -> np.ndarray:
        """float32[N, K]: the head's probabilities or quantiles for float32[N, L] logits."""
        return keras.ops.convert_to_numpy(self.core.head.scores(logits))

    def logits(self, source: Source, batch_size: int = 128) -> np.ndarray:
        """float32[N, L]: the core's outputs for the rows of a Source, in its order."""
        with out_of_memory.explain_out_of_memory("eval_batch_size", batch_size):
            if self.above:
                forward, dataset = self.above
                with contextlib.suppress(NotCached):
                    return forward(dataset(source, batch_size))
            return self.whole_pass()(self.dataset(source, batch_size))

    def whole_pass(self) -> ForwardPass:
        """The pass through the whole core, which is traced once for all splits while the core is the same.

        Its batch norms are folded into the convolutions before them, as in the frozen pass and in an
        export; the copies are made anew where a weight has changed.
        """
        model = self.core.model
        state: tuple[object, ...] = functional.state_of(model)
        if batch_norm_folding.can_fold(model):
            state = (*state, fingerprint.hash_weights(model))
        if self._whole is None or self._whole[0] != state:
            folded = batch_norm_folding.fold(model)
            self._whole = state, ForwardPass(folded, self.core.outputs)
        return self._whole[1]

    @property
    def whole_seconds(self) -> float:
        """The time that `whole_pass` took so far; 0 where the splits were computed without it."""
        return self._whole[1].seconds if self._whole else 0.0

    def features(self, source: Source, batch_size: int = 128) -> np.ndarray:
        """float32[N, d]: the pooled features below the head for the rows of a Source."""
        model = self.feature_model()
        with out_of_memory.explain_out_of_memory("eval_batch_size", batch_size):
            return ForwardPass(model, next(iter(model.output)))(self.dataset(source, batch_size))

    def feature_model(self) -> keras.Model:
        """The model from the core's inputs to {name: float32[B, d]}, equal to the prefix of a linear probe.

        These are the features of the taps that the head names, of the last one where it names none.
        """
        taps, modality = self.core.backbone.taps, self.core.backbone.modality
        named = () if self.core.joint else self.core.head.features
        features = pool(taps, modality, "auto", named)
        return keras.Model(self.core.backbone.inputs, {f"{BOUNDARY}0": features})

    def predict(
        self, inputs: object, batch_size: int = 128, threshold: float | None = None
    ) -> "list[Prediction] | pandas.DataFrame":
        """A `Prediction` for each text, path of an image file or uint8[H, W, C] array.

        An input that cannot be read gets a Prediction with its `error` and does not stop the others.
        For a pandas DataFrame, whose columns of the run's data are read, the result is a DataFrame
        with the same index, see `prediction_frame.make_frame`. Of two classes the second, the
        positive one, is the answer from the probability `threshold` on, where it is given.

        Raises:
            DataError: `inputs` holds no inputs of the model's modality.
            FlagError: a threshold for a model that does not give one class of two, or one outside of
                0 to 1.
        """
        found = predictor.predict(self, inputs, batch_size, threshold)
        frame: Any = inputs
        if hasattr(frame, "iloc") and hasattr(frame, "columns"):
            if self.core.joint:
                return prediction_frame.make_task_frame(found, self.core.heads, frame.index)
            return prediction_frame.make_frame(found, self.core.head, self.class_names, frame.index)
        return found

    def dataset(
        self,
        source: Source,
        batch_size: int,
        reads: Lookup | None = None,
        is_repeated: bool = False,
    ) -> tf.data.Dataset:
        """Batches of a Source in its order, as the core takes them; each is cut to its longest text.

        Args:
            source: the rows.
            batch_size: examples per batch.
            reads: a lookup of the outputs of a frozen prefix, in place of the core's inputs.
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
