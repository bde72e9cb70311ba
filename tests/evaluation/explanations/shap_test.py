"""A peer agrees in rank: shap's GradientExplainer, with one background example and many samples."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests import served
from tltf.evaluation.explanations import baselines
from tltf.evaluation.explanations.integrated_gradients import IntegratedGradients

shap = pytest.importorskip("shap", minversion="0.48")


def test_expected_gradients_of_one_background_picture_have_the_same_ranks():
    """With one background example, expected gradients are integrated gradients by sampling."""
    model = served.image("small_cnn(filters=[4, 8], channels=3)", size_px=12)
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 12, 12, 3)).astype(np.float32)
    found = IntegratedGradients(baseline="black", tolerance=1e-3, most_steps=1024).attach(
        model, 64
    )({"image": tf.constant(pixels)}, np.eye(3, dtype=np.float32)[[1, 1]])
    plain = keras.Model(list(model.core.model.inputs), model.core.model.output["label"])
    background = baselines.of_images(pixels[:1], "black")
    peer = shap.GradientExplainer(plain, background, local_smoothing=0)
    values = np.asarray(peer.shap_values(pixels, nsamples=2000, rseed=0))[..., 1].sum(axis=-1)
    for own, other in zip(found.values, values, strict=True):
        assert stats.spearmanr(own.ravel(), other.ravel()).statistic > 0.95
