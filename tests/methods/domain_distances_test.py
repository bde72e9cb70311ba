"""The penalties on the features of two domains, beside numpy."""

import numpy as np
import pytest
import tensorflow as tf

from tltf.errors import FlagError
from tltf.methods import domain_distances


@pytest.fixture
def rows():
    """float32[7, 3] of a source and float32[5, 3] of a target."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 3)).astype("f"), (2 * rng.normal(size=(5, 3)) + 1).astype("f")


def tensors(rows):
    return [tf.constant(part) for part in rows]


def test_coral_is_the_distance_of_covariances(rows):
    source, target = (np.cov(part.astype(float), rowvar=False) for part in rows)
    expected = ((source - target) ** 2).sum() / (4 * 3**2)
    found = domain_distances.coral().alignment(tensors(rows))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def distance(source, target):
    """The unbiased estimate of MMD^2, pair by pair."""
    pooled = np.concatenate([source, target]).astype(float)
    squares = ((pooled[:, None] - pooled) ** 2).sum(axis=2)
    width = squares.sum() / (len(pooled) * (len(pooled) - 1))

    def mean(first, second, is_same):
        pairs = [
            np.mean([np.exp(-((x - y) ** 2).sum() / (f * width)) for f in (0.25, 0.5, 1, 2, 4)])
            for i, x in enumerate(first)
            for j, y in enumerate(second)
            if not (is_same and i == j)
        ]
        return np.mean(pairs)

    within = mean(source, source, True) + mean(target, target, True)
    return within - 2 * mean(source, target, False)


def test_dan_sums_the_distances_of_kernel_means(rows):
    expected = distance(*rows) + distance(rows[0][:, :2], rows[1][:, :2])
    found = domain_distances.dan().alignment(tensors(rows), tensors([r[:, :2] for r in rows]))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_afn_asks_for_longer_features_of_both_domains(rows):
    method, pair = domain_distances.afn(step=0.7), tensors(rows)
    with tf.GradientTape() as tape:
        tape.watch(pair)
        found = method.alignment(pair)
    np.testing.assert_allclose(found, 0.49, rtol=1e-5)  # the length is that of the present weights
    for part, gradient in zip(rows, tape.gradient(found, pair), strict=True):
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        np.testing.assert_allclose(gradient, -2 * 0.7 * part / lengths / 12, rtol=1e-4)


def test_wrong_numbers_are_refused():
    with pytest.raises(FlagError, match="step"):
        domain_distances.afn(step=0)
    with pytest.raises(FlagError, match="weight"):
        domain_distances.coral(weight=-1)
