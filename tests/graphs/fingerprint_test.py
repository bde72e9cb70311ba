"""Equal networks have equal fingerprints, in every process; anything that counts changes them."""

import os
import pathlib
import subprocess
import sys

import keras

from tltf.graphs import fingerprint

ROOT = str(pathlib.Path(__file__).resolve().parents[2])


def model(units=3, activation="relu", epsilon=1e-3, seed=0, swapped=False, axis=1):
    keras.utils.set_random_seed(seed)
    image = keras.Input((4, 4, 2), name="image")
    first = keras.layers.Conv2D(units, 1, activation=activation)(image)
    second = keras.layers.BatchNormalization(epsilon=epsilon)(keras.layers.Conv2D(units, 1)(image))
    parts = [second, first] if swapped else [first, second]
    joined = keras.ops.mean(keras.ops.subtract(*parts), axis=axis)
    return keras.Model({"image": image}, {"out": joined})


def test_equal_networks_whatever_was_built_before():
    first = fingerprint.hash_model(model())
    keras.layers.Dense(2)
    assert fingerprint.hash_model(model()) == first


def test_another_process_finds_the_same():
    code = (
        "from tests.graphs import fingerprint_test as t; print(t.fingerprint.hash_model(t.model()))"
    )
    env = {**os.environ, "PYTHONPATH": ROOT, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == fingerprint.hash_model(model())


def test_what_counts():
    changes = [
        {"units": 4},
        {"activation": "tanh"},
        {"epsilon": 1e-2},
        {"seed": 1},
        {"swapped": True},
        {"axis": 2},
    ]
    found = {fingerprint.hash_model(model(**change)) for change in [{}, *changes]}
    assert len(found) == len(changes) + 1


def test_freezing_does_not_count():
    plain, frozen = model(), model()
    for layer in frozen.layers:
        layer.trainable = False
    assert fingerprint.hash_model(frozen) == fingerprint.hash_model(plain)


def test_an_operation_that_cannot_describe_itself_is_never_met_again():
    class Strange(keras.Operation):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, x):
            return self.inner(x)

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    image = keras.Input((3,))
    odd = keras.Model(image, Strange(lambda x: x + 1)(image))
    assert fingerprint.hash_model(odd) != fingerprint.hash_model(odd)


def test_the_precision_of_a_layer_counts():
    plain, half = model(), model()
    for layer in half.layers:
        layer.dtype_policy = "mixed_bfloat16"
    assert fingerprint.hash_model(half) != fingerprint.hash_model(plain)
