"""Deep embedded validation beside closed forms."""

import keras
import numpy as np
import pytest

from tltf.training import target_risk


def gaussians(num_rows=4000, shift=1.0):
    """Rows of N(0, I) and of N(shift, I), of which the density ratio is exp(shift * (x - shift / 2))."""
    draws = np.random.default_rng(0)
    return draws.normal(0, 1, (num_rows, 1)), draws.normal(shift, 1, (num_rows, 1))


def test_the_weighed_risk_is_that_of_a_regression_at_the_mean_weight_of_one():
    draws = np.random.default_rng(1)
    losses, weights = draws.exponential(1, 50), draws.exponential(1, 50)
    slope, level = np.polyfit(weights, weights * losses, 1)
    assert target_risk.weighed_risk(losses, weights) == pytest.approx(level + slope)
    assert target_risk.weighed_risk(losses, np.ones(50)) == pytest.approx(losses.mean())


def test_density_ratios_are_those_of_two_gaussians():
    source, target = gaussians()
    found = np.log(target_risk.density_ratios(source, target))
    expected = source[:, 0] - 0.5
    slope, level = np.polyfit(expected, found, 1)
    assert slope == pytest.approx(1, abs=0.08)
    assert level == pytest.approx(0, abs=0.08)


def test_ratios_do_not_depend_on_how_many_rows_of_the_target_there_are():
    source, target = gaussians(2000)
    few = target_risk.density_ratios(source, target[:500])
    assert few.mean() == pytest.approx(1, abs=0.2)


def test_the_estimate_is_near_the_loss_on_the_target_and_the_mean_on_the_source_is_not():
    source, target = gaussians()
    found = target_risk.estimate(np.square(source[:, 0]), source, target)
    assert found == pytest.approx(np.square(target).mean(), rel=0.12)
    assert np.square(source).mean() == pytest.approx(1, rel=0.1)


def test_features_are_what_the_last_layer_takes():
    given = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="relu")(given)
    last = keras.layers.Dense(2)
    model = keras.Model(given, {"classify": last(hidden)})
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    features = target_risk.features_model(model, "classify").predict(rows, verbose=0)
    kernel, bias = (variable.numpy() for variable in last.weights)
    np.testing.assert_allclose(
        features @ kernel + bias, model.predict(rows, verbose=0)["classify"], rtol=1e-5, atol=1e-6
    )
