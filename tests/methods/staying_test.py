"""Penalties and mixtures that keep weights near their start, against numpy."""

import dataclasses

import keras
import numpy as np
import pytest
from scipy import special

from tests import tiny
from tests.training.fit_test import feed, fit
from tltf.errors import FlagError
from tltf.graphs import freezing
from tltf.methods import fine_tuning as plain
from tltf.methods import l2_sp, probe, schedules, wise_ft
from tltf.methods.context import FitContext
from tltf.methods.method import TrainingOutcome


def test_the_penalty_is_that_of_the_equation():
    keras.utils.set_random_seed(0)
    core = tiny.core()
    method = l2_sp.l2_sp(alpha=0.3, beta=0.2)
    model = method.prepare(core, FitContext()).model
    freezing.apply(core.groups, method.phases(core)[0].rules)
    start = {v.path: v.numpy() for v in core.model.trainable_weights}
    rng = np.random.default_rng(0)
    for variable in core.model.trainable_weights:
        variable.assign_add(rng.normal(size=variable.shape).astype("float32"))
    expected = 0.0
    for variable in core.model.trainable_weights:
        now = variable.numpy()
        if variable.path.startswith("label"):
            expected += 0.1 * (now**2).sum()
        else:
            expected += 0.15 * ((now - start[variable.path]) ** 2).sum()
    trained = tiny.training_model(model, core.groups)
    assert float(sum(trained.losses)) == pytest.approx(expected, rel=1e-5)


def test_it_is_part_of_the_gradient_and_gone_in_the_end():
    core, _, _ = fit(method=l2_sp.l2_sp(alpha=0.1))
    near = distance(core)
    assert not core.model.losses
    assert distance(fit(method=l2_sp.l2_sp(alpha=30.0, beta=0.0))[0]) < 0.5 * near


def distance(core):
    """Of the backbone's kernels from those that the seed gives."""
    keras.utils.set_random_seed(0)
    start = tiny.core()
    return sum(
        float(
            np.square(core.model.get_layer(name).kernel - start.model.get_layer(name).kernel).sum()
        )
        for name in ("conv_1", "conv_2")
    )


def outcome(accuracies):
    """`(variables, TrainingOutcome)` on a way from 0 to 1 where validation likes `accuracies[share]`."""
    variable = keras.Variable(np.ones(3, "float32"))
    start = {"w": np.zeros(3, "float32")}

    def measure():
        share = round(float(variable.numpy()[0]), 2)
        return 1.0, accuracies.get(share, 0.0)

    return variable, TrainingOutcome({"w": variable}, start, measure if accuracies else None)


@pytest.mark.parametrize(
    ("accuracies", "chosen"),
    [({0.25: 0.9, 1.0: 0.8}, 0.25), ({1.0: 0.8}, 1.0), ({0.0: 0.7}, 0.0), ({}, 0.5)],
)
def test_wise_ft_takes_what_validation_likes_best(accuracies, chosen):
    method = wise_ft.wise_ft(steps=4)
    variable, given = outcome(accuracies)
    method.finish(None, given)
    assert method.chosen == pytest.approx(chosen)
    np.testing.assert_allclose(variable.numpy(), np.full(3, chosen), rtol=1e-6)


def test_the_mean_point_is_weighed_by_the_likelihood_of_the_rows_at_their_temperature():
    """The logits are softened by the weight, so that the points differ in which classes they take."""
    labels = np.array([0, 1, 1, 0, 2])
    first, last = np.random.default_rng(0).normal(size=(2, 5, 3))
    variable, given = outcome({1.0: 0.5})

    def judged():
        share = variable.numpy()[0]
        return (1 - share) * first + share * last, labels

    def lowest(logits):
        rest = 1 / 7  # Platt's targets
        aims = np.where(np.eye(3)[labels] > 0, 1 - rest, rest / 2)

        def loss(power, aims):
            return -(aims * special.log_softmax(logits / np.exp(power), axis=1)).sum()

        powers = np.linspace(-np.log(20), np.log(20), 20_001)
        power = powers[np.argmin([loss(power, aims) for power in powers])]
        return loss(power, np.eye(3)[labels])

    method = wise_ft.wise_ft(steps=4, choice="mean")
    method.finish(None, dataclasses.replace(given, judged=judged))
    shares = np.arange(5) / 4
    likelihoods = np.exp([-lowest((1 - a) * first + a * last) for a in shares])
    assert method.chosen == pytest.approx(likelihoods @ shares / likelihoods.sum(), rel=1e-3)
    np.testing.assert_allclose(variable.numpy(), np.full(3, method.chosen), rtol=1e-6)


def test_the_mean_point_without_validation_is_nearer_to_the_end():
    method, (variable, given) = wise_ft.wise_ft(choice="mean"), outcome({})
    method.finish(None, given)
    np.testing.assert_allclose(variable.numpy(), np.full(3, 0.8), rtol=1e-6)


def test_wise_ft_of_an_unknown_choice_is_refused():
    with pytest.raises(FlagError, match="no choice 'median'"):
        wise_ft.wise_ft(choice="median")


def test_a_light_start_is_tuned_logistic_regression_at_its_temperature():
    data = feed(has_validation=True)
    begun, _, _ = fit(method=schedules.lp_ft("light"), data=data, learning_rate=1e-12)
    alone, _, _ = fit(method=probe.probe("logistic|pareto_logistic"), data=data)
    (found,), (expected,) = begun.groups[-1].layers, alone.groups[-1].layers
    np.testing.assert_allclose(found.kernel, expected.kernel, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.bias, expected.bias, rtol=1e-4, atol=1e-6)


def test_wise_ft_lies_between_its_probe_and_its_end():
    """The same run by LP-FT gives the end, a solved probe the start."""
    data = feed(has_validation=True)
    method = wise_ft.wise_ft(steps=3)
    mixed, _, _ = fit(method=method, data=data)
    start, _, _ = fit(method=plain.linear_probe("lbfgs"), data=data)
    end, _, _ = fit(method=schedules.lp_ft(), data=data)
    parts = zip(mixed.model.weights, start.model.weights, end.model.weights, strict=True)
    for found, first, last in parts:
        expected = (1 - method.chosen) * first.numpy() + method.chosen * last.numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=found.path)


def test_numbers_out_of_their_range_are_refused():
    for make in (lambda: l2_sp.l2_sp(alpha=-1), lambda: wise_ft.wise_ft(steps=1)):
        with pytest.raises(FlagError, match="at least"):
            make()
