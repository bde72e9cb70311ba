"""Bootstrap values against scikit-learn with the resample's counts as weights."""

import numpy as np
import pytest
from sklearn import metrics

from tltf.evaluation import bootstrap, reliability


def probabilities_of(labels, num_classes, rng, strength=1.0):
    scores = rng.normal(size=(len(labels), num_classes))
    scores[np.arange(len(labels)), labels] += strength
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_every_resample_equals_the_metric_of_its_rows():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 60)
    stated = probabilities_of(labels, 4, rng)
    (values,) = bootstrap.distributions(labels, [stated], seed=5, num_resamples=7)
    drawn = np.random.default_rng(5).integers(0, 60, (60, 7))
    for column in range(7):
        rows = drawn[:, column]
        truth, shown = labels[rows], stated[rows]
        predicted = shown.argmax(axis=1)
        expected = {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "loss": metrics.log_loss(truth, shown, labels=range(4)),
            "macro_f1": metrics.f1_score(truth, predicted, average="macro"),
            "calibration_error": reliability.expected_calibration_error(
                shown.max(axis=1), predicted == truth
            ),
        }
        for name, value in expected.items():
            assert values[name][column] == pytest.approx(value, abs=1e-9), name


def test_accuracy_interval_agrees_with_the_binomial_one():
    labels = np.zeros(2000, int)
    stated = np.tile([0.9, 0.1], (2000, 1))
    stated[:400] = [0.1, 0.9]
    (values,) = bootstrap.distributions(labels, [stated], seed=0, num_resamples=2000)
    low, high = bootstrap.interval(values["accuracy"], 0.95)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 2000)
    assert low == pytest.approx(0.8 - half, abs=0.003)
    assert high == pytest.approx(0.8 + half, abs=0.003)


def test_chunks_cover_all_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "_CELLS_PER_CHUNK", 100)
    stated = np.tile([0.6, 0.4], (30, 1))
    (values,) = bootstrap.distributions(np.zeros(30, int), [stated], seed=1, num_resamples=10)
    assert all(column.shape == (10,) for column in values.values())
