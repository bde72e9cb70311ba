"""The loss of sure answers, the thresholds of classes and the repeated rows, beside numpy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts import methods_test
from tests.contracts.given import with_target
from tests.training.fit_test import feed
from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.data import unlabelled
from tltf.errors import FlagError
from tltf.methods import consistency
from tltf.methods.method import RowsToOrder


def softmax(z):
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def mixed(*kinds):
    """The rows of several arrays in turn, as a batch has them."""
    return tf.constant(np.stack(kinds, axis=1).reshape(-1, kinds[0].shape[1]), tf.float32)


def some_logits(seed, count=40):
    return np.random.default_rng(seed).normal(0, 2, (count, 3))


def loss_of_sure(weak, strong, threshold):
    """The equation of FixMatch, a row at a time."""
    losses = []
    for q, p in zip(softmax(weak), softmax(strong), strict=True):
        limit = threshold[q.argmax()] if np.ndim(threshold) else threshold
        losses.append(-np.log(p[q.argmax()]) if q.max() >= limit else 0.0)
    assert 0 < np.count_nonzero(losses) < len(losses)
    return np.mean(losses)


def test_fixmatch_teaches_strong_views_the_sure_answers_of_weak_ones():
    labelled, weak, strong = (some_logits(seed) for seed in range(3))
    method = consistency.fixmatch(weight=0.5, threshold=0.8)
    found = method.penalty(mixed(labelled, weak, strong))
    np.testing.assert_allclose(found, 0.5 * loss_of_sure(weak, strong, 0.8), rtol=1e-5)


def test_the_answer_gets_no_gradient():
    weak, strong = (tf.constant(some_logits(seed), tf.float32) for seed in (1, 2))
    with tf.GradientTape() as tape:
        tape.watch([weak, strong])
        loss = consistency.sure_loss(weak, strong, 0.8)
    ours, theirs = tape.gradient(loss, [strong, weak])
    assert theirs is None
    answers = softmax(weak.numpy())
    is_sure = answers.max(axis=1) >= 0.8
    expected = (softmax(strong.numpy()) - np.eye(3)[answers.argmax(axis=1)]) * is_sure[:, None] / 40
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("share", "rise"), [(0.1, 0.0), (0.3, 0.5), (0.9, 1.0)])
def test_the_weight_of_pseudo_labels_rises(share, rise):
    labelled, rows = some_logits(0), some_logits(1)
    method = consistency.pseudo_label(weight=3.0, threshold=0.8, start=0.2, end=0.4)
    method._progress = lambda: tf.constant(share)
    found = method.penalty(mixed(labelled, rows))
    np.testing.assert_allclose(found, 3 * rise * loss_of_sure(rows, rows, 0.8), rtol=1e-5)


def thresholds(shares, threshold):
    """Equations 6, 11 and 12 of FlexMatch."""
    status = shares / max(shares.max(), 1 - shares.sum())
    return threshold * status / (2 - status)


def test_flexmatch_has_a_threshold_for_each_class_by_its_status():
    shares = np.array([0.5, 0.1, 0.02])
    found = consistency.thresholds(tf.constant(shares), 0.9)
    np.testing.assert_allclose(found, thresholds(shares, 0.9), rtol=1e-6)
    labelled, weak, strong = (some_logits(seed) for seed in range(3))
    limits = thresholds(shares, 0.9)
    rows = np.tile(limits, (40, 1))
    method = consistency.flexmatch(threshold=0.9)
    loss = method.penalty(mixed(labelled, weak, strong), mixed(rows, rows, rows))
    np.testing.assert_allclose(loss, loss_of_sure(weak, strong, limits), rtol=1e-5)


def test_the_learning_status_is_the_moving_share_of_sure_answers():
    layer = consistency.LearningStatus(0.8, 0.75, 3)
    expected = np.zeros(3)
    for seed in range(4):
        labelled, weak, strong = (some_logits(seed + part) for part in (0, 10, 20))
        found = layer(mixed(labelled, weak, strong), training=True)
        assert found.shape == (120, 3)
        np.testing.assert_allclose(found[0], thresholds(expected, 0.8), rtol=1e-4, atol=1e-6)
        answers = softmax(weak)
        sure = answers[answers.max(axis=1) > 0.8].argmax(axis=1)
        expected = 0.75 * expected + 0.25 * np.bincount(sure, minlength=3) / 40
        np.testing.assert_allclose(layer.shares, expected, rtol=1e-5)
    layer(mixed(labelled, weak, strong), training=False)
    np.testing.assert_allclose(layer.shares, expected, rtol=1e-5)


def test_few_training_rows_are_repeated_equally_often():
    method = consistency.fixmatch()
    rows = RowsToOrder(np.arange(8), 4, 1, 0, num_unlabelled=50)
    order = method.order(None, rows)
    assert len(order) == 50
    counts = np.bincount(order.rows_of(3), minlength=8)
    assert counts.min() == 6 and counts.max() == 7
    np.testing.assert_array_equal(order.rows_of(3), order.rows_of(3))
    assert (order.rows_of(3) != order.rows_of(4)).any()
    assert method.order(None, dataclasses.replace(rows, num_unlabelled=8)) is None


class Ordered:
    """A Feed's training function that takes a GivenOrder."""

    def __init__(self, data):
        self.read = data.training

    def __call__(self, first, number, rows=None, skip=0):
        if rows is None:
            return self.read(first, number, skip=skip)
        whole = list(self.read(0, 1).unbatch())
        order = np.concatenate([rows.rows_of(first + n) for n in range(number)])
        chosen = [whole[row] for row in order]
        stacked = tf.nest.map_structure(lambda *parts: tf.stack(parts), *chosen)
        return tf.data.Dataset.from_tensor_slices(stacked).batch(8).skip(skip)


def test_an_epoch_passes_over_the_rows_without_labels(monkeypatch, tmp_path):
    data = with_target(feed(8))
    data = dataclasses.replace(data, training=Ordered(data), num_unlabelled=24)
    core, _, fitted = methods_test.fit("flexmatch(threshold=.4)", data=data)
    assert fitted.record.step == 3 * 3, "three epochs of 24 rows in batches of 8"
    assert consistency.STATUS + "/shares" in fitted.trained
    assert fitted.trained[consistency.STATUS + "/shares"].sum() > 0
    assert not any(consistency.STATUS in layer.name for layer in core.model.layers)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("fixmatch(threshold=1)", "threshold"),
        ("fixmatch(strong='')", "strong must name"),
        ("flexmatch(momentum=1)", "momentum"),
        ("pseudo_label(start=.7)", "start < end"),
        ("fixmatch(weight=-1)", "at least 0"),
    ],
)
def test_numbers_out_of_their_range_are_refused(call, message):
    with pytest.raises(FlagError, match=message):
        call_strings.pick(METHODS, call).build()


def test_kinds_lie_in_turn():
    kinds = unlabelled.split_kinds(mixed(*(some_logits(seed) for seed in range(3))), 3)
    np.testing.assert_allclose(kinds[2], some_logits(2), rtol=1e-6)
