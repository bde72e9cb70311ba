"""Factors on outputs and inputs against numpy, and merging."""

import keras
import numpy as np
import pytest

from tltf.graphs.layers import ia3, in_place

FLAT = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
TOKENS = np.random.default_rng(1).normal(size=(2, 5, 6)).astype("float32")
HEADS = np.random.default_rng(2).normal(size=(2, 5, 3, 4)).astype("float32")
CASES = {
    "dense": (lambda: keras.layers.Dense(4), FLAT),
    "without bias": (lambda: keras.layers.Dense(4, use_bias=False), FLAT),
    "heads out": (
        lambda: keras.layers.EinsumDense("abc,cde->abde", (None, 3, 4), bias_axes="de"),
        TOKENS,
    ),
    "heads in": (
        lambda: keras.layers.EinsumDense("abcd,cde->abe", (None, 7), bias_axes="e"),
        HEADS,
    ),
    "outputs first": (lambda: keras.layers.EinsumDense("ab,cb->ac", (7,), bias_axes="c"), FLAT),
}


@pytest.fixture(params=CASES)
def case(request):
    keras.utils.set_random_seed(3)
    make, inputs = CASES[request.param]
    layer = make()
    layer(inputs)
    if layer.bias is not None:
        layer.bias.assign(np.random.default_rng(5).normal(size=layer.bias.shape))
    return layer, inputs, np.asarray(layer(inputs))


@pytest.mark.parametrize("side", ["outputs", "inputs"])
def test_it_computes_the_equation_and_merges_it(case, side):
    layer, inputs, before = case
    kind, names, bias = type(layer), [v.path for v in layer.weights], layer.bias
    ia3.add(layer, side)
    np.testing.assert_array_equal(layer(inputs), before)
    factors = np.random.default_rng(6).normal(size=layer.ia3_scale.shape).astype("float32")
    layer.ia3_scale.assign(factors)
    found = np.asarray(layer(inputs))
    ia3.remove(layer)
    assert type(layer) is kind and [v.path for v in layer.weights] == names
    assert layer.bias is bias
    if side == "outputs":
        expected = before * factors.reshape(
            before.shape[-(len(before.shape) - len(leading(layer))) :]
        )
    else:
        rank = 2 if in_place.input_axes(layer)[1] == 2 else 1
        expected = layer(inputs * factors.reshape(inputs.shape[-rank:]))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    ia3.add(layer, side)
    layer.ia3_scale.assign(factors)
    ia3.merge(layer)
    assert type(layer) is kind and [v.path for v in layer.weights] == names
    np.testing.assert_allclose(layer(inputs), found, rtol=1e-5, atol=1e-5)


def leading(layer):
    """The axes of the outputs that are not scaled: those of batch and position."""
    if isinstance(layer, keras.layers.Dense):
        return "a"
    kernel = layer.equation.split(",")[1].split("->")[0]
    return [label for label in layer.equation.split("->")[1] if label not in kernel]


def test_gradients_reach_the_factors(case):
    import tensorflow as tf

    layer, inputs, _ = case
    ia3.add(layer, "outputs")
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(layer(inputs) ** 2)
    gradient = tape.gradient(loss, layer.ia3_scale.value)
    assert np.abs(gradient).min() > 0
