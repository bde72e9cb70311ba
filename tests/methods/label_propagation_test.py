"""Label propagation: the graph and the spread labels by their formulas, and what the head is fitted on."""

import numpy as np
import pytest
from sklearn.semi_supervised import LabelSpreading

from tests import tiny
from tltf.errors import FlagError
from tltf.heads.light.light_model import FrozenRows
from tltf.methods import label_propagation as propagation
from tltf.methods.label_propagation import label_propagation

RANDOM = np.random.default_rng(0)


def affinities_by_hand(features, neighbors):
    """W by its formula, row by row."""
    units = features - features.mean(axis=0)
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    cosines, found = units @ units.T, np.zeros((len(units),) * 2)
    for row in range(len(units)):
        order = [other for other in np.argsort(-cosines[row]) if other != row][:neighbors]
        found[row, order] = np.maximum(cosines[row, order], 0) ** 3
    return found + found.T


def shares_by_hand(graph, labels, num_classes, alpha):
    """(1 - a) (I - a D^-1/2 W D^-1/2)^-1 Y, its rows divided by their sums."""
    roots = 1 / np.sqrt(graph.sum(axis=1))
    inner = np.eye(len(graph)) - alpha * roots[:, None] * graph * roots
    given = np.zeros((len(graph), num_classes))
    given[np.flatnonzero(labels >= 0), labels[labels >= 0]] = 1
    found = (1 - alpha) * np.linalg.solve(inner, given)
    return found / found.sum(axis=1, keepdims=True)


def test_near_rows_are_joined_by_the_power_of_their_cosines():
    features = RANDOM.normal(size=(40, 6)).astype("f") + 3
    found = propagation.affinities(features, 5).toarray()
    np.testing.assert_allclose(found, affinities_by_hand(features, 5), atol=1e-5)
    assert np.allclose(found, found.T) and not np.diag(found).any()


@pytest.mark.parametrize("balanced", [False, True])
def test_labels_spread_as_the_closed_form_says(balanced):
    features = RANDOM.normal(size=(60, 6)).astype("f")
    labels = np.arange(9) % 3
    rows = FrozenRows(features[:9], np.eye(3)[labels], np.ones(9))
    spread = propagation.spread_labels(rows, features[9:], 6, 0.9, balanced)
    graph = affinities_by_hand(features, 6)
    shares = shares_by_hand(graph, np.concatenate([labels, np.full(51, -1)]), 3, 0.9)
    if balanced:
        shares = shares / shares.sum(axis=0)
        shares = shares / shares.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(spread.answers, shares[9:].argmax(axis=1))
    other = LabelSpreading(kernel=lambda a, b: graph, alpha=0.9, max_iter=500, tol=1e-9)
    other.fit(features, np.concatenate([labels, np.full(51, -1)]))
    found = propagation.diffused(
        propagation.affinities(features, 6), np.concatenate([labels, np.full(51, -1)]), 3, 0.9
    )
    np.testing.assert_allclose(found, other.label_distributions_, atol=1e-4)
    entropy = -(shares[9:] * np.log(shares[9:])).sum(axis=1)
    np.testing.assert_allclose(spread.certainty, 1 - entropy / np.log(3), atol=1e-3)


def two_moons(count, seed):
    """`(float32[N, 2], labels)` of two half circles, which no straight line parts."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    angles = random.uniform(0, np.pi, count)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points[labels == 1] = [1, 0.4] - points[labels == 1] * [1, 1]
    return (points + random.normal(0, 0.05, points.shape)).astype("f"), labels


def spirals(features):
    """Cosine features of points: their positions on random waves, so that near points have large cosines."""
    random = np.random.default_rng(9)
    waves = features @ random.normal(0, 3, (2, 200)) + random.uniform(0, 2 * np.pi, 200)
    return np.cos(waves).astype("f")


def test_labels_follow_the_shape_of_the_data():
    points, labels = two_moons(400, 0)
    features = spirals(points)
    few = np.concatenate([np.flatnonzero(labels == kind)[:3] for kind in (0, 1)])
    rows = FrozenRows(features[few], np.eye(2)[labels[few]], np.ones(6))
    spread = propagation.spread_labels(rows, features, 8, 0.99, True)
    nearest = features @ features[few].T
    alone = (labels[few][nearest.argmax(axis=1)] == labels).mean()
    found = (spread.answers == labels).mean()
    assert found > 0.95 and found > alone + 0.05


def test_rows_weigh_what_is_known_of_them_and_unreached_ones_are_left_out():
    rows = FrozenRows(np.eye(4, 3), np.eye(2)[[0, 1, 0, 1]], np.full(4, 2.0))
    spread = propagation.Spread(np.array([1, 0, 1]), np.array([0.5, 0.0, 1.0]))
    joined = propagation.joined(rows, np.ones((3, 3)), spread)
    assert joined.weights.tolist() == [2, 2, 2, 2, 1, 2] and spread.num_reached == 2
    assert joined.targets[4:].argmax(axis=1).tolist() == [1, 1]


def test_the_head_is_chosen_on_all_rows():
    labels = np.arange(80) % 2
    features = RANDOM.normal(0, 0.6, (80, 4)).astype("f") + 2 * labels[:, None]
    rows = FrozenRows(features[:8], np.eye(2)[labels[:8]], np.ones(8))
    core = tiny.core(num_classes=2)
    solved = label_propagation(neighbors=5, family="logistic").solve(core, rows, 0, features[8:])
    dense = solved.core.model.get_layer("label_logits")
    answers = (features @ dense.kernel.numpy() + dense.bias).argmax(axis=1)
    assert (answers == labels).mean() > 0.95
    assert "of 72 others" in solved.text and len(solved.history) == 1


def test_numbers_out_of_range_are_refused():
    for given in ({"neighbors": 0}, {"alpha": 0.0}, {"alpha": 1.0}):
        with pytest.raises(FlagError, match="neighbors must be"):
            label_propagation(**given)
