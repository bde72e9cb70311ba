"""Low-rank updates against numpy: sizes, the start, the sum, merging and taking away."""

import keras
import numpy as np
import pytest

from tltf.graphs.layers import in_place, lora

EINSUM = {
    "heads out": ("abc,cde->abde", (None, 3, 4), (2, 5, 6), (6, 12)),
    "heads in": ("abcd,cde->abe", (None, 7), (2, 5, 3, 4), (12, 7)),
    "plain": ("ab,bc->ac", (7,), (5, 6), (6, 7)),
    "outputs first": ("ab,cb->ac", (7,), (5, 6), (6, 7)),
}


def built(layer, shape):
    layer.build((None, *shape[1:]))
    return layer


def cases():
    image = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    flat = np.random.default_rng(1).normal(size=(5, 6)).astype("float32")
    ids = np.array([[0, 3, 3], [1, 8, 0]])
    yield "dense", keras.layers.Dense(4, "relu"), flat, (6, 4)
    yield "conv", keras.layers.Conv2D(5, 3, padding="same"), image, (27, 5)
    yield "grouped", keras.layers.Conv2D(6, 3, groups=3), image, (9, 6)
    yield "depthwise", keras.layers.DepthwiseConv2D(3, depth_multiplier=2), image, (9, 6)
    yield "separable", keras.layers.SeparableConv2D(5, 3, depth_multiplier=2), image, (6, 5)
    yield "separable in a line", keras.layers.SeparableConv1D(5, 3), image[:, 0], (3, 5)
    yield "embedding", keras.layers.Embedding(9, 4), ids, (9, 4)
    for name, (equation, output, shape, matrix) in EINSUM.items():
        inputs = np.random.default_rng(2).normal(size=shape).astype("float32")
        yield (
            name,
            keras.layers.EinsumDense(
                equation, output, bias_axes="e" if "e" in equation.split("->")[1] else "c"
            ),
            inputs,
            matrix,
        )


CASES = {name: rest for name, *rest in cases()}


@pytest.fixture(params=CASES)
def case(request):
    keras.utils.set_random_seed(3)
    layer, inputs, matrix = CASES[request.param]
    layer = type(layer).from_config(layer.get_config())
    return layer, inputs, np.asarray(layer(inputs)), matrix


def randomise(layer):
    layer.lora_b.assign(np.random.default_rng(4).normal(size=layer.lora_b.shape))


def test_the_matrix_is_inputs_by_outputs(case):
    layer, _, _, matrix = case
    assert in_place.matrix_shape(layer) == matrix


def test_the_start_is_the_base_exactly_and_removing_gives_it_back(case):
    layer, inputs, before, _ = case
    kind, names = type(layer), [v.path for v in layer.weights]
    lora.add(layer, 2, 3.0)
    assert lora.has_update(layer)
    np.testing.assert_array_equal(layer(inputs), before)
    randomise(layer)
    assert np.abs(np.asarray(layer(inputs)) - before).max() > 1e-3
    lora.remove(layer)
    assert type(layer) is kind and [v.path for v in layer.weights] == names
    np.testing.assert_array_equal(layer(inputs), before)


def test_the_sum_is_that_of_the_equation(case):
    """The same layer with the kernel W + s A B, put together in numpy."""
    layer, inputs, _, (num_inputs, num_outputs) = case
    lora.add(layer, 2, 0.7)
    randomise(layer)
    a, b = layer.lora_a.numpy(), layer.lora_b.numpy()
    assert a.shape == (num_inputs, 2) and b.shape == (2, num_outputs)
    kernel = in_place.kernel_of(layer).numpy()
    if getattr(layer, "equation", "") == EINSUM["outputs first"][0]:
        summed = kernel + 0.7 * (a @ b).T
    else:
        summed = kernel + 0.7 * (a @ b).reshape(kernel.shape)
    found = np.asarray(layer(inputs))
    lora.remove(layer)
    in_place.kernel_of(layer).assign(summed)
    np.testing.assert_allclose(found, layer(inputs), rtol=1e-5, atol=1e-5)


def test_merged_is_unmerged(case):
    layer, inputs, before, _ = case
    kind = type(layer)
    lora.add(layer, 3, 1.0)
    randomise(layer)
    unmerged = np.asarray(layer(inputs))
    lora.merge(layer)
    assert type(layer) is kind and not lora.has_update(layer)
    np.testing.assert_allclose(layer(inputs), unmerged, rtol=1e-5, atol=1e-5)
    assert np.abs(np.asarray(layer(inputs)) - before).max() > 1e-3


def test_gradients_reach_the_update_only(case):
    import tensorflow as tf

    layer, inputs, _, _ = case
    lora.add(layer, 2, 1.0)
    randomise(layer)
    in_place.kernel_of(layer).trainable = False
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(layer(inputs) ** 2)
    gradients = tape.gradient(loss, [layer.lora_a.value, layer.lora_b.value])
    assert all(np.abs(tf.convert_to_tensor(g)).max() > 0 for g in gradients)
    assert in_place.kernel_of(layer).path not in {v.path for v in layer.trainable_weights}


def test_layers_inside_of_layers():
    import keras_hub

    encoder = keras_hub.layers.TransformerEncoder(16, 2)
    inputs = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    before = np.asarray(encoder(inputs))
    inner = [x for x in encoder._flatten_layers() if x.name in ("query", "value")]
    for layer in inner:
        assert in_place.matrix_shape(layer) == (8, 8)
        lora.add(layer, 2, 1.0)
    names = [v.path for v in encoder.weights if "lora" in v.path]
    assert len(names) == 4 and any("query/lora_a" in name for name in names)
    np.testing.assert_array_equal(encoder(inputs), before)
    for layer in inner:
        randomise(layer)
    changed = np.asarray(encoder(inputs))
    assert np.abs(changed - before).max() > 1e-3
    for layer in inner:
        lora.merge(layer)
    np.testing.assert_allclose(encoder(inputs), changed, rtol=1e-4, atol=1e-5)


def test_the_published_size():
    """Queries and values of MiniLM at rank 8: 73,728 numbers, 6 * 2 * 8 * (384 + 384)."""
    attention = keras.layers.MultiHeadAttention(12, 32)
    attention.build((None, 5, 384), (None, 5, 384))
    sizes = [
        8 * sum(in_place.matrix_shape(getattr(attention, name)))
        for name in ("_query_dense", "_value_dense")
    ]
    assert 6 * sum(sizes) == 73_728
