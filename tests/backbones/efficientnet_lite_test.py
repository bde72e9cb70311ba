"""EfficientNet-Lite0: real weights name the sample photos; the graph is what the design wants."""

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from skimage import data
from sklearn.datasets import load_sample_images

from tltf.backbones import builder, efficientnet_lite, weight_files
from tltf.graphs import functional

ESPRESSO, TRIPOD, PALACE, DAISY = 967, 872, 698, 985


@pytest.fixture(scope="module")
def backbone():
    return builder.build("efficientnet_lite0")


def _square(image):
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return tf.image.resize(image[top : top + side, left : left + side], (224, 224), antialias=True)


def test_classes_of_the_sample_photos(backbone):
    china, flower = load_sample_images().images
    camera = np.repeat(data.camera()[..., None], 3, axis=-1)
    photos = tf.stack([_square(photo) for photo in (data.coffee(), camera, china, flower)])
    model = keras.Model(backbone.inputs, backbone.taps["stage_7"])
    features = model({"image": photos}, training=False).numpy().mean((1, 2))
    path = weight_files.convert_once("efficientnet_lite0", efficientnet_lite.convert)
    top = safetensors.numpy.load_file(path)
    logits = features @ top["predictions/kernel"] + top["predictions/bias"]
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    assert list(shares.argmax(1)) == [ESPRESSO, TRIPOD, PALACE, DAISY]
    np.testing.assert_allclose(shares.max(1)[:2], [0.95, 0.94], atol=0.02)


def test_size_is_the_published_one(backbone):
    count = sum(int(np.prod(w.shape)) for w in functional.named_weights(backbone.layers).values())
    batch_norm_statistics_included = 3_413_024
    assert count == batch_norm_statistics_included
    assert backbone.taps["stage_7"].shape == (None, 7, 7, 1280)
    assert [group.name for group in backbone.groups][:2] == ["stem", "stage_1"]


def test_sides_below_224_work():
    small = builder.build("efficientnet_lite0", weights="none", image_size_px=96)
    assert small.taps["stage_7"].shape == (None, 3, 3, 1280) and not small.pretrained
