import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tltf.errors import DataError, FlagError
from tltf.heads.light.light_model import FrozenRows
from tltf.methods import episodes, prototypes
from tltf.methods.context import FitContext
from tltf.methods.method import RowsToOrder

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(9, 5)).astype(np.float32)
TARGETS = np.array([2, 0, 0, 2, 0, 3, 2, 2, 3])


def expected_loss(features, targets, sharpness):
    """The loss by the words of the paper: supports and queries of each class by turns."""
    supports, queries = {}, []
    for label in np.unique(targets):
        rows = np.flatnonzero(targets == label)
        supports[label] = features[rows[0::2]].mean(axis=0)
        queries += rows[1::2].tolist()
    distances = {
        row: {label: ((features[row] - mean) ** 2).sum() for label, mean in supports.items()}
        for row in queries
    }
    mean = np.mean([d for row in distances.values() for d in row.values()])
    factor = sharpness / mean if sharpness else 1.0
    losses = [
        factor * row[targets[query]] + np.log(sum(np.exp(-factor * d) for d in row.values()))
        for query, row in distances.items()
    ]
    return np.mean(losses)


@pytest.mark.parametrize("sharpness", [0.0, 7.0])
def test_the_loss_is_that_of_the_nearest_mean_of_supports(sharpness):
    method = prototypes.prototypes(sharpness=sharpness)
    method.prepare(tiny.core(num_classes=4), FitContext())
    found = method.penalty(tf.constant(TARGETS), tf.constant(FEATURES))
    np.testing.assert_allclose(found, expected_loss(FEATURES, TARGETS, sharpness), rtol=1e-5)


def test_the_head_answers_with_the_nearest_mean():
    rows = FrozenRows(FEATURES, np.eye(4)[TARGETS][:, [0, 2, 3]], np.ones(9))
    (model,) = prototypes.PlainMeans().solve(rows, [0.0])
    means = np.stack([FEATURES[label == TARGETS].mean(axis=0) for label in (0, 2, 3)])
    given = RANDOM.normal(size=(20, 5))
    distances = ((given[:, None] - means) ** 2).sum(axis=2)
    expected = (given**2).sum(axis=1, keepdims=True) - distances
    np.testing.assert_allclose(model.logits(given), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ways, batch_size, num_devices", [(0, 12, 1), (2, 12, 2), (3, 13, 1)])
def test_an_episode_has_some_classes_evenly_and_no_row_twice(ways, batch_size, num_devices):
    labels = np.arange(40) % 5
    order = episodes.episode_order(RowsToOrder(labels, batch_size, num_devices, 0), ways)
    share, seen = batch_size // num_devices, []
    for epoch in range(3):
        rows = order.rows_of(epoch)
        assert len(rows) == len(order) and len(rows) % batch_size == 0
        assert rows.tolist() == order.rows_of(epoch).tolist()
        for episode in rows.reshape(-1, share):
            assert len(set(episode)) == share
            counts = np.bincount(labels[episode])
            counts = counts[counts > 0]
            assert len(counts) == min(ways or share // 2, 5)
            assert counts.max() - counts.min() <= 1
        seen.append(rows)
    assert seen[0].tolist() != seen[1].tolist()


def test_an_episode_is_filled_where_its_classes_have_few_rows():
    labels = np.array([0, 0, 1, 2, 2, 2, 2, 2, 2, 2])
    order = episodes.episode_order(RowsToOrder(labels, 8, 1, 0), 2)
    for rows in (order.rows_of(epoch).reshape(-1, 8) for epoch in range(5)):
        assert all(len(set(episode)) == 8 for episode in rows)


def test_rows_without_others_of_their_class_are_refused():
    for labels in (np.arange(8), np.zeros(8, int)):
        with pytest.raises(DataError):
            episodes.episode_order(RowsToOrder(labels, 8, 1, 0))
    with pytest.raises(FlagError, match="--batch_size=8"):
        episodes.episode_order(RowsToOrder(np.arange(8) % 2, 6, 2, 0))
    for arguments in ({"ways": 1}, {"sharpness": -1.0}):
        with pytest.raises(FlagError):
            prototypes.prototypes(**arguments)
