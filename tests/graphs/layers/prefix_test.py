"""A prefix of keys and values against attention written out in numpy."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from tltf.graphs.layers import prefix

INPUTS = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


@pytest.fixture(params=[0.0, 0.2], ids=["fused", "with dropout"])
def layer(request):
    keras.utils.set_random_seed(1)
    attention = keras.layers.MultiHeadAttention(2, 3, value_dim=4, dropout=request.param)
    attention.build(INPUTS.shape, INPUTS.shape)
    return attention


def by_hand(layer, mask):
    """softmax(q [P_k; k]^T / sqrt(3)) [P_v; v], projected."""
    project = lambda dense: np.einsum("bsd,dhk->bshk", INPUTS, dense.kernel) + dense.bias  # noqa: E731
    query, key, value = map(project, (layer._query_dense, layer._key_dense, layer._value_dense))
    before = lambda prefix, x: np.concatenate([np.stack([prefix] * 2), x], axis=1)  # noqa: E731
    key, value = before(layer.prefix_keys, key), before(layer.prefix_values, value)
    scores = np.einsum("bthk,bshk->bhts", query, key) / np.sqrt(3)
    seen = np.concatenate([np.ones((2, 5, 3), bool), mask], axis=-1)[:, None]
    weights = np.exp(np.where(seen, scores, -np.inf))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed = np.einsum("bhts,bshv->bthv", weights, value)
    output = layer._output_dense
    return np.einsum("bthv,hvd->btd", mixed, output.kernel) + output.bias


def randomise(layer):
    for number, name in enumerate((prefix.KEYS, prefix.VALUES)):
        variable = getattr(layer, name)
        variable.assign(np.random.default_rng(number).normal(size=variable.shape))


def test_it_computes_the_equation(layer):
    prefix.add(layer, 3)
    randomise(layer)
    whole = np.ones((2, 5, 5), bool)
    expected = by_hand(layer, whole)
    np.testing.assert_allclose(layer(INPUTS, INPUTS), expected, rtol=1e-4, atol=1e-5)
    mask = np.broadcast_to(np.arange(5) < np.array([[3], [5]]), (2, 5)).reshape(2, 1, 5)
    found = layer(INPUTS, INPUTS, attention_mask=np.broadcast_to(mask, (2, 5, 5)))
    expected = by_hand(layer, np.broadcast_to(mask, (2, 5, 5)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    found = layer(INPUTS, INPUTS, use_causal_mask=True)
    causal = np.broadcast_to(np.tril(np.ones((5, 5), bool)), (2, 5, 5))
    np.testing.assert_allclose(found, by_hand(layer, causal), rtol=1e-4, atol=1e-5)


def test_removing_gives_the_layer_back(layer):
    kind, names = type(layer), [v.path for v in layer.weights]
    before = np.asarray(layer(INPUTS, INPUTS))
    prefix.add(layer, 3)
    randomise(layer)
    assert np.abs(np.asarray(layer(INPUTS, INPUTS)) - before).max() > 1e-3
    prefix.remove(layer)
    assert type(layer) is kind and [v.path for v in layer.weights] == names
    np.testing.assert_array_equal(layer(INPUTS, INPUTS), before)


def test_keys_values_and_layers_start_as_numbers_of_their_own():
    """Else a gradient through one is the only thing that tells them apart."""
    starts = []
    for _ in range(2):
        attention = keras.layers.MultiHeadAttention(2, 3, value_dim=3)
        attention.build(INPUTS.shape, INPUTS.shape)
        prefix.add(attention, 200)
        starts += [attention.prefix_keys.numpy().ravel(), attention.prefix_values.numpy().ravel()]
    correlations = np.corrcoef(starts) - np.eye(4)
    assert np.abs(correlations).max() < 0.2
    assert np.std(starts, axis=1) == pytest.approx(0.02, rel=0.1)


START = """
import keras, numpy as np
from tltf.backbones.prompt import SoftPrompt
from tltf.graphs.layers import prefix
keras.utils.set_random_seed(3)
attention = keras.layers.MultiHeadAttention(2, 3)
attention.build((1, 5, 8), (1, 5, 8))
prefix.add(attention, 2)
prompt = SoftPrompt(2)
prompt.build((1, 5, 8), (1, 5))
sums = [np.abs(v.numpy()).sum() for v in (attention.prefix_keys, attention.prefix_values, prompt.vectors)]
print(*(f"{value:.6f}" for value in sums))
"""


def test_the_seed_decides_the_start_in_every_process():
    """An initializer made at import draws its seed before anything can set one."""
    command = [sys.executable, "-c", START]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate()[0] for process in started)
    assert first == second and len(first.split()) == 3
