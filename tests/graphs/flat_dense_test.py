"""Dense layers that are computed on all steps at once give the numbers of their formula."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tltf.graphs import flat_dense
from tltf.graphs.flat_dense import flat_dense as flat


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def traced(layer, shape):
    """The layer as a graph that was traced in the block, and the graph's operations."""
    inputs = tf.TensorSpec([None, *shape[1:]], tf.float32)

    def step(x):
        with flat():
            return layer(x)

    graph = tf.function(step, autograph=False).get_concrete_function(inputs)
    return graph, [operation.type for operation in graph.graph.get_operations()]


def randomised(layer, shape):
    layer.build(shape)
    layer.set_weights([numbers(*weight.shape, seed=n) for n, weight in enumerate(layer.weights)])
    return layer


@pytest.mark.parametrize("length", [5, None])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_a_dense_layer_is_one_product(length, activation):
    layer = randomised(keras.layers.Dense(7, activation=activation), (None, length, 4))
    graph, kinds = traced(layer, (None, length, 4))
    assert "MatMul" in kinds and not {"BatchMatMulV2", "Tensordot"} & set(kinds)
    assert graph.structured_outputs.shape.as_list() == [None, length, 7]
    x = numbers(3, 5, 4)
    kernel, bias = layer.get_weights()
    wanted = x @ kernel + bias
    found = graph(tf.constant(x))
    np.testing.assert_allclose(found, np.maximum(wanted, 0) if activation else wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "output", "bias", "shape"),
    [
        ("abc,cde->abde", (None, 2, 3), "de", (3, 5, 4)),
        ("abcd,cde->abe", (None, 6), "e", (3, 5, 2, 4)),
        ("abc,cd->abd", (None, 6), None, (3, 5, 4)),
    ],
)
def test_the_equations_of_attention_are_one_product(equation, output, bias, shape):
    layer = keras.layers.EinsumDense(equation, output, bias_axes=bias)
    layer = randomised(layer, (None, *shape[1:]))
    graph, kinds = traced(layer, (None, None, *shape[2:]))
    assert "MatMul" in kinds and not {"BatchMatMulV2", "Einsum"} & set(kinds)
    x, weights = numbers(*shape), layer.get_weights()
    wanted = np.einsum(equation, x, weights[0]) + (weights[1] if bias else 0)
    np.testing.assert_allclose(graph(tf.constant(x)), wanted, atol=1e-5)


def test_other_equations_and_matrices_are_left_alone():
    other = randomised(keras.layers.EinsumDense("abc,bd->adc", (3, 4)), (None, 5, 4))
    x = numbers(2, 5, 4)
    graph, _ = traced(other, x.shape)
    wanted = np.einsum("abc,bd->adc", x, other.get_weights()[0])
    np.testing.assert_allclose(graph(tf.constant(x)), wanted, atol=1e-5)
    plain = randomised(keras.layers.Dense(3), (None, 4))
    graph, kinds = traced(plain, (2, 4))
    assert "Reshape" not in kinds


def test_layers_are_what_they_were_after_the_block():
    before = keras.layers.Dense.call, keras.layers.EinsumDense.call
    with pytest.raises(RuntimeError), flat_dense.flat_dense():
        assert keras.layers.Dense.call is not before[0]
        raise RuntimeError
    assert (keras.layers.Dense.call, keras.layers.EinsumDense.call) == before


def test_an_update_of_a_kernel_counts():
    from tltf.graphs.layers import lora

    layer = randomised(keras.layers.Dense(6), (None, None, 4))
    lora.add(layer, rank=2, scale=1.0)
    for variable in layer.trainable_variables:
        variable.assign(numbers(*variable.shape, seed=3))
    x = numbers(2, 5, 4)
    graph, _ = traced(layer, x.shape)
    np.testing.assert_allclose(graph(tf.constant(x)), layer(x), atol=1e-4)
