"""Statistics computed anew, against numpy over the whole data."""

import keras
import numpy as np

from tests.training.fit_test import feed, fit
from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.graphs import batch_norm_statistics

EPSILON = 1e-3


def network():
    """Two dense layers with batch norm, and dropout between them."""
    inputs = keras.Input((4,), name="x")
    first, second = (keras.layers.BatchNormalization(name=f"norm_{n}") for n in (1, 2))
    dense = keras.layers.Dense(5, name="dense")
    x = keras.layers.Dropout(0.5)(keras.ops.relu(first(inputs)))
    model = keras.Model({"x": inputs}, second(dense(x)))
    for norm in (first, second):
        norm.gamma.assign(np.linspace(0.5, 2, norm.gamma.shape[0]))
        norm.moving_mean.assign(np.full(norm.gamma.shape, 7.0))
    return model, (first, second)


def test_they_are_those_of_all_examples_with_still_weights_and_no_dropout():
    model, norms = network()
    rows = np.random.default_rng(0).normal(2.0, 3.0, (50, 4)).astype("float32")
    batches = [rows[:20], rows[20:40], rows[40:]]
    found = batch_norm_statistics.recalibrate(
        model, [({"x": part}, None) for part in batches], norms
    )
    assert found == 50
    first, second = norms
    np.testing.assert_allclose(first.moving_mean, rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(first.moving_variance, rows.var(axis=0), rtol=1e-5)
    dense = model.get_layer("dense")
    between = []
    for part in batches:  # each batch is normalised by its own statistics
        normed = (part - part.mean(axis=0)) / np.sqrt(part.var(axis=0) + EPSILON)
        between.append(np.maximum(normed * first.gamma + first.beta, 0) @ dense.kernel + dense.bias)
    between = np.concatenate(between)
    np.testing.assert_allclose(second.moving_mean, between.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second.moving_variance, between.var(axis=0), rtol=1e-4)
    assert [norm.momentum for norm in norms] == [0.99, 0.99]
    assert [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)] == [0.5]


def test_a_run_ends_with_the_statistics_of_its_last_weights():
    """A momentum of .9 over nine steps still holds the pretraining's statistics."""
    data = feed()
    running, _, _ = fit(data=data, dropout=0.0)
    core, _, _ = fit(data=data, dropout=0.0, norm="recalibrate")
    for first, second in zip(running.model.weights, core.model.weights, strict=True):
        if "moving" not in first.path:
            np.testing.assert_array_equal(first, second, err_msg=first.path)
    images = np.concatenate([batch[0]["image"] for batch in data.training(0, 1)])
    conv, norm = core.model.get_layer("conv_1"), core.model.get_layer("norm_1")
    outputs = np.asarray(conv(images / 127.5 - 1))
    np.testing.assert_allclose(norm.moving_mean, outputs.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, outputs.var(axis=(0, 1, 2)), rtol=1e-3)
    assert np.abs(running.model.get_layer("norm_1").moving_mean - norm.moving_mean).max() > 1e-3


def test_frozen_norms_stay_as_they_are():
    core, run, _ = fit(
        method=call_strings.pick(METHODS, "partial(last_groups=1)").build(), norm="recalibrate"
    )
    norm_1, norm_2 = (core.model.get_layer(name) for name in ("norm_1", "norm_2"))
    assert not norm_1.moving_mean.numpy().any() and (norm_1.moving_variance.numpy() == 1).all()
    assert norm_2.moving_mean.numpy().any()
    assert norm_2.moving_mean.path.replace("norm_2", "norm_1") not in run.moved
