"""Adapters against numpy: the start, the equation, the places and taking them out."""

import keras
import numpy as np
import pytest
from scipy.special import erf

from tltf.graphs.layers import adapter, in_place

FLAT = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
HEADS = np.random.default_rng(1).normal(size=(2, 5, 3, 4)).astype("float32")
IMAGE = np.random.default_rng(2).normal(size=(2, 6, 6, 3)).astype("float32")
CASES = {
    "dense": (lambda: keras.layers.Dense(4, "relu"), FLAT, 4),
    "heads in": (
        lambda: keras.layers.EinsumDense("abcd,cde->abe", (None, 7), bias_axes="e"),
        HEADS,
        7,
    ),
    "conv": (lambda: keras.layers.Conv2D(5, 3, padding="same"), IMAGE, 5),
}


@pytest.fixture(params=CASES)
def case(request):
    keras.utils.set_random_seed(3)
    make, inputs, width = CASES[request.param]
    layer = make()
    return layer, inputs, np.asarray(layer(inputs)), width


def test_the_start_is_the_base_exactly_and_removing_gives_it_back(case):
    layer, inputs, before, _ = case
    kind, names = type(layer), [v.path for v in layer.weights]
    adapter.add(layer, 2)
    assert adapter.has_adapter(layer)
    np.testing.assert_array_equal(layer(inputs), before)
    layer.adapter_up.assign(layer.adapter_up + 1.0)
    assert np.abs(np.asarray(layer(inputs)) - before).max() > 1e-3
    adapter.remove(layer)
    assert type(layer) is kind and [v.path for v in layer.weights] == names
    np.testing.assert_array_equal(layer(inputs), before)


def test_it_computes_the_equation(case):
    layer, inputs, before, width = case
    adapter.add(layer, 3)
    rng = np.random.default_rng(4)
    shapes = [(width, 3), (3,), (3, width), (width,)]
    arrays = [rng.normal(size=shape) for shape in shapes]
    for name, array in zip(adapter.NAMES, arrays, strict=True):
        getattr(layer, name).assign(array)
    down, down_bias, up, up_bias = arrays
    small = before @ down + down_bias
    small = small * (1 + erf(small / np.sqrt(2))) / 2
    expected = before + small @ up + up_bias
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-3, atol=2e-3)


def test_the_published_size():
    """Two bottlenecks of 32 in each of six blocks of width 384: 299,904 numbers."""
    layer = keras.layers.Dense(384)
    layer.build((None, 10))
    plain = layer.count_params()
    adapter.add(layer, 32)
    assert 12 * (layer.count_params() - plain) == 299_904


def test_what_takes_none():
    embedding, depthwise = keras.layers.Embedding(3, 4), keras.layers.DepthwiseConv2D(3)
    first = keras.layers.Conv2D(2, 3, data_format="channels_first")
    for layer in (embedding, depthwise, first, keras.layers.Dropout(0.1)):
        assert not adapter.takes_adapter(layer)
    assert in_place.has_kernel(embedding)
