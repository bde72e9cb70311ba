"""Graphs: replayed flat, shared weights, the same names in each build."""

import keras
import numpy as np
import pytest

from tltf.errors import ShapeError
from tltf.graphs import functional


def _nested():
    inner_in = keras.Input((8,))
    inner = keras.Model(inner_in, keras.layers.Dense(8, name="inner")(inner_in), name="nested")
    tail = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, name="last")], name="tail")
    pixels = keras.Input((4,))
    x = keras.layers.Dense(8, activation="relu")(pixels)
    x = inner(x) + inner(x * 2.0)
    return keras.Model(pixels, tail(keras.layers.Dropout(0.5)(x)))


def test_replay_is_flat_and_shares_the_layers():
    model = _nested()
    fresh = keras.Input((4,), name="fresh")
    (output,) = functional.replay(list(model.outputs), [(model.inputs[0], fresh)])
    flat = keras.Model(fresh, output)
    assert not [layer for layer in flat.layers if isinstance(layer, keras.Model)]
    assert {id(v) for v in flat.weights} == {id(v) for v in model.weights}
    values = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    np.testing.assert_array_equal(flat(values, training=False), model(values, training=False))


def test_replay_names_a_missing_input():
    model = _nested()
    with pytest.raises(ShapeError, match="is not given"):
        functional.replay(list(model.outputs), [])


def test_counted_names_are_the_same_in_each_build():
    names = []
    for _ in range(2):
        model = _nested()
        functional.name_for_good(list(model.outputs))
        names.append([item.name for item in functional.operations(list(model.outputs))][1:])
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])
    assert "backbone_dense" in names[0]


def test_named_weights_are_the_same_in_each_build():
    def build():
        model = _nested()
        functional.name_for_good(list(model.outputs))
        return functional.named_weights(functional.layers(list(model.outputs)))

    first, second = build(), build()
    assert list(first) == list(second)
    assert "backbone_dense/kernel" in first


def test_a_layer_belongs_to_the_first_point_that_needs_it():
    pixels = keras.Input((4,))
    a = keras.layers.Dense(4, name="a")(pixels)
    b = keras.layers.Dense(4, name="b")(a)
    c = keras.layers.Add(name="c")([a, b])
    points = functional.layers_by_point({"stem": [a], "stage_1": [b], "empty": [b], "stage_2": [c]})
    found = {name: [layer.name for layer in group] for name, group in points.items()}
    assert found == {"stem": ["a"], "stage_1": ["b"], "stage_2": ["c"]}
