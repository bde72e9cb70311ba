"""Held-out answers of light heads: no row is answered by a head that saw it, and differences are paired."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tltf.evaluation import held_out
from tltf.heads.light.light_model import FrozenRows


def made_rows(num=200, classes=3, seed=0, spread=1.0, groups=None):
    random = np.random.default_rng(seed)
    labels = np.arange(num) % classes
    features = random.normal(size=(classes, 8))[labels] + spread * random.normal(size=(num, 8))
    targets = np.eye(classes)[labels]
    return FrozenRows(features.astype(np.float32), targets, np.ones(num), groups)


def test_accuracy_is_about_that_of_scikit_learn_on_the_same_folds():
    rows = made_rows(400, spread=1.5)
    folds, labels = held_out.folds_of(rows, 0), rows.targets.argmax(axis=1)
    other = np.zeros(400, bool)
    for fold in range(held_out.NUM_FOLDS):
        held = folds == fold
        model = make_pipeline(StandardScaler(), RidgeClassifierCV(np.geomspace(1, 1e4, 9)))
        other[held] = (
            model.fit(rows.features[~held], labels[~held]).predict(rows.features[held])
            == (labels[held])
        )
    right = held_out.is_right(rows, folds, 0)
    assert 0.5 < right.mean() < 0.98
    assert right.mean() == pytest.approx(other.mean(), abs=0.03)


def test_labels_without_a_pattern_are_guessed_at_chance_although_each_head_knows_its_rows():
    rows = made_rows(300, classes=2)
    random = np.random.default_rng(5)
    targets = np.eye(2)[random.integers(0, 2, 300)]
    wide = random.normal(size=(300, 400)).astype(np.float32)
    given = FrozenRows(wide, targets, rows.weights)
    right = held_out.is_right(given, held_out.folds_of(given, 0), 0)
    assert abs(right.mean() - 0.5) < 0.1


def test_rows_of_equal_content_are_in_one_fold():
    groups = np.repeat(np.arange(100), 2)
    folds = held_out.folds_of(made_rows(groups=groups), 0)
    assert (folds[::2] == folds[1::2]).all() and set(folds) == set(range(held_out.NUM_FOLDS))


def test_sizes_are_halvings_that_leave_rows_for_every_class():
    assert held_out.sizes_of(1000, 10) == [50, 100, 200, 400, 800]
    assert held_out.sizes_of(1000, 2) == [25, 50, 100, 200, 400, 800]
    assert held_out.sizes_of(101, 2) == [40, 80]
    assert held_out.sizes_of(20, 10) == []


def test_a_subset_has_every_class_and_its_share():
    labels = np.repeat([0, 1, 2], [700, 290, 10])
    for size, wanted in ((100, (70, 29, 1)), (3, (1, 1, 1)), (500, (350, 145, 5))):
        for seed in range(5):
            some = held_out.draw(labels, np.arange(1000), size, np.random.default_rng(seed))
            counts = np.bincount(labels[some], minlength=3)
            assert len(set(some)) == size and counts.min() >= 1
            np.testing.assert_allclose(counts, wanted, atol=2)


def test_a_learning_curve_rises_and_ends_with_all_rows_but_one_fold():
    rows = made_rows(400, spread=2.5)
    folds = held_out.folds_of(rows, 0)
    right = held_out.is_right(rows, folds, 0)
    points = held_out.curve_points(rows, folds, 0, right)
    assert [point.num_rows for point in points] == held_out.sizes_of(400, 3)
    assert points[-1].mean == pytest.approx(right.mean(), abs=1e-9)
    assert points[-1].mean > points[0].mean
    assert {len(point.accuracies) for point in points[:-1]} == {10}


def test_a_difference_is_the_paired_one_of_scipy():
    random = np.random.default_rng(0)
    right = random.random(2000) < 0.8
    other = np.where(random.random(2000) < 0.9, right, random.random(2000) < 0.5)
    found = held_out.compare(right, other)
    pair = stats.ttest_rel(right.astype(float), other.astype(float))
    interval = pair.confidence_interval(0.95)
    assert found.value == pytest.approx(right.mean() - other.mean())
    np.testing.assert_allclose([found.low, found.high], interval, atol=1e-4)
    assert found.is_surely_better == (interval.low > 0)
    assert not held_out.compare(right, right).is_surely_better
