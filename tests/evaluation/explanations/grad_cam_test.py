"""Grad-CAM against the closed form that it has under a mean over space, and its choice of a layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import served, tiny
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.errors import FlagError, ModelError
from tltf.evaluation.explanations.grad_cam import GradCam
from tltf.graphs.split_graph import split_at
from tltf.models.served_model import ServedModel

NAMES = ("cat", "dog", "owl")
CHOSEN = np.eye(3, dtype=np.float32)[[2, 0]]


def pictures(size_px):
    values = np.random.default_rng(3).uniform(0, 255, (2, size_px, size_px, 3))
    return {"image": tf.constant(values, tf.float32)}


def model_of(core, size_px=8):
    return ServedModel(core, ImagePreprocessing(size_px), NAMES)


def test_under_a_mean_over_space_it_is_the_class_activation_map():
    """Zhou et al. 2016, arXiv:1512.04150: sum_k w_kc A^k, here cut at 0, over the number of places."""
    core = tiny.core(tiny.image_backbone())
    tensors = pictures(8)
    found = GradCam().attach(model_of(core), 32)(tensors, CHOSEN)
    maps = keras.Model(core.model.input, core.backbone.taps["stage_2"])(tensors).numpy()
    kernel = core.groups[-1].layers[-1].get_weights()[0]
    expected = np.einsum("nhwk,kn->nhw", maps, kernel[:, [2, 0]]) / (8 * 8)
    np.testing.assert_allclose(found.values, np.maximum(expected, 0), atol=1e-6)
    logits = core.model(tensors)["label"].numpy()
    np.testing.assert_allclose(found.outputs, (logits * CHOSEN).sum(1), atol=1e-6)
    assert found.errors is None and found.values.any()


def test_an_earlier_layer_has_gradients_through_both_branches():
    """Its weights are numeric derivatives of the output by a constant that is added to a channel."""
    core = tiny.core(tiny.image_backbone())
    tensors, tap = pictures(8), core.backbone.taps["stage_1"]
    found = GradCam(layer="stage_1").attach(model_of(core), 32)(tensors, CHOSEN)
    maps = keras.Model(core.model.input, tap)(tensors).numpy()
    weights = np.zeros((2, 4))
    above = split_at(core.model, {"map": tap}).above
    for channel in range(4):
        step = np.zeros((1, 1, 1, 4), np.float32)
        step[..., channel] = 1e-2
        ends = [
            above({**tensors, "map": tf.constant(maps + sign * step)}, training=False)[
                "label"
            ].numpy()
            for sign in (1, -1)
        ]
        weights[:, channel] = ((ends[0] - ends[1]) * CHOSEN).sum(1) / 2e-2 / 64
    expected = np.maximum(np.einsum("nhwk,nk->nhw", maps, weights), 0)
    np.testing.assert_allclose(found.values, expected, atol=2e-4)


def test_the_last_map_with_enough_places_is_taken():
    small = served.image("small_cnn(filters=[4, 8, 8], channels=3)", size_px=22)
    shapes = [tap.shape[1] for tap in small.core.backbone.taps.values()]
    assert shapes == [10, 4, 1]
    found = GradCam().attach(small, 32)(pictures(22), CHOSEN)
    assert found.values.shape == (2, 4, 4)


def test_a_layer_that_is_not_there():
    with pytest.raises(FlagError, match=r"no layer 'stage_9' of this model \(choices: stage_"):
        GradCam(layer="stage_9").attach(served.image_once(), 32)


def test_a_head_without_a_feature_map_is_refused():
    import dataclasses

    backbone = tiny.image_backbone()
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.taps["stage_2"])
    taps = {"stage_1": keras.layers.Conv2D(2, 3)(backbone.taps["stage_1"]), "pooled": pooled}
    core = tiny.core(dataclasses.replace(backbone, taps=taps), "classify(pooling=pooled)")
    with pytest.raises(ModelError, match="needs a feature map below the head"):
        GradCam().attach(model_of(core), 32)
