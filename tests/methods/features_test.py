"""Penalties on features against numpy, and the frozen copy that they are compared with."""

import keras
import numpy as np
import pytest

from tests import tiny
from tests.caching.feature_cache_test import (
    Counting,
    images,
    images_source,
    train,
)
from tests.training.fit_test import feed, text_feed
from tltf.backbones import kept_layers
from tltf.errors import FlagError
from tltf.graphs import freezing, frozen_prefix
from tltf.methods import bss, delta
from tltf.methods.context import FitContext
from tltf.methods.rules import EVERYTHING


def batch(is_text, count):
    data = (text_feed(count) if is_text else feed(count, batch_size=count)).training(0, 1)
    inputs = [inputs for inputs, _, _ in data]
    return {name: np.concatenate([part[name] for part in inputs]) for name in inputs[0]}


def added(core, inputs):
    """What the prepared core adds to the loss of a batch."""
    core.model(inputs, training=False)
    return float(sum(core.model.losses))


def backbone_of(is_text):
    return tiny.text_backbone() if is_text else tiny.image_backbone()


@pytest.mark.parametrize("smallest", [1, 3])
@pytest.mark.parametrize("count", [3, 20])
def test_bss_is_the_papers_equation(count, smallest):
    core, inputs = tiny.core(), batch(False, count)
    maps = keras.Model(core.backbone.inputs, core.backbone.taps)(inputs)["stage_2"]
    values = np.linalg.svd(np.asarray(maps).mean(axis=(1, 2)), compute_uv=False)
    expected = 0.3 * (values[::-1][:smallest] ** 2).sum()
    found = added(bss.bss(0.3, smallest).prepare(core, FitContext()), inputs)
    assert found == pytest.approx(expected, rel=1e-2, abs=1e-6)


@pytest.mark.parametrize("is_text", [False, True])
def test_delta_is_the_distance_of_the_feature_maps(is_text):
    keras.utils.set_random_seed(0)
    core, inputs = tiny.core(backbone_of(is_text)), batch(is_text, 8)
    name = "sequence" if is_text else "stage_2"
    taps = keras.Model(core.backbone.inputs, core.backbone.taps)
    before = np.asarray(taps(inputs, training=False)[name])
    method = delta.delta(alpha=0.3, beta=0.2)
    prepared = method.prepare(core, FitContext())
    kernel, bias = (v.numpy() for v in core.groups[-1].layers[0].weights)
    shrink = 0.1 * ((kernel**2).sum() + (bias**2).sum())
    assert added(prepared, inputs) == pytest.approx(shrink, rel=1e-4)
    rng = np.random.default_rng(0)
    for group in core.groups[:-1]:
        for layer in group.layers:
            for variable in layer.trainable_weights:
                variable.assign_add(rng.normal(0, 0.1, variable.shape).astype("float32"))
    squares = ((np.asarray(taps(inputs, training=False)[name]) - before) ** 2).sum(axis=-1)
    if is_text:
        mask = inputs["padding_mask"]
        distance = (squares * mask).sum(axis=1).mean()
    else:
        distance = squares.sum(axis=(1, 2)).mean()
    assert distance > 1e-3
    assert added(prepared, inputs) == pytest.approx(0.15 * distance + shrink, rel=1e-3)


PARTS = {
    "adapters": (2, ["layer_1/block_1/feedforward_output_dense/kernel"]),
    "prefix": (3, ["layer_2/block_2/self_attention_layer/query/kernel"]),
    "prompt": (4, []),
    "adapters on images": (2, ["stage_1/conv_1/kernel", "stage_2/block_2/conv/kernel"]),
}


@pytest.mark.parametrize("kind", PARTS)
def test_a_backbone_that_keeps_parts_is_copied_with_them(kind):
    is_text = "images" not in kind
    backbone = tiny.text_backbone() if is_text else tiny.image_backbone(nested=True)
    backbone = kept_layers.insert(backbone, kind.partition(" ")[0], *PARTS[kind])
    state = np.random.default_rng(0)
    for layer in backbone.layers:
        for variable in layer.trainable_weights:
            variable.assign(state.normal(0, 0.3, variable.shape))
    core, inputs = tiny.core(backbone), batch(is_text, 8)
    name = "sequence" if is_text else "stage_2"
    expected = keras.Model(backbone.inputs, backbone.taps)(inputs, training=False)[name]
    copied = delta.frozen_copy(backbone)
    found = keras.Model(backbone.inputs, copied)(inputs, training=False)[name]
    np.testing.assert_array_equal(found, expected)
    assert not keras.Model(backbone.inputs, copied).trainable_weights
    prepared = delta.delta(beta=0.0).prepare(core, FitContext())
    assert added(prepared, inputs) == 0.0


def test_several_maps_and_one_that_is_not_there():
    method = delta.delta(features=("stage_1", "stage_2"))
    tensors, _ = method.penalty_inputs(tiny.core(), FitContext())
    assert len(tensors) == 4
    with pytest.raises(FlagError, match=r"no feature map 'stage_9' .choices: stage_1, stage_2"):
        delta.delta(features=("stage_9",)).prepare(tiny.core(), FitContext())


def test_the_copy_is_below_the_cut_and_the_image_is_passed_on():
    core = delta.delta().prepare(tiny.core(), FitContext())
    freezing.apply(core.groups, EVERYTHING)
    parts = frozen_prefix.cut(core.model, core.groups)
    names = {layer.name for layer in parts.prefix.layers if layer.weights}
    assert names and all(name.startswith("reference_") for name in names)
    passed = frozen_prefix.passed_boundaries(parts.prefix)
    assert list(passed.values()) == ["image"]
    assert len(frozen_prefix.without_passed_inputs(parts.prefix).output) == 1
    assert not any(layer.name.startswith("reference_") for layer in parts.suffix.layers)


def test_cached_training_is_training_and_the_copy_runs_once(own_cache, monkeypatch):
    counted = Counting(monkeypatch)
    source, make = images_source(60), lambda: delta.delta(alpha=5.0)
    expected, weights, _ = train(images, source, make(), cache=False)
    assert counted.rows == 0
    found, same, _ = train(images, source, make(), cache_precision="float32")
    assert counted.rows == 60, "each example once, not once an epoch"
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        np.testing.assert_allclose([r[name] for r in found], [r[name] for r in expected], atol=1e-4)
    for path, value in weights.items():
        np.testing.assert_allclose(same[path], value, atol=1e-3, err_msg=path)


@pytest.mark.parametrize(
    "make",
    [
        lambda: bss.bss(eta=-1.0),
        lambda: bss.bss(smallest=0),
        lambda: delta.delta(alpha=float("nan")),
        lambda: delta.delta(beta=-0.1),
    ],
)
def test_numbers_out_of_their_range_are_refused(make):
    with pytest.raises(FlagError, match="at least"):
        make()
