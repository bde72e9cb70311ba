"""Packaged weights of MobileNetV2, VGG-16 and DenseNet-121: every value is where its file has it."""

import collections
import json
import re

import h5py
import keras
import numpy as np
import pytest

from tests.backbones.inverted_bottlenecks_test import photos
from tltf.backbones import builder
from tltf.errors import ModelError
from tltf.files import assets
from tltf.graphs import functional

pytestmark = pytest.mark.large


def test_dog_mobilenet_v2_holds_the_file_s_values():
    backbone = builder.build("dog_mobilenet_v2")
    assert backbone.image_size_px == 160 and backbone.pretrained
    named = functional.named_weights(backbone.layers)
    (path,) = assets.fetch("dog_mobilenet_v2").glob("*.h5")
    with h5py.File(path) as opened:
        group = opened["model_weights/mobilenetv2_1.00_160"]
        found = {}
        group.visititems(
            lambda key, item: (
                found.update({key.removesuffix(":0"): item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    assert len(found) == len(named) == 260
    assert len({name.split("/")[0] for name in named}) == 104
    for name, values in found.items():
        np.testing.assert_array_equal(named["/".join(name.split("/")[-2:])].numpy(), values)


def test_hed_vgg16_holds_the_file_s_values():
    backbone = builder.build("hed_vgg16", image_size_px=64)
    named = functional.named_weights(backbone.layers)
    (path,) = assets.fetch("hed_vgg16").glob("*.h5")
    assert len(named) == 26
    with h5py.File(path) as opened:
        for block, layer in ((1, ""), (3, "_2"), (5, "_1")):
            number = int(layer[1:] or 0) + 1
            values = opened[f"block{block}/layers/conv2d{layer}/vars/0"][()]
            own = named[f"block{block}_conv{number}/kernel"].numpy()
            np.testing.assert_array_equal(own, values)


def test_hed_vgg16_takes_blue_first_and_its_own_means():
    backbone = builder.build("hed_vgg16", weights="none", image_size_px=32)
    first = next(layer for layer in backbone.layers if layer.name == "block1_conv1")
    scaled = keras.Model(backbone.inputs, functional.inputs_of_call(first, -1))
    pixels = np.broadcast_to(np.array([10, 20, 30], "float32"), (1, 32, 32, 3))
    found = np.asarray(keras.tree.flatten(scaled({"image": pixels}))[0])[0, 0, 0]
    np.testing.assert_allclose(found, [30 - 104.00699, 20 - 116.66877, 10 - 122.67892], rtol=1e-6)


def test_densenet121_holds_the_file_s_values_in_the_order_of_keras():
    """Keras's own network says which layer of a class is the n-th; the names in the file are the same."""
    named = functional.named_weights(builder.build("densenet121_packaged").layers)
    folder = assets.fetch("densenet121_packaged")
    own = keras.applications.DenseNet121(include_top=False, weights=None)
    named_as_saved = [re.sub(r"^(zero_padding2d)_\d+$", r"\1", x.name) for x in own.layers[1:]]
    saved = json.loads((folder / "config.json").read_text())["config"]["layers"][1]["config"]
    names = [re.sub(r"^(zero_padding2d)_\d+$", r"\1", x["name"]) for x in saved["layers"][1:]]
    assert names == named_as_saved and len(names) == 426
    assert not any(layer["config"].get("trainable") for layer in saved["layers"])
    counts, seen = collections.Counter(), 0
    with h5py.File(folder / "model.weights.h5") as opened:
        for layer in own.layers:
            if not layer.weights:
                continue
            kind = {"Conv2D": "conv2d"}.get(type(layer).__name__, "batch_normalization")
            group = f"{kind}_{counts[kind]}" if counts[kind] else kind
            counts[kind] += 1
            for place, weight in enumerate(layer.weights):
                values = opened[f"layers/functional/layers/{group}/vars/{place}"][()]
                np.testing.assert_array_equal(named[f"{layer.name}/{weight.name}"], values)
                seen += values.size
    assert seen == sum(np.size(value) for value in named.values()) == 7_037_504


def test_densenet121_s_statistics_are_those_of_photos():
    """The mean of the last norm's input over photos is like its moving mean, which random order would not be."""
    backbone = builder.build("densenet121_packaged")
    (last,) = [layer for layer in backbone.layers if layer.name == "bn"]
    before = keras.Model(backbone.inputs, functional.inputs_of_call(last, -1))
    pixels = photos(224)
    values = np.asarray(keras.tree.flatten(before({"image": pixels}, training=False))[0])
    means = values.mean((0, 1, 2))
    assert np.corrcoef(means, last.moving_mean)[0, 1] > 0.8
    features = keras.Model(backbone.inputs, list(backbone.taps.values())[-1])
    vectors = features({"image": pixels}, training=False).numpy().mean((1, 2))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors @ vectors.T)[np.triu_indices(5, 1)]
    assert cosines.min() > 0.3 and cosines.max() < 0.7, "random weights give .93 and more"


def test_the_whole_model_file_itself_is_refused():
    (path,) = assets.fetch("dog_mobilenet_v2").glob("*.h5")
    with pytest.raises(ModelError, match="whole model"):
        builder.build("mobilenet_v2", weights=str(path), image_size_px=64)
