"""Networks of inverted bottlenecks: real weights name the sample photos; the graph is what the papers want."""

import functools

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from scipy import signal
from skimage import data
from sklearn.datasets import load_sample_images

from tltf.backbones import builder, inverted_bottlenecks
from tltf.backbones.inverted_bottlenecks import DESIGNS, Blocks
from tltf.graphs import functional

ESPRESSO, TRIPOD, PALACE, EGYPTIAN_CAT = 967, 872, 698, 285
DAISY, HONEYCOMB = 985, 599
DAHLIA_AS = {
    "efficientnet_lite0": DAISY,
    "efficientnet_lite1": DAISY,
    "efficientnet_lite2": HONEYCOMB,
    "mobilenet_v2_torchvision": HONEYCOMB,
}
"""Name -> what it calls a dahlia, which is no class of ImageNet."""
SHARES = {
    "efficientnet_lite0": (0.95, 0.94),
    "efficientnet_lite1": (0.53, 0.70),
    "efficientnet_lite2": (0.89, 0.70),
    "mobilenet_v2_torchvision": (0.99, 1.00),
}
"""Name -> the probabilities of an espresso and of a tripod on the photos of one."""
COUNTS = {
    "efficientnet_lite0": 3_413_024,
    "efficientnet_lite1": 4_189_344,
    "efficientnet_lite2": 4_869_168,
    "mobilenet_v2_torchvision": 2_257_984,
}
"""Name -> numbers without the output layer, the statistics of batch norm included."""
QUICK = ("efficientnet_lite0", "mobilenet_v2_torchvision")
NAMES = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.large]) for name in DESIGNS]


@functools.cache
def network(name):
    return builder.build(name)


def _square(image, size):
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return tf.image.resize(
        image[top : top + side, left : left + side], (size, size), antialias=True
    )


def photos(size):
    """float32[5, size, size, 3]: a cup, a man with a camera, a palace, a flower, a cat."""
    china, flower = load_sample_images().images
    camera = np.repeat(data.camera()[..., None], 3, axis=-1)
    images = (data.coffee(), camera, china, flower, data.cat())
    return tf.stack([_square(image, size) for image in images])


@pytest.mark.parametrize("name", NAMES)
def test_classes_of_the_sample_photos(name):
    backbone = network(name)
    model = keras.Model(backbone.inputs, list(backbone.taps.values())[-1])
    features = model({"image": photos(backbone.image_size_px)}, training=False)
    top = safetensors.numpy.load_file(inverted_bottlenecks.packaged_weights(name))
    logits = features.numpy().mean((1, 2)) @ top["predictions/kernel"] + top["predictions/bias"]
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    assert list(shares.argmax(1)) == [ESPRESSO, TRIPOD, PALACE, DAHLIA_AS[name], EGYPTIAN_CAT]
    np.testing.assert_allclose(shares.max(1)[:2], SHARES[name], atol=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_size_is_the_published_one(name):
    backbone = network(name)
    named = functional.named_weights(backbone.layers).values()
    assert sum(int(np.prod(w.shape)) for w in named) == COUNTS[name]
    side = -(-backbone.image_size_px // 32)
    assert list(backbone.taps.values())[-1].shape == (None, side, side, 1280)
    assert [group.name for group in backbone.groups] == ["stem", *backbone.taps]


def test_stages_of_mobilenet_end_where_those_of_keras_do():
    shapes = [tensor.shape for tensor in network("mobilenet_v2_torchvision").taps.values()]
    assert [shape[1] for shape in shapes] == [112, 56, 28, 14, 7]
    assert [shape[3] for shape in shapes] == [16, 24, 32, 96, 1280]


def test_sides_below_224_work():
    small = builder.build("efficientnet_lite0", weights="none", image_size_px=96)
    assert small.taps["stage_7"].shape == (None, 3, 3, 1280) and not small.pretrained


@pytest.mark.parametrize("side", [8, 7])
@pytest.mark.parametrize(
    "name, before", [("mobilenet_v2_torchvision", 1), ("efficientnet_lite0", 0)]
)
def test_the_border_of_a_strided_convolution(name, before, side):
    """That of PyTorch is the same on all sides; "same" pads an even image below and on the right alone."""
    design = DESIGNS[name]
    pixels = keras.Input((side, side, 1))
    x = inverted_bottlenecks._block(design, pixels, Blocks(1, 3, 2, 1, 1), 2, "b")
    model = keras.Model(pixels, x)
    (conv,) = [layer for layer in model.layers if layer.name == "b_depthwise_conv"]
    image = np.random.default_rng(0).normal(size=(side, side)).astype("float32")
    found = keras.Model(pixels, conv.output)(image[None, :, :, None]).numpy()[0, :, :, 0]
    before = 1 if side % 2 else before
    total = (len(found) - 1) * 2 + 3 - side
    padded = np.pad(image, (before, max(total - before, 0)))
    kernel = conv.get_weights()[0][:, :, 0, 0]
    expected = signal.correlate2d(padded, kernel, mode="valid")[::2, ::2]
    np.testing.assert_allclose(found, expected, atol=1e-5)
