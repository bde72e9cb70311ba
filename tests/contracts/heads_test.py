import keras
import numpy as np
import pytest

from tests import tiny
from tests.contracts.given import parameters
from tltf import specs
from tltf.catalogs import HEADS


def taps(modality):
    if modality == "image":
        return {"stage_1": keras.Input((4, 4, 5)), "stage_2": keras.Input((2, 2, 6))}
    return {"sequence": keras.Input((None, 6)), "mask": keras.Input((None,), dtype="int32")}


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("text", parameters("heads"))
def test_a_head(text, modality):
    head = specs.pick(HEADS, text).build()
    points = taps(modality)
    logits, layers = head.attach(points, modality, 3)
    assert logits.shape == (None, 2 if head.has_order else 3) and logits.dtype == "float32"
    model = keras.Model(list(points.values()), logits)
    assert {id(v) for v in model.trainable_weights} == {
        id(v) for layer in layers for v in layer.trainable_weights
    }, "the layers that it hands back are its own"
    assert all(layer.name.startswith(head.name) for layer in layers)


@pytest.mark.parametrize("text", parameters("heads"))
def test_its_loss_metrics_and_decoding(text):
    core = tiny.core(head=text)
    logits = core.model({"image": np.random.default_rng(0).random((5, 8, 8, 3)) * 255})["label"]
    labels = np.array([0, 1, 2, 1, 0])
    for target in (labels, np.eye(3, dtype="float32")[labels]):
        assert np.isfinite(float(core.head.loss()(target, logits)))
        for metric in core.head.metrics():
            metric.update_state(target, logits)
            assert 0 <= float(metric.result()) <= 1
    stated = keras.ops.convert_to_numpy(core.head.probabilities(logits))
    np.testing.assert_allclose(stated.sum(axis=1), 1, atol=1e-6)
    assert stated.dtype == np.float32 and stated.shape == (5, 3)
    logits = keras.ops.convert_to_numpy(logits)
    np.testing.assert_array_equal(core.head.predicted(logits), stated.argmax(axis=1))
    expected = -np.log(stated[np.arange(5), labels])
    np.testing.assert_allclose(core.head.losses(logits, labels), expected, rtol=1e-4, atol=1e-6)
