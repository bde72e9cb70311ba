"""Integrated gradients against closed forms, and the axiom of completeness."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import served, tiny
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.errors import FlagError
from tltf.evaluation.explanations import baselines
from tltf.evaluation.explanations.integrated_gradients import (
    IntegratedGradients,
    completeness_errors,
)
from tltf.graphs.backbone import Backbone, Group
from tltf.models.served_model import ServedModel

NAMES = ("cat", "dog", "owl")


def ridge_model(size_px=4):
    """A model whose logits are a_c tanh(w x + b) + d_c, with pixels x in one vector."""
    image = keras.Input((size_px, size_px, 3), name="image")
    layer = keras.layers.Conv2D(
        1, size_px, activation="tanh", kernel_initializer=keras.initializers.RandomNormal(0, 1e-3)
    )
    found = layer(image)
    backbone = dataclasses.replace(
        tiny.image_backbone(size_px),
        inputs={"image": image},
        taps={"stage_1": found},
        groups=(Group("stage_1", (layer,)),),
    )
    core = tiny.core(backbone)
    return ServedModel(core, ImagePreprocessing(size_px), NAMES), layer


def pictures(count, size_px, seed=0):
    shape = (count, size_px, size_px, 3)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def chosen(*places):
    return np.eye(len(NAMES), dtype=np.float32)[list(places)]


@pytest.mark.parametrize("baseline", ["black", "white", "grey", "mean", "blurred"])
def test_values_are_those_of_the_closed_form(baseline):
    """Along a line, w x is a line too: (x - x') w / (w (x - x')) is the share of each pixel."""
    model, layer = ridge_model()
    x = pictures(3, 4)
    start = baselines.of_images(x, baseline)
    attribute = IntegratedGradients(baseline=baseline, tolerance=1e-5).attach(model, 32)
    found = attribute({"image": tf.constant(x)}, chosen(0, 2, 1))
    kernel, bias = (np.asarray(w, np.float64) for w in layer.get_weights())
    head = model.core.groups[-1].layers[-1].get_weights()[0]
    for row, place in enumerate((0, 2, 1)):
        weight, way = kernel[..., 0], (x[row] - start[row]).astype(np.float64)
        ends = [np.sum(weight * at) + bias[0] for at in (x[row], start[row])]
        change = head[0, place] * (np.tanh(ends[0]) - np.tanh(ends[1]))
        each = (way * weight).sum(-1) / np.sum(way * weight) * change
        np.testing.assert_allclose(found.values[row], each, rtol=2e-3, atol=1e-6)
        assert found.outputs[row] - found.baselines[row] == pytest.approx(change, abs=1e-5)


def test_steps_are_doubled_for_each_input_until_its_values_sum_up():
    model = served.image(size_px=16)
    x = {"image": tf.constant(pictures(5, 16))}
    found = IntegratedGradients().attach(model, 50)(x, chosen(0, 1, 2, 0, 1))
    assert (found.errors <= 0.01).all() and set(found.steps) <= {16, 32, 64, 128, 256, 512}
    sums = found.values.sum(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(sums, found.outputs - found.baselines, rtol=0.0101)
    coarse = IntegratedGradients(most_steps=8).attach(model, 50)(x, chosen(0, 1, 2, 0, 1))
    assert set(coarse.steps) == {8} and coarse.errors.max() > found.errors.max()


def test_the_size_of_batches_changes_nothing():
    model = served.image(size_px=16)
    x = {"image": tf.constant(pictures(4, 16))}
    found = [
        IntegratedGradients(most_steps=16).attach(model, size)(x, chosen(0, 1, 2, 0)).values
        for size in (3, 64)
    ]
    np.testing.assert_allclose(*found, atol=1e-6)


def test_tokens_sum_up_and_those_around_a_text_have_no_part():
    model = served.text()
    tensors = model.preprocessing(list(served.TEXTS))
    answers = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    for baseline in ("auto", "mask", "pad"):
        found = IntegratedGradients(baseline=baseline).attach(model, 32)(tensors, answers)
        assert (found.errors <= 0.01).all()
        ids, (start, end) = tensors["token_ids"].numpy(), model.preprocessing.special_ids()
        is_frame = np.isin(ids, [*start, *end, model.preprocessing.pad_id])
        assert not found.values[is_frame].any() and found.values[~is_frame].all()
        hidden = baselines.of_tokens(ids, model.preprocessing, baseline)
        hidden_tensors = {**tensors, "token_ids": tf.constant(hidden)}
        logits = model.core.model(hidden_tensors, training=False)["label"].numpy()
        np.testing.assert_allclose(found.baselines, (logits * answers).sum(1), atol=1e-6)


def test_tokens_of_a_linear_model_have_their_vectors_share():
    """With logits linear in the mean of the vectors, a token has (e - e') w / L."""
    model = served.text()
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    embedding = keras.layers.Embedding(model.preprocessing.tokenizer.vocabulary_size(), 5)
    vectors = embedding(tokens)
    backbone = Backbone(
        name="linear",
        modality="text",
        inputs={"token_ids": tokens, "padding_mask": mask},
        taps={"sequence": vectors, "mask": mask},
        groups=(Group("embeddings", (embedding,)),),
        tokenizer=model.preprocessing.tokenizer,
        image_size_px=0,
        channels=0,
        text_length=12,
        pretrained=False,
        blueprint={},
    )
    core = tiny.core(backbone, num_classes=2)
    linear = ServedModel(core, model.preprocessing, ("bad", "good"))
    tensors = model.preprocessing(["a good film"])
    found = IntegratedGradients().attach(linear, 32)(tensors, np.array([[0.0, 1.0]], np.float32))
    (table,), weight = embedding.get_weights(), core.groups[-1].layers[-1].get_weights()[0][:, 1]
    ids = tensors["token_ids"].numpy()
    hidden = baselines.of_tokens(ids, model.preprocessing, "auto")
    length = int(tensors["padding_mask"].numpy().sum())
    expected = (table[ids[0]] - table[hidden[0]]) @ weight / length
    np.testing.assert_allclose(found.values[0], expected, atol=1e-6)


def test_errors_are_shares_of_the_difference():
    found = completeness_errors(np.array([1.0, 2.0, -3.0]), np.array([1.0, 2.5, -2.0]))
    np.testing.assert_allclose(found, [0, 0.2, 0.5])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"baseline": "blak"}, "there is no baseline 'blak'"),
        ({"tolerance": 0.0}, "tolerance must be above 0"),
        ({"most_steps": 0}, "most_steps must be above 0"),
    ],
)
def test_what_it_does_not_take(values, text):
    with pytest.raises(FlagError, match=text):
        IntegratedGradients(**values)


def test_a_baseline_of_the_other_modality():
    with pytest.raises(FlagError, match="baseline=mask is not for images"):
        IntegratedGradients(baseline="mask").attach(served.image_once(), 8)
    with pytest.raises(FlagError, match="baseline=black is not for texts"):
        IntegratedGradients(baseline="black").attach(served.text_once(), 8)
