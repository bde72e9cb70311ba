"""The shares of classes in rows without labels."""

import numpy as np
import pytest

from tltf.heads.light import class_shares
from tltf.heads.light.light_model import FrozenRows


def test_the_shares_are_those_of_answers_that_can_be_believed():
    rng = np.random.default_rng(0)
    given = rng.dirichlet([1, 2, 4], 20_000).astype("f")
    labels = (rng.random((20_000, 1)) > given.cumsum(axis=1)).sum(axis=1).clip(max=2)
    found = class_shares.estimate(given)
    assert found.sum() == pytest.approx(1) and found.dtype == np.float64
    np.testing.assert_allclose(found, np.bincount(labels) / 20_000, atol=0.01)


def test_weights_give_the_classes_their_shares():
    targets = np.eye(2)[[0, 0, 0, 1]]
    rows = FrozenRows(np.zeros((4, 1)), targets, np.array([1.0, 2.0, 1.0, 1.0]))
    found = class_shares.weigh(rows, np.array([0.25, 0.75]))
    shares = found.weights @ targets / found.weights.sum()
    np.testing.assert_allclose(shares, [0.25, 0.75])
    assert found.weights.sum() == pytest.approx(rows.weights.sum())
    assert found.weights[1] == pytest.approx(2 * found.weights[0])


def test_no_class_is_ruled_out_by_few_rows():
    found = class_shares.estimate(np.array([[1.0, 0.0]] * 8))
    np.testing.assert_allclose(found, [0.9, 0.1])
