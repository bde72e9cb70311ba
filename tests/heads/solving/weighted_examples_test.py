"""What a linear probe may be given, and what is held back to choose its penalty."""

import numpy as np
import pytest

from tltf.errors import DataError, NumericError, ShapeError
from tltf.heads.solving import convex, weighted_examples

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(60, 4))
LABELS = np.repeat([0, 1, 2], [30, 20, 10])


def changed(array, place, value):
    copy = np.array(array, float)
    copy[place] = value
    return copy


def test_labels_become_rows_and_rows_sum_to_one():
    soft = np.full((60, 3), 1 / 3, "float32")
    soft[0] = [1, 0, 0]
    for targets in (LABELS, soft):
        (_, rows, weights), _ = weighted_examples.check_examples((FEATURES, targets, None), None, 0)
        assert rows.shape == (60, 3) and rows.dtype == np.float64
        np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-15)
        np.testing.assert_array_equal(weights, 1)


def test_classes_are_counted_in_validation_too():
    validation = FEATURES[:1], np.array([4])
    (_, rows, _), _ = weighted_examples.check_examples((FEATURES, LABELS, None), validation, 0)
    assert rows.shape == (60, 5)
    (_, rows, _), _ = weighted_examples.check_examples((FEATURES, LABELS, None), validation, 7)
    assert rows.shape == (60, 7)


def test_a_fifth_of_each_class_is_held_back():
    training, _ = weighted_examples.check_examples((FEATURES, LABELS, None), None, 0)
    (features, _, weights), (same, labels, held) = weighted_examples.hold_back(training, 0)
    assert np.bincount(labels).tolist() == [6, 4, 2]
    assert features is FEATURES and same is FEATURES, "held back by weight, not by a copy"
    np.testing.assert_array_equal(np.flatnonzero(weights == 0), held)
    np.testing.assert_array_equal(LABELS[held], labels)
    _, (*_, other) = weighted_examples.hold_back(training, 1)
    assert not np.array_equal(held, other)
    _, (*_, again) = weighted_examples.hold_back(training, 0)
    np.testing.assert_array_equal(held, again)


@pytest.mark.parametrize("count", [2, 3])
def test_too_few_examples_to_choose_from(count):
    features, labels = FEATURES[:count], np.arange(count) // 2 if count == 3 else np.arange(2)
    with pytest.raises(DataError, match="too few"):
        convex.path(features, labels)
    assert convex.path(features, labels, penalties=[1.0]).has_converged


def test_examples_of_weight_zero_do_not_count_as_a_class():
    weights = (LABELS == 0).astype(float)
    with pytest.raises(DataError, match="one class"):
        convex.path(FEATURES, LABELS, weights=weights)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ((FEATURES[:, 0], LABELS), ShapeError, "not a matrix"),
        ((FEATURES[:0], LABELS[:0]), DataError, "no examples"),
        ((FEATURES[:9], LABELS), ShapeError, "do not fit"),
        ((changed(FEATURES, (7, 2), np.inf), LABELS), NumericError, "example 7 of the training"),
        ((FEATURES, LABELS * 0.5), DataError, "expected integers"),
        ((FEATURES, LABELS - 1), DataError, "labels are -1..1"),
        ((FEATURES, LABELS * 0), DataError, "one class"),
        ((FEATURES, np.full((60, 3), [0.8, 0.1, 0.1])), DataError, "one class"),
        ((FEATURES, np.eye(3)[LABELS] * 2), DataError, "must sum to 1"),
        ((FEATURES, changed(np.eye(3)[LABELS], (0, 0), np.nan)), NumericError, "not finite"),
        ((FEATURES, LABELS, (FEATURES[:, :2], LABELS)), ShapeError, "validation 2"),
        ((FEATURES, LABELS, (FEATURES, LABELS[:5])), ShapeError, "validation features"),
        ((FEATURES, np.eye(3)[LABELS], (FEATURES, LABELS + 1)), DataError, "3 of 3 classes"),
        ((FEATURES, LABELS, (changed(FEATURES, 0, np.nan), LABELS)), NumericError, "validation"),
    ],
)
def test_what_cannot_be_solved_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        convex.path(*given)


@pytest.mark.parametrize(
    ("named", "error", "words"),
    [
        ({"weights": np.ones(5)}, ShapeError, "do not fit"),
        ({"weights": -np.ones(60)}, DataError, "weights must be 0 or more"),
        ({"weights": np.zeros(60)}, DataError, "weights must be 0 or more"),
        ({"weights": np.full(60, np.nan)}, NumericError, "not finite"),
        ({"initial": (np.zeros((4, 2)), np.zeros(2))}, ShapeError, "to start from"),
        ({"initial": (np.full((4, 3), np.nan), np.zeros(3))}, NumericError, "to start from"),
        ({"num_classes": 2}, DataError, "of 2 classes"),
        ({"penalties": []}, ValueError, "penalties"),
        ({"penalties": [1.0, 0.0]}, ValueError, "penalties"),
    ],
)
def test_options_that_do_not_fit_are_refused(named, error, words):
    with pytest.raises(error, match=words):
        convex.path(FEATURES, LABELS, **named)


def test_no_row_is_held_back_whose_copy_is_fitted():
    """Views, copies and draws of one row, in any order: else the weakest penalty looks best."""
    order = np.random.default_rng(3).permutation(np.tile(np.arange(60), 4))
    training, _ = weighted_examples.check_examples((FEATURES[order], LABELS[order], None), None, 0)
    (_, _, weights), (_, labels, _) = weighted_examples.hold_back(training, 0, order)
    held = set(order[weights == 0])
    assert not held & set(order[weights > 0])
    assert np.bincount(labels).tolist() == [24, 16, 8], "a fifth of each class"
    (_, _, by_row), _ = weighted_examples.hold_back(training, 0)
    assert set(order[by_row == 0]) & set(order[by_row > 0]), "rows drawn singly share theirs"


def test_copies_do_not_choose_the_weakest_penalty():
    """The rows and their near copies choose what the rows alone choose."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, 60))
    labels = (rows[:, 0] + rng.normal(size=120) > 0).astype(int)
    origins = np.tile(np.arange(120), 5)
    copies = rows[origins] + 0.05 * rng.normal(size=(600, 60))
    apart = convex.path(copies, labels[origins], groups=origins).penalty
    assert apart > convex.path(copies, labels[origins]).penalty
