"""Rates of dropout and stochastic depth, seen in what layers give in training."""

import keras
import keras_hub
import numpy as np
import pytest

from tests import tiny
from tltf.backbones import builder
from tltf.errors import FlagError
from tltf.graphs import dropout as graphs_dropout


def rates(layers):
    return [getattr(layer, name) for layer, name in graphs_dropout.find_noise_layers(layers)]


def test_dropout_of_a_network_with_layers_inside_of_layers():
    block = keras_hub.layers.TransformerEncoder(16, 2, dropout=0.0)
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    plain = np.asarray(block(x, training=True))
    np.testing.assert_array_equal(block(x, training=True), plain)
    graphs_dropout.set_rates([block], dropout=0.5)
    assert len(rates([block])) == 3 and set(rates([block])) == {0.5}
    first, second = (np.asarray(block(x, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(block(x, training=False), plain)
    attention = block._self_attention_layer
    outputs = [np.asarray(attention(x, x, training=True)) for _ in range(2)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-4, "attention's own dropout is on too"
    graphs_dropout.set_rates([block], dropout=0.0)
    np.testing.assert_allclose(block(x, training=True), plain, rtol=1e-5, atol=1e-6)


def test_dropped_numbers_have_the_rate():
    backbone = tiny.image_backbone(dropout=0.0)
    layers = all_layers(backbone)
    graphs_dropout.set_rates(layers, dropout=0.4)
    dropout = next(layer for layer in layers if layer.name == "drop_1")
    found = np.asarray(dropout(np.ones((100, 100), "float32"), training=True))
    assert abs((found == 0).mean() - 0.4) < 0.03
    np.testing.assert_allclose(found[found > 0], 1 / 0.6, rtol=1e-6)


def all_layers(backbone):
    return keras.Model(backbone.inputs, backbone.taps).layers


def test_stochastic_depth_rises_with_depth():
    network = builder.build("efficientnet_b0", weights="none", image_size_px=32)
    layers = all_layers(network)
    before = rates(layers)
    graphs_dropout.set_rates(layers, stochastic_depth=0.5)
    after = rates(layers)
    assert len(after) == len(before) == 9, "B0 has nine residual branches"
    np.testing.assert_allclose(after, 0.5 * np.arange(1, 10) / 9)
    layer = graphs_dropout.find_noise_layers(layers)[-1][0]
    ones = np.ones((4000, *[1] * (len(layer.noise_shape) - 2), 3), "float32")
    found = np.asarray(layer(ones, training=True)).reshape(4000, -1)
    assert set(np.unique(found)) == {0.0, 2.0}, "whole examples, scaled by 1 / (1 - rate)"
    assert (found.std(axis=1) == 0).all() and abs((found[:, 0] == 0).mean() - 0.5) < 0.05


def test_a_network_without_them():
    with pytest.raises(FlagError, match="no stochastic depth"):
        graphs_dropout.set_rates(all_layers(tiny.image_backbone()), stochastic_depth=0.2)
    with pytest.raises(FlagError, match="no dropout"):
        graphs_dropout.set_rates([keras.layers.Dense(3)], dropout=0.2)
