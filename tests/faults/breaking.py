"""Data and a network, named on the command line, that break a training."""

import keras
import numpy as np
import tensorflow as tf

from tltf.backbones.network import SCALINGS, Network
from tltf.data.source import Column, ScanCounts, Source, one_label_field

NUM_TRAIN, NUM_JUDGED = 32, 8


def pictures(settings, broken=()):
    """Noise of two brightnesses, float32[48, 8, 8, 1]; pictures `broken` have one NaN each.

    The first 32 are for training, then 8 for validation, then 8 for tests.
    """
    count = NUM_TRAIN + 2 * NUM_JUDGED
    labels = (np.arange(count) % 2).astype(np.int32)
    images = np.random.default_rng(0).uniform(0, 99, (count, 8, 8, 1)).astype(np.float32)
    images += 99 * labels[:, None, None, None]
    images[list(broken), 3, 3, 0] = np.nan
    ids = [f"picture {number}" for number in range(count)]
    roles = ["train"] * NUM_TRAIN + ["validation"] * NUM_JUDGED + ["test"] * NUM_JUDGED
    return Source(
        "pictures",
        {"image": Column("array", images)},
        one_label_field(labels, ("dark", "light")),
        ids,
        np.array(roles),
        ScanCounts(count),
    )


class Greedy(keras.layers.Layer):
    """Its input, and the mean of more numbers than any machine addresses."""

    def __init__(self, is_training):
        super().__init__(name="greedy")
        self.is_training = is_training

    def call(self, x, training=False):
        """float32[B, S, S, 1]."""
        if training != self.is_training:
            return x
        return x + tf.reduce_mean(tf.tile(tf.reshape(x, [-1])[:1], [2**46]))

    def compute_output_shape(self, shape):
        """As the input's."""
        return shape


def greedy(request, is_training=True):
    """A convolution above a Greedy that takes its memory in training, or else in evaluation."""
    return _below(Greedy(is_training), request)


def plain(request):
    """A convolution without a relu, which TensorFlow computes as if NaN were 0."""
    return _below(keras.layers.Identity(), request)


def overflowing(request):
    """A convolution above numbers that are beyond float32."""
    return _below(
        keras.Sequential([keras.layers.Rescaling(1e38), keras.layers.Rescaling(1e38)]), request
    )


def _below(layer, request):
    size = request.image_size_px
    pixels = keras.Input((size, size, 1))
    x = keras.layers.Conv2D(4, 3, name="conv_1")(layer(pixels))
    return Network(
        inputs={"image": pixels},
        points={"stage_1": [x]},
        taps={"stage_1": x},
        pretrained=False,
        scaling=SCALINGS["unit"],
        image_size_px=size,
        channels=1,
    )
