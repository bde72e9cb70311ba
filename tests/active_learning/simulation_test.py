"""Learning curves of a simulation, on data whose answer is known."""

import numpy as np
import pytest

from tltf.active_learning import query, simulation
from tltf.active_learning.simulation import LabelledRows, LearningCurve, Plan

PLAN = Plan(num_start=4, per_round=6, num_labels=22, families="class_means")


def blobs(num_rows, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=num_rows)
    features = np.eye(3)[labels] * 5 + random.normal(size=(num_rows, 3))
    return LabelledRows(features.astype(np.float32), labels)


def test_a_curve_has_the_labels_of_each_round_and_ends_near_all_labels():
    pool, test = blobs(120, 0), blobs(200, 1)
    curve = simulation.learning_curve(query.pick("margin"), pool, test, 3, PLAN, 0)
    assert curve.counts == (4, 10, 16, 22)
    whole = simulation.accuracy_of_all(pool, test, 3, PLAN, 0)
    assert whole > 0.97 and curve.accuracies[-1] > whole - 0.05
    again = simulation.learning_curve(query.pick("margin"), pool, test, 3, PLAN, 0)
    assert again == curve


def test_strategies_share_the_pool_and_the_start_of_a_draw():
    pool, test = blobs(120, 0), blobs(200, 1)
    names = ("random", "margin", "typiclust")
    curves = [simulation.learning_curve(query.pick(n), pool, test, 3, PLAN, 5) for n in names]
    assert len({curve.accuracies[0] for curve in curves}) == 1
    first, start = simulation.draw(pool, PLAN, 5)
    second, _ = simulation.draw(pool, PLAN, 6)
    assert len(first.labels) == 90 and len(np.unique(first.labels[start])) > 1
    assert not np.array_equal(first.features, second.features)


def test_no_row_is_asked_twice_and_labels_are_seen_only_when_asked():
    pool, test, asked = blobs(120, 0), blobs(50, 1), []

    def spy(view, count):
        asked.append(view.features[:count])
        assert len(view.known) == len(view.known_labels) == 4 + 6 * (len(asked) - 1)
        return np.arange(count)

    simulation.learning_curve(query.NamedQuery("spy", spy), pool, test, 3, PLAN, 0)
    rows = np.concatenate(asked)
    assert len(np.unique(rows, axis=0)) == len(rows) == 18


@pytest.mark.parametrize(
    ("goal", "labels"), [(0.4, 10), (0.5, 10), (0.6, 15), (0.7, 20), (0.75, 25), (0.9, np.inf)]
)
def test_labels_needed_are_interpolated(goal, labels):
    curve = LearningCurve((10, 20, 30), (0.5, 0.7, 0.8))
    assert simulation.labels_needed(curve, goal) == pytest.approx(labels)
