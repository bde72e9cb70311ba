"""Power laws that are known are found again, their intervals hold what they claim, and too little is said to be too little."""

import numpy as np
import pytest
from scipy import optimize

from tltf.evaluation import learning_curve
from tltf.evaluation.learning_curve import CurvePoint, LearningCurve, PowerLaw

SIZES = (50, 100, 200, 400, 800)
TRUE = PowerLaw(0.9, 1.5, 0.5)


def drawn(law, random, judged=200, subsets=5, sizes=SIZES):
    """Points whose accuracies are shares of right answers, drawn around a law."""
    return [
        CurvePoint(n, tuple(random.binomial(judged, law.at(n), subsets) / judged), judged)
        for n in sizes
    ]


@pytest.mark.parametrize("law", [TRUE, PowerLaw(0.8, 0.9, 0.3), PowerLaw(1.0, 3.0, 0.8)])
def test_a_law_without_noise_is_found_again(law):
    sizes, errors = np.array(SIZES, float), np.full(5, 1e-4)
    (found,) = learning_curve.fit_laws(sizes, np.array([[law.at(n) for n in SIZES]]), errors)
    for rows in (50, 800, 3200):
        assert found.at(rows) == pytest.approx(law.at(rows), abs=0.003)
    curve = learning_curve.fit_curve([CurvePoint(n, (law.at(n),) * 5, 10**7) for n in SIZES])
    gain, truth = curve.doubling_gain(800), law.at(1600) - law.at(800)
    assert gain.low <= truth <= gain.high and gain.value == pytest.approx(truth, abs=0.015)


def test_least_squares_are_those_of_scipy():
    random = np.random.default_rng(0)
    sizes, errors = np.array(SIZES, float), np.array([0.02, 0.015, 0.01, 0.01, 0.005])
    accuracies = np.array([TRUE.at(n) for n in SIZES]) + random.normal(size=5) * errors

    def cost(values):
        limit, height, log_exponent = values
        gaps = (accuracies - (limit - height * sizes ** -np.exp(log_exponent))) / errors
        prior = (log_exponent - np.log(learning_curve.USUAL_EXPONENT)) / learning_curve.SPREAD
        return gaps @ gaps + prior**2

    bounds = [(0, 1), (0, 50), (np.log(0.05), np.log(2))]
    other = optimize.differential_evolution(cost, bounds, seed=0, tol=1e-10)
    (law,) = learning_curve.fit_laws(sizes, accuracies[None], errors)
    own = cost([law.limit, law.height, np.log(law.exponent)])
    assert own == pytest.approx(other.fun, rel=0.02, abs=0.01)


def test_intervals_of_a_doubling_hold_the_truth_about_as_often_as_they_say():
    random, truth = np.random.default_rng(1), TRUE.at(1600) - TRUE.at(800)
    held = []
    for seed in range(40):
        gain = learning_curve.fit_curve(drawn(TRUE, random), seed).doubling_gain(800)
        held.append(gain.low <= truth <= gain.high)
    assert np.mean(held) >= 0.8


def test_a_flat_curve_gains_nothing():
    flat = PowerLaw(0.7, 0.0, 0.5)
    found = learning_curve.fit_curve(drawn(flat, np.random.default_rng(2), judged=2000))
    assert found.doubling_gain(800).value < 0.01
    assert all(law.height >= 0 for law in (found.law, *found.draws))


def test_an_accuracy_is_never_above_one():
    steep = [CurvePoint(n, (min(0.5 + 0.1 * k, 1.0),) * 5, 100) for k, n in enumerate(SIZES)]
    found = learning_curve.fit_curve(steep)
    assert all(law.limit <= 1 for law in (found.law, *found.draws))
    assert found.accuracy(1e9).value <= 1


def test_too_few_points_and_too_wide_intervals_tell_nothing():
    few = learning_curve.fit_curve(drawn(TRUE, np.random.default_rng(3), sizes=SIZES[:3]))
    assert few.law is None and few.doubling_gain(800) is None and few.accuracy(100) is None
    wide = PowerLaw(0.9, 0.0, 0.5), PowerLaw(0.9, 3.0, 0.3)
    found = LearningCurve((), wide[0], wide)
    assert wide[1].at(200) - wide[1].at(100) > learning_curve.WIDEST
    assert found.doubling_gain(100) is None


def test_the_error_of_a_point_is_that_of_its_mean():
    point = CurvePoint(10, (0.6, 0.7, 0.8), 100)
    assert point.error == pytest.approx(np.std([0.6, 0.7, 0.8], ddof=1) / np.sqrt(3))
    assert CurvePoint(10, (0.5, 0.5), 50).error == pytest.approx(0.5 / np.sqrt(100) / 2, rel=1e-3)
