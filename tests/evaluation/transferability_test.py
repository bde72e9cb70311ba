"""Scores of features beside other ways to compute them: brute force, another library, closed forms."""

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.neighbors import KNeighborsClassifier

from tltf.evaluation import transferability


def drawn(num=60, width=7, classes=3, spread=1.0, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(num) % classes
    centers = random.normal(size=(classes, width)) * spread
    return (centers[labels] + random.normal(size=(num, width))).astype(np.float32), labels


@pytest.mark.parametrize(("num", "width"), [(60, 7), (12, 30)])
def test_log_me_is_the_largest_marginal_likelihood(num, width):
    """The marginal of y is a normal with covariance 1/beta I + 1/alpha F F', which is searched for its maximum."""
    features, labels = drawn(num, width)
    targets, rows = np.eye(3)[labels], features.astype(np.float64)

    def worst(logs, target):
        alpha, beta = np.exp(logs)
        covariance = np.eye(num) / beta + rows @ rows.T / alpha
        return -stats.multivariate_normal(np.zeros(num), covariance).logpdf(target) / num

    best = [
        -optimize.minimize(worst, [0.0, 0.0], (target,), method="Nelder-Mead", tol=1e-9).fun
        for target in targets.T
    ]
    assert transferability.log_me(features, targets) == pytest.approx(np.mean(best), abs=1e-5)


def test_log_me_takes_numbers_and_prefers_features_that_explain_them():
    features, _ = drawn()
    numbers = features @ np.arange(7) + 0.1 * np.random.default_rng(1).normal(size=60)
    other = np.random.default_rng(2).normal(size=(60, 7))
    good = transferability.log_me(features, numbers[:, None])
    assert good > transferability.log_me(other, numbers[:, None])


def test_h_score_is_that_of_the_shrunk_covariance():
    features, labels = drawn()
    rows = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    num, width = rows.shape
    plain = rows.T @ rows / num
    mean = np.trace(plain) / width
    # Ledoit & Wolf 2004, section 3.3: the shrinkage is b^2 / d^2.
    distance = ((plain - mean * np.eye(width)) ** 2).sum()
    spread = sum(((np.outer(row, row) - plain) ** 2).sum() for row in rows) / num**2
    shrinkage = min(spread, distance) / distance
    shrunk = (1 - shrinkage) * plain + shrinkage * mean * np.eye(width)
    means = np.array([rows[labels == label].mean(axis=0) for label in labels])
    between = means.T @ means / num
    expected = np.trace(np.linalg.inv(shrunk) @ ((1 - shrinkage) * between))
    assert transferability.h_score(features, labels) == pytest.approx(expected, rel=1e-6)


def test_leep_by_loops_and_its_limits():
    random = np.random.default_rng(0)
    source, labels = random.dirichlet(np.ones(4), 30), np.arange(30) % 3
    joint = np.zeros((3, 4))
    for row, label in zip(source, labels, strict=True):
        joint[label] += row / 30
    conditional = joint / joint.sum(axis=0)
    expected = np.mean(
        [np.log(conditional[y] @ row) for row, y in zip(source, labels, strict=True)]
    )
    assert transferability.leep(source, labels) == pytest.approx(expected)
    assert transferability.leep(np.eye(3)[labels], labels) == pytest.approx(0)
    alike = np.full((30, 4), 0.25)
    assert transferability.leep(alike, labels) == pytest.approx(np.log(1 / 3))


def test_nce_is_minus_the_conditional_entropy():
    random = np.random.default_rng(0)
    source, labels = random.integers(0, 4, 200), random.integers(0, 3, 200)
    table = np.histogram2d(source, labels, (4, 3))[0] / 200
    entropy = stats.entropy(table.ravel()) - stats.entropy(table.sum(axis=1))
    assert transferability.nce(source, labels) == pytest.approx(-entropy)


def test_nearest_is_the_leave_one_out_accuracy():
    features, labels = drawn(num=50, spread=0.7)
    hits = []
    for row in range(50):
        others = np.arange(50) != row
        model = KNeighborsClassifier(5, metric="cosine").fit(features[others], labels[others])
        votes = np.bincount(labels[others][model.kneighbors(features[[row]])[1][0]], minlength=3)
        first = labels[others][model.kneighbors(features[[row]])[1][0]]
        best = next(label for label in first if votes[label] == votes.max())
        hits.append(best == labels[row])
    assert transferability.nearest(features, labels) == pytest.approx(np.mean(hits))


def test_rows_of_one_group_are_not_neighbours_of_each_other():
    features, labels = drawn(num=40, spread=0.7)
    groups, hits = np.arange(40) // 3, []
    for row in range(40):
        others = groups != groups[row]
        model = KNeighborsClassifier(5, metric="cosine").fit(features[others], labels[others])
        first = labels[others][model.kneighbors(features[[row]])[1][0]]
        votes = np.bincount(first, minlength=3)
        hits.append(next(one for one in first if votes[one] == votes.max()) == labels[row])
    assert transferability.nearest(features, labels, groups) == pytest.approx(np.mean(hits))
    assert transferability.nearest(features, labels, np.zeros(40)) == 0


@pytest.mark.parametrize("score", ["h_score", "nearest", "log_me"])
def test_features_that_tell_classes_apart_score_higher(score):
    function = getattr(transferability, score)
    near, labels = drawn(num=120, spread=0.2)
    far, _ = drawn(num=120, spread=2.0)
    given = np.eye(3)[labels] if score == "log_me" else labels
    assert function(far, given) > function(near, given)
