import numpy as np
import pytest

from tltf.errors import DataError, FlagError
from tltf.methods import pairs
from tltf.methods.method import RowsToOrder

LABELS = np.array([2, 0, 1, 0, 2, 2, 1, 0, 0, 2])


def rows(labels=LABELS, batch_size=6, num_devices=1, seed=3):
    return RowsToOrder(np.asarray(labels), batch_size, num_devices, seed)


def pairs_of(order, epoch, share):
    """int[P, 2]: the pairs of a pass, from parts of a batch with so many rows."""
    parts = order.rows_of(epoch).reshape(-1, share)
    return parts[:, : share // 2 * 2].reshape(-1, 2)


def test_all_pairs_have_a_number():
    same, other = pairs.pair_spaces(LABELS)
    for space, is_same in ((same, True), (other, False)):
        found = {tuple(sorted(pair)) for pair in space.pairs(np.arange(len(space))).tolist()}
        expected = {
            (i, j)
            for i in range(10)
            for j in range(i + 1, 10)
            if (LABELS[i] == LABELS[j]) == is_same
        }
        assert found == expected and len(space) == len(expected)


@pytest.mark.parametrize("batch_size, num_devices", [(6, 1), (7, 1), (8, 2), (10, 2), (6, 2)])
def test_every_part_of_a_batch_has_whole_pairs_by_turns_alike_and_not(batch_size, num_devices):
    order = pairs.pair_order(rows(batch_size=batch_size, num_devices=num_devices))
    assert len(order.rows_of(0)) == len(order) and len(order) % batch_size == 0
    found = pairs_of(order, 0, batch_size // num_devices)
    is_same = LABELS[found[:, 0]] == LABELS[found[:, 1]]
    assert is_same.tolist() == [place % 2 == 0 for place in range(len(found))]
    assert len(found) >= len(LABELS)


def test_no_pair_is_read_twice_before_about_all_are():
    labels = np.arange(60) % 3
    order = pairs.pair_order(rows(labels, 20))
    passes = [pairs_of(order, epoch, 20) for epoch in range(19)]
    drawn = [tuple(sorted(pair)) for one in passes for pair in one.tolist()]
    same = [pair for pair in drawn if labels[pair[0]] == labels[pair[1]]]
    assert len(same) == len(set(same)) == 19 * 30, "of 570, all"
    other = [pair for pair in drawn if labels[pair[0]] != labels[pair[1]]]
    assert len(other) == len(set(other)) == 19 * 30, "of 1,200"
    assert pairs_of(order, 19, 20).tolist() != passes[0].tolist(), "then in another order"


def test_a_pass_is_the_same_again_and_differs_with_the_seed():
    order, again = pairs.pair_order(rows()), pairs.pair_order(rows())
    assert order.rows_of(4).tolist() == again.rows_of(4).tolist()
    assert order.rows_of(4).tolist() != order.rows_of(5).tolist()
    assert order.rows_of(4).tolist() != pairs.pair_order(rows(seed=4)).rows_of(4).tolist()


@pytest.mark.parametrize("size", [1, 5, 70_000, 2**17, 2**17 + 1])
def test_a_permutation_has_each_number_once(size):
    found = pairs.permute(np.arange(size), size, (1, 2))
    assert np.array_equal(np.sort(found), np.arange(size))
    if size > 5:
        assert abs(np.corrcoef(found, np.arange(size))[0, 1]) < 0.02
        differences = np.diff(found)
        assert len(np.unique(differences)) > 0.2 * size, "neighbours are not a fixed step apart"


def test_many_rows_need_no_list_of_their_pairs():
    order = pairs.pair_order(rows(np.arange(200_000) % 7, 256))
    found = pairs_of(order, 5, 256)
    assert len(np.unique(np.sort(found, axis=1), axis=0)) == len(found)


def test_rows_that_make_no_pairs_are_refused():
    with pytest.raises(DataError, match="of one class"):
        pairs.pair_order(rows(np.zeros(5, int)))
    with pytest.raises(DataError, match="a class of their own"):
        pairs.pair_order(rows(np.arange(5)))
    with pytest.raises(FlagError, match="--batch_size=4"):
        pairs.pair_order(rows(batch_size=2, num_devices=2))
