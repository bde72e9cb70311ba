"""The losses of predictions of a target, beside numpy."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tltf.errors import FlagError
from tltf.methods import target_predictions


def softmax(z):
    shares = np.exp(z - z.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def entropy(p):
    return -(p * np.log(p)).sum(axis=-1)


def test_mcc_is_the_share_of_what_is_confused():
    logits = np.random.default_rng(0).normal(0, 2, (6, 4)).astype("f")
    shares = softmax(logits / 1.5)
    certain = 1 + np.exp(-entropy(shares))
    weights = np.diag(6 * certain / certain.sum())
    confusion = shares.T @ weights @ shares
    confusion /= confusion.sum(axis=1, keepdims=True)
    expected = confusion[~np.eye(4, dtype=bool)].sum() / 4
    method = target_predictions.mcc(temperature=1.5)
    found = method.alignment([tf.constant(-logits), tf.constant(logits)])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def centers(features, shares):
    """The class of each row, row by row."""
    for _ in range(2):
        sums = [(shares[:, [k]] * features).sum(axis=0) for k in range(shares.shape[1])]
        found = []
        for row in features:
            cosines = [
                row @ c / np.linalg.norm(row) / np.linalg.norm(c) if c.any() else -2 for c in sums
            ]
            found.append(int(np.argmax(cosines)))
        shares = np.eye(shares.shape[1])[found]
    return np.array(found)


def test_shot_is_information_and_the_nearest_centers():
    rng = np.random.default_rng(3)
    features, logits = rng.normal(size=(9, 5)).astype("f"), rng.normal(size=(9, 3)).astype("f")
    shares = softmax(logits.astype(float))
    answers = centers(features.astype(float), shares)
    assert (answers != shares.argmax(axis=1)).any(), "the centers change an answer"
    losses = -np.log(shares[np.arange(9), answers])
    expected = entropy(shares).mean() - entropy(shares.mean(axis=0)) + 0.3 * losses.mean()
    found = target_predictions.shot().penalty(tf.constant(features), tf.constant(logits))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_shot_reads_no_training_row():
    def training(first, number, **also):
        rows = {"image": np.ones((4, 2), "f")}, {"label": np.ones(4, "int32")}
        return tf.data.Dataset.from_tensor_slices((*rows, {"label": np.ones(4, "f")})).batch(2)

    def unlabelled(first, number, skip=0):
        return tf.data.Dataset.from_tensor_slices({"image": np.zeros((3, 2), "f")}).batch(2)

    make = target_predictions.shot().batches(training, None, unlabelled)
    for inputs, targets, weights in make(0, 1):
        assert not inputs["image"].numpy().any(), "rows of the target"
        assert not targets["label"].numpy().any() and not weights["label"].numpy().any()
        assert len(inputs["image"]) == len(targets["label"]) == len(weights["label"])
        assert targets["label"].dtype == tf.int32


def test_shot_without_anything_to_train_is_refused():
    with pytest.raises(FlagError, match="nothing is trained"):
        target_predictions.shot(last_groups=0).phases(tiny.core())
