"""keras.applications: from pixels, the features of the family's own preprocessing and model."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from tltf.backbones import builder, downloads
from tltf.config.catalogs import BACKBONES
from tltf.errors import FlagError, ModelError, StorageError
from tltf.graphs import functional

QUICK = ("mobilenet_v2", "vgg16", "efficientnet_b0")
MODULES = {
    "resnet50": "resnet",
    "resnet101": "resnet",
    "resnet50_v2": "resnet_v2",
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    "mobilenet_v2": "mobilenet_v2",
    "densenet121": "densenet",
    "inception_v3": "inception_v3",
}
NAMES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.large)
    for name, row in BACKBONES.items()
    if row.target == "tltf.backbones.applications:application"
]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _own_model(name, size):
    """The family's model as Keras gives it, its weights drawn so that no unit is dead."""
    build = getattr(keras.applications, BACKBONES[name].keras_class)
    keras.utils.set_random_seed(0)
    model = build(weights=None, include_top=False, input_shape=(size, size, 3))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.1, shape))
            layer.moving_variance.assign(rng.uniform(0.1, 0.5, shape))
        is_empty = isinstance(layer, keras.layers.Normalization) and layer.weights
        if is_empty:
            layer.set_weights([MEAN, STD**2, np.array(0)])
            layer.finalize_state()
    return model


@pytest.mark.parametrize("name", NAMES)
def test_features_are_the_family_s_own(name, tmp_path):
    size = max(64, BACKBONES[name].min_image_size_px)
    own = _own_model(name, size)
    own.save_weights(tmp_path / "own.weights.h5")
    backbone = builder.build(name, weights=str(tmp_path / "own.weights.h5"), image_size_px=size)
    pixels = np.random.default_rng(1).integers(0, 256, (2, size, size, 3), dtype="uint8")
    family = getattr(keras.applications, MODULES[name]) if name in MODULES else None
    scaled = pixels.astype("float32")
    expected = own(family.preprocess_input(scaled.copy()) if family else scaled, training=False)
    model = keras.Model(backbone.inputs, backbone.taps)
    found = list(model({"image": pixels.astype("float32")}, training=False).values())[-1]
    scale = np.abs(expected.numpy()).max()
    assert scale > 0
    # EfficientNet divides twice where tltf does once; hundreds of layers with norms of small
    # variance carry that rounding to 4e-5. A wrong scaling shows from 1e-2 on.
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_groups_taps_and_rebuilding(name):
    size = max(64, BACKBONES[name].min_image_size_px)
    backbone = builder.build(name, weights="none", image_size_px=size)
    model = keras.Model(backbone.inputs, backbone.taps)
    layers = [layer for layer in model.layers if layer is not model.layers[0]]
    assert not [layer for layer in layers if isinstance(layer, keras.Model)]
    assert len({item.name for item in model.operations}) == len(model.operations)
    grouped = [id(layer) for group in backbone.groups for layer in group.layers]
    assert sorted(grouped) == sorted(id(x) for x in model.layers if x.name != "image")
    covered = [id(v) for layer in backbone.layers for v in layer.weights]
    assert sorted(covered) == sorted(id(v) for v in model.weights)
    assert list(backbone.taps) == [f"stage_{n}" for n in range(1, len(backbone.taps) + 1)]
    sides = [tap.shape[1] for tap in backbone.taps.values()]
    assert sides == sorted(sides, reverse=True)
    again = builder.rebuild(json.loads(json.dumps(backbone.blueprint)), ".")
    shapes = [
        {name: v.shape for name, v in functional.named_weights(item.layers).items()}
        for item in (backbone, again)
    ]
    assert shapes[0] == shapes[1]
    assert [g.name for g in again.groups] == [g.name for g in backbone.groups]


def test_a_row_is_enough_for_another_network_of_a_known_family(monkeypatch):
    row = dataclasses.replace(
        BACKBONES["resnet50_v2"], keras_class="ResNet101V2", blocks=(3, 4, 23, 3)
    )
    monkeypatch.setitem(BACKBONES, "resnet101_v2", row)
    backbone = builder.build("resnet101_v2", weights="none", image_size_px=32)
    assert [tap.shape[-1] for tap in backbone.taps.values()] == [256, 512, 1024, 2048]
    assert [group.name for group in backbone.groups] == ["stem", *backbone.taps]


def test_weights_pass_exactly_to_a_rebuilt_network():
    backbone = builder.build("mobilenet_v2", weights="none", image_size_px=32)
    again = builder.rebuild(json.loads(json.dumps(backbone.blueprint)), ".")
    source, target = (functional.named_weights(item.layers) for item in (backbone, again))
    for name, variable in target.items():
        variable.assign(source[name])
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    found = [keras.Model(b.inputs, b.taps)({"image": pixels}) for b in (backbone, again)]
    for name in backbone.taps:
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_each_stage_follows_from_the_tap_before_alone():
    backbone = builder.build("mobilenet_v2", weights="none", image_size_px=64)
    taps = list(backbone.taps.values())
    for group, before, after in zip(backbone.groups[2:], taps[:-1], taps[1:], strict=True):
        fresh = keras.Input(before.shape[1:])
        (output,) = functional.replay([after], [(before, fresh)])
        used = {layer.name for layer in functional.layers([output])}
        assert used == {layer.name for layer in group.layers}


def test_imagenet_weights_of_efficientnet_are_recognised(tmp_path):
    """Files with the deviation in place of the variance get the division Keras adds to them."""
    own = _own_model("efficientnet_b0", 32)
    for layer in own.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([MEAN, STD, np.array(0)])
            layer.finalize_state()
    own.save_weights(tmp_path / "own.weights.h5")
    path = str(tmp_path / "own.weights.h5")
    backbone = builder.build("efficientnet_b0", weights=path, image_size_px=32)
    scale = backbone.blueprint["memory"]["scaling"]["scale"]
    np.testing.assert_allclose(scale, 1 / (255 * STD), rtol=1e-6)


def test_images_below_the_minimum_are_refused_at_once():
    with pytest.raises(
        FlagError, match=r"75 pixels or more \(received 64\); fix: --image_size_px=75"
    ):
        builder.build("inception_v3", image_size_px=64)


def test_weights_of_another_family_are_refused(tmp_path):
    _own_model("mobilenet_v2", 32).save_weights(tmp_path / "own.weights.h5")
    with pytest.raises(ModelError, match="weights of another network than vgg16"):
        builder.build("vgg16", weights=str(tmp_path / "own.weights.h5"), image_size_px=32)


def test_without_a_network_the_fix_is_named(monkeypatch):
    def fail(**kwargs):
        raise Exception("URL fetch failure on https://somewhere: None -- no address")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    with pytest.raises(StorageError, match=r"error\[5\].*vgg16.*--backbone_weights=PATH"):
        builder.build("vgg16", image_size_px=32)
