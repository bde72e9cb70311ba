"""Each family gives what scikit-learn, or the formula by itself, gives on the same standardised rows."""

import numpy as np
import pytest
from scipy import optimize
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestCentroid

from tltf.errors import FlagError
from tltf.heads.light import linear_families, other_families
from tltf.heads.light.families import FAMILIES, pick
from tltf.heads.light.light_model import FrozenRows


def blobs(count=60, width=7, num_classes=3, seed=0):
    """FrozenRows of overlapping classes on features of different scales, and fresh features."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    centers = random.normal(size=(num_classes, width))
    scales = np.logspace(-1, 2, width)
    features = (centers[labels] + random.normal(size=(count, width))) * scales + 5
    fresh = (random.normal(size=(40, width)) * 1.5) * scales + 5
    targets = np.eye(num_classes)[labels]
    return FrozenRows(features.astype("f"), targets, np.ones(count)), fresh.astype("f")


def standard(rows, features):
    """Features as the families see them, by numpy alone."""
    mean, deviation = rows.features.mean(0, dtype=float), rows.features.std(0, dtype=float)
    return (features - mean) / deviation


WIDE = {"width": 90, "count": 30}
"""More features than rows."""


@pytest.mark.parametrize("shape", [{}, WIDE])
def test_ridge_is_that_of_scikit_learn(shape):
    rows, fresh = blobs(**shape)
    for penalty, model in zip(
        (3.0, 0.1), linear_families.Ridge().solve(rows, (3.0, 0.1)), strict=True
    ):
        other = Ridge(alpha=penalty * len(rows.targets)).fit(
            standard(rows, rows.features), rows.targets
        )
        expected = other.predict(standard(rows, fresh))
        np.testing.assert_allclose(model.logits(fresh), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [{}, WIDE])
def test_the_discriminant_is_that_of_scikit_learn(shape):
    rows, fresh = blobs(**shape)
    labels = rows.targets.argmax(1)
    for share in (0.9, 0.3):
        (model,) = linear_families.ShrunkDiscriminant().solve(rows, [share])
        other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share).fit(
            standard(rows, rows.features), labels
        )
        expected = other.decision_function(standard(rows, fresh))
        np.testing.assert_allclose(model.logits(fresh), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [{}, WIDE])
def test_logistic_regression_is_that_of_scikit_learn(shape):
    rows, fresh = blobs(**shape)
    (model,) = linear_families.Logistic().solve(rows, [0.1])
    other = LogisticRegression(C=1 / (0.1 * len(rows.targets)), tol=1e-8, max_iter=5000).fit(
        standard(rows, rows.features), rows.targets.argmax(1)
    )
    expected = other.decision_function(standard(rows, fresh))
    found = model.logits(fresh)
    np.testing.assert_allclose(
        found - found.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True), atol=5e-3
    )


@pytest.mark.parametrize("shape", [{}, WIDE])
def test_pareto_logistic_regression_is_that_of_scikit_learn_on_scaled_features(shape):
    rows, fresh = blobs(**shape)
    (model,) = linear_families.ParetoLogistic().solve(rows, [0.1])
    mean, deviation = rows.features.mean(0, dtype=float), rows.features.std(0, dtype=float)
    scale = np.sqrt(deviation * deviation.mean())
    inputs, others = (rows.features - mean) / scale, (fresh - mean) / scale
    assert (inputs**2).mean() == pytest.approx(1, rel=1e-5)
    other = LogisticRegression(C=1 / (0.1 * len(rows.targets)), tol=1e-8, max_iter=5000)
    expected = other.fit(inputs, rows.targets.argmax(1)).decision_function(others)
    found = model.logits(fresh)
    np.testing.assert_allclose(
        found - found.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True), atol=5e-3
    )


def test_class_means_answer_as_the_nearest_centroid():
    rows, fresh = blobs()
    (model,) = linear_families.ClassMeans().solve(rows, [0.0])
    other = NearestCentroid().fit(standard(rows, rows.features), rows.targets.argmax(1))
    expected = other.predict(standard(rows, fresh))
    np.testing.assert_array_equal(model.logits(fresh).argmax(1), expected)


def test_class_means_by_cosine_are_the_cosines_of_centered_means():
    rows, fresh = blobs()
    (model,) = linear_families.ClassMeans().solve(rows, [1.0])
    means = np.stack([rows.features[rows.targets[:, c] > 0].mean(0) for c in range(3)])
    center = means.mean(0)
    means = (means - center) / np.linalg.norm(means - center, axis=1, keepdims=True)
    given = fresh - center
    cosines = given @ means.T / np.linalg.norm(given, axis=1, keepdims=True)
    shares = np.exp(cosines / 0.07) / np.exp(cosines / 0.07).sum(1, keepdims=True)
    found = np.exp(model.logits(fresh))
    np.testing.assert_allclose(found, np.maximum(shares, 1e-3), rtol=2e-3, atol=1e-6)


def test_the_nearest_examples_are_weighted_by_their_cosine():
    rows, fresh = blobs()
    (model,) = other_families.NearestExamples().solve(rows, [4])
    center = rows.features.mean(0)
    for features, found in zip(fresh, model.logits(fresh), strict=True):
        given = features - center
        cosines = [
            given @ (own - center) / np.linalg.norm(given) / np.linalg.norm(own - center)
            for own in rows.features
        ]
        nearest = np.argsort(cosines)[::-1][:4]
        parts = np.exp(np.array([cosines[i] for i in nearest]) / 0.07)
        shares = (parts / parts.sum()) @ rows.targets[nearest]
        np.testing.assert_allclose(np.exp(found), np.maximum(shares, 1e-3), rtol=1e-3)


def test_the_gradient_of_the_hidden_layer_is_that_of_its_objective():
    rows, _ = blobs()
    given, random = rows.standardised, np.random.default_rng(0)
    shapes = [(7, 5), (5,), (5, 3), (3,)]
    start = random.normal(size=7 * 5 + 5 + 5 * 3 + 3)

    def value(flat):
        return other_families._objective(given, other_families._split(flat, shapes), 0.1)[0]

    def gradient(flat):
        _, slopes = other_families._objective(given, other_families._split(flat, shapes), 0.1)
        return np.concatenate([slope.ravel() for slope in slopes])

    assert optimize.check_grad(value, gradient, start) < 1e-5


def test_the_hidden_layer_learns_what_no_line_separates():
    random = np.random.default_rng(0)
    features = random.uniform(-1, 1, (400, 2)).astype("f")
    labels = (features[:, 0] * features[:, 1] > 0).astype(int)
    rows = FrozenRows(features, np.eye(2)[labels], np.ones(400))
    (bent,) = other_families.HiddenLayer().solve(rows, [1e-4])
    (straight,) = linear_families.Logistic().solve(rows, [1e-3])
    right = [
        float((model.logits(features).argmax(1) == labels).mean()) for model in (bent, straight)
    ]
    assert right[0] > 0.95 and right[1] < 0.75


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_of_weight_0_count_for_nothing(name):
    rows, fresh = blobs()
    family = FAMILIES[name]()
    setting = (list(family.settings(1000, 3)))[-1]
    more = FrozenRows(
        np.concatenate([rows.features, 1 + 9 * fresh]),
        np.concatenate([rows.targets, np.eye(3)[np.zeros(40, int)]]),
        np.concatenate([rows.weights, np.zeros(40)]),
    )
    (first,), (second,) = family.solve(rows, [setting]), family.solve(more, [setting])
    np.testing.assert_allclose(first.logits(fresh), second.logits(fresh), rtol=1e-4, atol=1e-4)
    scaled = first.scaled(0.5).logits(fresh)
    np.testing.assert_allclose(scaled, 0.5 * first.logits(fresh), rtol=1e-5, atol=1e-6)


def test_names_of_families():
    assert [family.name for family in pick("auto")] == list(FAMILIES)
    assert [family.name for family in pick("ridge|logistic")] == ["ridge", "logistic"]
    with pytest.raises(FlagError, match="choices: auto, logistic, pareto_logistic, ridge"):
        pick("forest")
