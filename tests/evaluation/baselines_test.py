"""Baselines against closed forms and gradients worked out in numpy."""

import json
import math

import numpy as np
import pytest
from scipy import optimize, special

from tltf.errors import DataError, NumericError, ShapeError
from tltf.evaluation import baselines


def blobs(num_examples, seed, num_classes=3, spread=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_examples)
    centres = np.array([[0.0, 5.0], [50.0, 0.0], [0.0, -5.0]])
    return rng.normal(centres[labels], [10 * spread, spread]), labels


def test_majority_states_the_training_frequencies():
    row, stated = baselines.majority([0, 0, 1], [0, 1, 1, 0], ["a", "b"], num_resamples=10)
    assert row.chosen == {"label": "a"}
    assert row.test.scores["accuracy"] == 0.5
    np.testing.assert_allclose(stated, np.tile([3 / 5, 2 / 5], (4, 1)))
    assert row.test.scores["loss"] == pytest.approx(-(math.log(0.6) + math.log(0.4)) / 2)
    json.dumps(row.to_json(), allow_nan=False)


def test_logistic_regression_minimises_the_penalised_loss():
    train, validation, test = blobs(120, 0, spread=3.0), blobs(60, 1), blobs(50, 2)
    row, stated = baselines.logistic_regression(
        train, validation, test, ["a", "b", "c"], grid=(0.1,), num_resamples=10
    )
    mean, deviation = train[0].mean(axis=0), train[0].std(axis=0)
    inputs, labels = (train[0] - mean) / deviation, train[1]

    def objective(flat):
        weights = flat.reshape(3, 3)
        scores = special.log_softmax(inputs @ weights[:2] + weights[2], axis=1)
        fit = -scores[np.arange(len(labels)), labels].sum()
        return 0.1 * fit + 0.5 * (weights[:2] ** 2).sum()

    weights = optimize.minimize(objective, np.zeros(9)).x.reshape(3, 3)
    scores = (test[0] - mean) / deviation @ weights[:2] + weights[2]
    np.testing.assert_allclose(stated, special.softmax(scores, axis=1), atol=2e-3)
    assert row.chosen["has_converged"]
    assert row.chosen["num_features"] == 2
    json.dumps(row.to_json(), allow_nan=False)


def test_strength_is_chosen_on_validation_not_on_test():
    train, test = blobs(200, 0), blobs(200, 2)
    flipped = test[0], (test[1] + 1) % 3
    row, _ = baselines.logistic_regression(
        train, blobs(200, 1), test, ["a", "b", "c"], num_resamples=10
    )
    same, _ = baselines.logistic_regression(
        train, blobs(200, 1), flipped, ["a", "b", "c"], num_resamples=10
    )
    assert row.chosen == same.chosen
    assert row.chosen["c"] in baselines.GRID
    assert row.test.scores["accuracy"] > 0.95


def test_without_validation_a_fifth_of_train_chooses_and_all_of_it_is_fitted():
    train, test, names = blobs(100, 0, spread=2.0), blobs(50, 2), ["a", "b", "c"]
    row, stated = baselines.logistic_regression(train, None, test, names, num_resamples=5)
    _, same = baselines.logistic_regression(
        train, train, test, names, grid=(row.chosen["c"],), num_resamples=5
    )
    np.testing.assert_array_equal(stated, same)
    assert row.chosen["num_train"] == 100


def test_a_class_without_training_examples_gets_probability_zero():
    features, labels = blobs(90, 0)
    keep = labels != 1
    row, stated = baselines.logistic_regression(
        (features[keep], labels[keep]), blobs(30, 1), blobs(30, 2), list("abc"), num_resamples=5
    )
    assert (stated[:, 1] == 0).all()
    assert row.test.per_class[1].recall == 0


def test_a_constant_feature_does_no_harm():
    pairs = [(np.c_[x, np.full(len(x), 7.0)], y) for x, y in (blobs(60, s) for s in range(3))]
    row, _ = baselines.logistic_regression(*pairs, list("abc"), num_resamples=5)
    assert row.test.scores["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("train", "error", "words"),
    [
        ((np.zeros((0, 2)), []), DataError, "train split has no examples"),
        ((np.zeros((3, 2)), [1, 1, 1]), DataError, "one class"),
        ((np.zeros((3, 2)), [0, 1]), ShapeError, "do not fit"),
        ((np.zeros((2, 4)), [0, 1]), ShapeError, "widths differ"),
        (([[np.nan, 1.0], [0.0, 1.0]], [0, 1]), NumericError, "not finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(train, error, words):
    with pytest.raises(error, match=words):
        baselines.logistic_regression(train, blobs(9, 1), blobs(9, 2), list("abc"))


def test_the_fifth_that_is_held_back_has_all_classes_and_no_copy_of_what_is_fitted():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(50, 4)), np.repeat([0, 1], [40, 10])
    order = rng.permutation(np.tile(np.arange(50), 3))
    (rest, _), (fifth, held) = baselines.held_back(rows[order], labels[order], 0)
    assert not {tuple(row) for row in rest} & {tuple(row) for row in fifth}
    assert np.bincount(held).tolist() == [24, 6]
    origins = np.arange(len(order)) // 3  # copies that differ, as those of texts do
    (rest, _), (fifth, _) = baselines.held_back(np.arange(150)[:, None], labels[order], 0, origins)
    assert not set(rest[:, 0] // 3) & set(fifth[:, 0] // 3) and len(fifth) == 30
