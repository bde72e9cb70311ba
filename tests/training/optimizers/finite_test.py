"""What a step notes of its loss and gradients; counts against steps known to be broken."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tltf.config.options import make
from tltf.training.optimizers import finite
from tltf.training.optimizers import optimizer as optimizers_optimizer
from tltf.training.optimizers.finite import GRADIENT, LOSS


@tf.custom_gradient
def with_gradient_of_infinity(x):
    """x; where its first number is above 9 the gradient is infinite, the value is not."""
    factor = tf.where(tf.reduce_max(x) > 9, np.inf, 1.0)
    return tf.identity(x), lambda upstream: upstream * factor


class Breaking(keras.layers.Layer):
    """Its input, see `with_gradient_of_infinity`."""

    def call(self, x):
        return with_gradient_of_infinity(x)


def model(is_scaled=False, together=1, momentum=0.9):
    keras.utils.set_random_seed(0)
    image = keras.Input((3,))
    x = Breaking()(keras.layers.Dense(2, kernel_initializer="ones", name="first")(image))
    found = keras.Model(image, keras.layers.Dense(1, name="second")(x))
    options = make(optimizer="sgd", momentum=momentum, weight_decay=0.0)
    optimizer = optimizers_optimizer.build(options.train, {}, 0.01, is_scaled=is_scaled)
    found.compile(optimizer, "mse", jit_compile=False, steps_per_execution=together)
    optimizer.build(found.trainable_variables)
    return found


def train(found, *values):
    """A step on each value, which all inputs of its batch have."""
    x = np.repeat(np.array(values, "float32"), 4)[:, None] * np.ones(3, "float32")
    found.fit(x, np.zeros(len(x)), batch_size=4, shuffle=False, verbose=0)


@pytest.mark.parametrize("together", [1, 4])
@pytest.mark.parametrize(
    "values,first",
    [
        ((0.1, 0.1, np.nan, 0.1), (2, LOSS)),
        ((0.1, 5.0, 0.1, 0.1), (1, GRADIENT)),
        ((0.1, 0.1, 0.1, 0.1), None),
    ],
)
def test_the_first_broken_step_is_found_also_among_steps_that_run_together(values, first, together):
    found = model(together=together)
    train(found, *values)
    assert found.optimizer.broken.read(4) == first


def test_checkpoints_do_not_hold_the_notes():
    found = model()
    assert not {"finite_sums", "finite_steps"} & {v.name for v in found.optimizer.variables}


def test_squares_are_half_the_squared_norm():
    first, second = np.array([[1.0, 2.0]], "float32"), np.array([3.0], "float32")
    assert float(finite.squares([tf.constant(first), None, tf.constant(second)])) == 7.0
    assert float(finite.squares([tf.constant([1e25])])) == np.inf, "Adam would square it too"


def test_a_step_that_is_skipped_changes_nothing_but_the_scale():
    skipping, plain = model(is_scaled=True), model(is_scaled=True)
    train(skipping, 0.1, 5.0, 5.0, 0.2)
    train(plain, 0.1)
    plain.optimizer.dynamic_scale.assign(plain.optimizer.dynamic_scale / 4)
    train(plain, 0.2)
    for one, other in zip(skipping.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    counts = [skipping.optimizer.num_skipped, skipping.optimizer.num_skipped_in_a_row]
    assert [int(count.numpy()) for count in counts] == [2, 0]
    assert int(skipping.optimizer.iterations.numpy()) == 2
    assert skipping.optimizer.broken.read(4) is None, "a skipped step is not a broken one"
    assert {"num_skipped", "num_skipped_in_a_row"} <= {
        v.name for v in skipping.optimizer.variables
    }, "a run that goes on goes on counting"


def test_too_many_skipped_in_a_row_are_remembered(monkeypatch):
    monkeypatch.setattr(finite, "MOST_SKIPPED", 3)
    found = model(is_scaled=True, together=6)
    train(found, 0.1, 5.0, 5.0, 0.1, 5.0, 0.1)
    assert int(found.optimizer.num_skipped_in_a_row.numpy()) == 0
    train(found, 5.0, 5.0, 5.0, 0.1, 0.1, 0.1)
    assert int(found.optimizer.num_skipped_in_a_row.numpy()) == 3


def test_a_loss_that_is_not_finite_is_noted_in_float16_too():
    found = model(is_scaled=True)
    train(found, 0.1, np.inf)
    assert found.optimizer.broken.read(2) == (1, LOSS)


@pytest.mark.large
@pytest.mark.parametrize("meeting", [[], ["merging"]])
def test_two_devices_skip_a_step_together(meeting):
    """SGD by hand; the step with the infinite row is left out."""
    command = [sys.executable, "-m", "tests.loss_scale_script", "tltf", *meeting]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    kernel, bias = np.ones(4), 0.0
    for _ in range(2):  # mean over rows of (sum(kernel) + bias)^2, all inputs 1
        slope = 2 * (kernel.sum() + bias)
        kernel, bias = kernel - 0.125 * slope, bias - 0.125 * slope
    for device in found["weights"]:
        np.testing.assert_allclose(np.ravel(device), kernel, rtol=1e-6)
    assert (found["skipped"], found["scale"], found["broken"]) == (1, 2.0**14, [1, "loss"])
