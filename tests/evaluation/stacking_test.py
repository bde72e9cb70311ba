"""Stacking against scikit-learn's own predictions."""

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from tltf.data import blas_threads
from tltf.evaluation import stacking


@pytest.fixture(autouse=True)
def one_thread():
    with blas_threads.limit_threads(0):
        yield


def rows(num_rows, num_members, num_classes, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, num_classes, num_rows)
    logits = random.normal(0, 1, (num_members, num_rows, num_classes))
    logits[:, np.arange(num_rows), labels] += random.uniform(0, 2, (num_members, 1))
    return np.concatenate(list(special.log_softmax(logits, axis=2)), axis=1), labels


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_regression_is_scikit_learns(num_classes):
    inputs, labels = rows(120, 3, num_classes, 0)
    found = stacking.fit_classes(inputs, labels, num_classes, np.arange(120))
    assert found.strength in stacking.STRENGTHS
    model = LogisticRegression(C=found.strength, max_iter=1000).fit(inputs, labels)
    stated = special.softmax(inputs @ found.kernel + found.bias, axis=1)
    np.testing.assert_allclose(stated, model.predict_proba(inputs), atol=1e-9)


def test_the_penalty_is_that_of_cross_validation():
    inputs, labels = rows(100, 2, 3, 1)
    groups = np.arange(100)
    found = stacking.fit_classes(inputs, labels, 3, groups)
    folds, losses = stacking.folds_of(groups), []
    for strength in stacking.STRENGTHS:
        total = 0.0
        for fold in range(stacking.NUM_FOLDS):
            held = folds == fold
            model = LogisticRegression(C=strength, max_iter=1000).fit(inputs[~held], labels[~held])
            stated = model.predict_proba(inputs[held])
            total -= np.log(stated[np.arange(held.sum()), labels[held]]).sum()
        losses.append(total)
    assert found.strength == stacking.STRENGTHS[int(np.argmin(losses))]


def test_a_class_without_rows_is_never_the_answer():
    inputs, labels = rows(60, 2, 4, 2)
    keep = labels != 2
    found = stacking.fit_classes(inputs[keep], labels[keep], 4, np.arange(keep.sum()))
    logits = inputs @ found.kernel + found.bias
    assert (special.softmax(logits, axis=1)[:, 2] < 1e-6).all()


def test_labels_have_a_regression_each():
    random = np.random.default_rng(3)
    labels = (random.random((150, 3)) < 0.4).astype(np.uint8)
    labels[:, 2] = 1
    inputs = random.normal(0, 1, (150, 2, 3)) + labels[:, None]
    found = stacking.fit_labels(inputs, labels, np.arange(150))
    for place in range(2):
        model = LogisticRegression(C=found.strength, max_iter=1000)
        model.fit(inputs[:, :, place], labels[:, place])
        logits = (inputs[:, :, place] * found.kernel[:, place]).sum(axis=1) + found.bias[place]
        stated = model.predict_proba(inputs[:, :, place])[:, 1]
        np.testing.assert_allclose(special.expit(logits), stated, atol=1e-9)
    np.testing.assert_array_equal(found.kernel[:, 2], 0.5)


def test_rows_of_a_group_are_in_one_fold():
    groups = np.array([5, 7, 5, 9, 7, 11, 12, 13, 5])
    folds = stacking.folds_of(groups)
    assert all(len(set(folds[groups == group])) == 1 for group in groups)
    assert len(set(folds)) == stacking.NUM_FOLDS
