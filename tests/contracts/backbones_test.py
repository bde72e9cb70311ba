import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.contracts.given import parameters
from tltf.backbones import builder
from tltf.config import call_strings
from tltf.config.catalogs import BACKBONES, EXPLAINERS, HEADS
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.graphs import functional
from tltf.graphs.core import attach_head
from tltf.models.served_model import ServedModel

TEXTS = ("a fine film", "dull and long", "great fun, see it twice", "no story at all")


def build(text):
    """The smallest of its kind, with random weights."""
    row = call_strings.pick(BACKBONES, text).row
    if row.modality == "text":
        return builder.build(text, weights="none", text_length=12, texts=list(TEXTS))
    size = {"small_cnn": 12}.get(call_strings.pick(BACKBONES, text).name, row.min_image_size_px)
    return builder.build(text, weights="none", image_size_px=size)


def inputs_for(backbone, count=2):
    """Random inputs by name; the second text is half padding."""
    rng = np.random.default_rng(0)
    if backbone.modality == "image":
        shape = (count, backbone.image_size_px, backbone.image_size_px, backbone.channels)
        return {"image": rng.integers(0, 256, shape).astype("float32")}
    vocabulary = backbone.tokenizer.vocabulary_size()
    mask = np.ones((count, 8), "int32")
    mask[1:, 4:] = 0
    made = {
        "token_ids": rng.integers(0, vocabulary, (count, 8)).astype("int32"),
        "padding_mask": mask,
        "segment_ids": np.zeros((count, 8), "int32"),
    }
    return {name: made[name] for name in backbone.inputs}


def model_of(backbone):
    return keras.Model(backbone.inputs, backbone.taps)


def values(model, inputs):
    return {k: keras.ops.convert_to_numpy(v) for k, v in model(inputs, training=False).items()}


@pytest.mark.parametrize("text", parameters("backbones"))
def test_a_backbone(text, tmp_path):
    backbone = build(text)
    model, inputs = model_of(backbone), inputs_for(backbone)
    outputs = values(model, inputs)
    check_graph(backbone, model)
    check_taps(backbone, outputs)
    check_explained(backbone, inputs)
    check_rebuild(backbone, model, inputs, outputs, tmp_path)


def check_graph(backbone, model):
    assert not [layer for layer in model.layers if isinstance(layer, keras.Model)], "it is flat"
    names = [layer.name for layer in model.layers]
    assert len(names) == len(set(names))
    grouped = [id(v) for group in backbone.groups for x in group.layers for v in x.weights]
    assert len(grouped) == len(set(grouped)), "no variable is in two groups"
    assert {id(v) for v in model.weights if "seed" not in v.path} == set(grouped)
    group_names = [group.name for group in backbone.groups]
    assert len(group_names) == len(set(group_names)) and all(g.layers for g in backbone.groups)
    assert not backbone.pretrained


def check_taps(backbone, outputs):
    assert all(np.isfinite(value).all() for value in outputs.values())
    if backbone.modality == "image":
        stages = [name for name in outputs if name.startswith("stage_")]
        assert sorted(stages) == sorted(f"stage_{n}" for n in range(1, len(stages) + 1)) and stages
        widths = [outputs[f"stage_{n}"].shape[1] for n in range(1, len(stages) + 1)]
        assert widths == sorted(widths, reverse=True) and outputs[stages[0]].ndim == 4
        return
    assert outputs["sequence"].shape[:2] == outputs["mask"].shape == (2, 8)
    assert backbone.tokenizer is not None and backbone.text_length == 12


def check_explained(backbone, inputs):
    """Every explainer for such inputs finds its way through the graph; few steps show that."""
    core = attach_head(backbone, call_strings.pick(HEADS, "classify"), 3)
    is_text, names = backbone.modality == "text", ("a", "b", "c")
    prepared = (
        TextPreprocessing(backbone.tokenizer, 12, tuple(inputs))
        if is_text
        else ImagePreprocessing(backbone.image_size_px, backbone.channels)
    )
    model = ServedModel(core, prepared, names)
    tensors = {name: tf.constant(values[:1]) for name, values in inputs.items()}
    for name, row in EXPLAINERS.items():
        if row.modality in ("", backbone.modality):
            call = call_strings.pick(EXPLAINERS, name)
            call = call.change(most_steps=2) if "most_steps" in call.kwargs else call
            found = call.build().attach(model, 2)(tensors, np.eye(3, dtype="float32")[:1])
            assert np.isfinite(found.values).all() and found.values.shape[0] == 1
            assert found.values.any() or not call.build().is_signed
            assert found.values.ndim == (2 if is_text else 3)


def check_rebuild(backbone, model, inputs, outputs, folder):
    builder.save_assets(backbone, folder)
    fresh = builder.rebuild(json.loads(json.dumps(backbone.blueprint)), folder)
    copy = model_of(fresh)
    before, after = functional.named_weights(model.layers), functional.named_weights(copy.layers)
    assert list(before) == list(after), "variables keep their names and order"
    for name, variable in after.items():
        variable.assign(before[name])
    for name, value in values(copy, inputs).items():
        np.testing.assert_array_equal(value, outputs[name], err_msg=name)
    assert list(fresh.taps) == list(backbone.taps)
    assert [g.name for g in fresh.groups] == [g.name for g in backbone.groups]


@pytest.mark.parametrize("text", ["small_lstm(units=6, embedding=5, vocabulary=60)"])
def test_padding_changes_nothing(text):
    backbone = build(text)
    model, inputs = model_of(backbone), inputs_for(backbone)
    changed = {**inputs, "token_ids": np.where(inputs["padding_mask"], inputs["token_ids"], 1)}
    for name, value in values(model, inputs).items():
        if name == "sequence":
            kept = inputs["padding_mask"].astype(bool)
            np.testing.assert_allclose(value[kept], values(model, changed)[name][kept], atol=1e-6)
