"""What a user holds after training: the core with its preprocessing and class names."""

import dataclasses

import numpy as np

from tltf.models import Core


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The decoded output for one input.

    Args:
        id: the text or the path that was given.
        label: the most probable class.
        probabilities: class name -> probability.
        error: why there is no label; empty otherwise.
    """

    id: str
    label: str
    probabilities: dict
    error: str = ""


@dataclasses.dataclass
class Trained:
    """A core with what turns raw inputs into its inputs and its outputs into labels.

    Args:
        core: the model that is served.
        preprocessing: ImagePreprocessing or TextPreprocessing.
        class_names: one name an output, in order.
        options: the run's Options; None for a loaded model without its run.
        splits: role -> Source; empty for a loaded model.
        history: one dict an epoch.
        plans: freezing.Plan of each phase.
        times_s: seconds by stage.
    """

    core: Core
    preprocessing: object
    class_names: tuple
    options: object = None
    splits: dict = dataclasses.field(default_factory=dict)
    history: list = dataclasses.field(default_factory=list)
    plans: list = dataclasses.field(default_factory=list)
    times_s: dict = dataclasses.field(default_factory=dict)

    def probabilities(self, source, batch_size=128):
        """float32[N, num_classes] for a Source, in its order."""
        return self.outputs(source, batch_size)[0]

    def features(self, source, batch_size=128):
        """float32[N, d]: the pooled backbone features of a Source, below the head."""
        from tltf.heads import pool
        import keras

        taps, modality = self.core.backbone.taps, self.core.backbone.modality
        model = keras.Model(self.core.backbone.inputs, pool(taps, modality, "auto"))
        return run_batches(model, self._dataset(source, batch_size), len(source))

    def outputs(self, source, batch_size=128):
        """(probabilities, logits), each float32[N, num_classes]."""
        import keras

        name = self.core.head.name
        logits = run_batches(
            lambda inputs, training: self.core.model(inputs, training=training)[name],
            self._dataset(source, batch_size),
            len(source),
        )
        return keras.ops.convert_to_numpy(self.core.head.probabilities(logits)), logits

    def predict(self, inputs, batch_size=128):
        """A `Prediction` for each text, path of an image file or uint8[H, W, C] array.

        An input that cannot be read gets a Prediction with its `error`; the others are not
        disturbed by it.
        """
        from tltf import predicting

        return predicting.predict(self, inputs, batch_size)

    def _dataset(self, source, batch_size):
        from tltf.data import pipeline

        return pipeline.build(source, self.preprocessing, batch_size=batch_size)


def run_batches(model, dataset, num_examples):
    """float32[num_examples, d]: `model` over a dataset of (inputs, ...) in inference mode."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def step(inputs):
        return model(inputs, training=False)

    rows = [step(batch[0]).numpy() for batch in dataset]
    return np.concatenate(rows)[:num_examples].astype("float32")
