"""The penalties of domain adaptation against their equations in numpy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from scipy.spatial import distance

from tests import tiny
from tltf.heads.light.light_model import FrozenRows
from tltf.methods import alignments, domain_adversarial, self_training
from tltf.methods.method import Phase

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.normal(size=(2, 12, 5)).astype("float32")
LOGITS = RNG.normal(0, 2, size=(2, 12, 3)).astype("float32")


def penalty(method, *pairs):
    """The penalty of a batch in which rows of both domains lie in turn."""
    mixed = [np.stack(pair, axis=1).reshape(-1, pair[0].shape[1]) for pair in pairs]
    return float(method.penalty(*map(tf.constant, mixed)))


def test_coral_is_the_squared_distance_of_covariances():
    expected = np.square(np.cov(SOURCE.T) - np.cov(TARGET.T)).sum() / (4 * 5**2)
    found = penalty(alignments.coral(weight=3.0), (SOURCE, TARGET), LOGITS)
    assert found == pytest.approx(3 * expected, rel=1e-5)


def test_dan_is_the_mean_discrepancy_over_five_kernels():
    rows = np.concatenate([SOURCE, TARGET]).astype("float64")
    squares = distance.cdist(rows, rows, "sqeuclidean")
    kernel = np.mean(
        [np.exp(-squares / (s * squares.mean())) for s in (0.25, 0.5, 1, 2, 4)], axis=0
    )
    signs = np.repeat([1 / 12, -1 / 12], 12)
    expected = signs @ kernel @ signs
    assert penalty(alignments.dan(), (SOURCE, TARGET), LOGITS) == pytest.approx(expected, abs=1e-6)
    assert penalty(alignments.dan(), (SOURCE, SOURCE), LOGITS) == pytest.approx(0, abs=1e-6)


def test_afn_asks_for_features_that_are_one_step_longer():
    assert penalty(alignments.afn(step=2.0), (SOURCE, TARGET), LOGITS) == pytest.approx(0.05 * 8)
    features = tf.constant(np.stack([SOURCE, TARGET], axis=1).reshape(-1, 5))
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = alignments.afn(step=2.0).penalty(features, tf.zeros([24, 3]))
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    expected = -0.05 * 2 * 2.0 * features / lengths / 12
    np.testing.assert_allclose(tape.gradient(loss, features), expected, rtol=1e-4, atol=1e-6)


def test_mcc_is_the_confusion_of_the_targets_answers():
    found = special.softmax(LOGITS[1] / 2.5, axis=1)
    weights = 1 + np.exp(np.sum(found * np.log(found), axis=1))
    weights = len(weights) * weights / weights.sum()
    matrix = found.T @ np.diag(weights) @ found
    matrix /= matrix.sum(axis=1, keepdims=True)
    expected = (matrix.sum() - np.trace(matrix)) / 3
    assert penalty(alignments.mcc(), (SOURCE, TARGET), LOGITS) == pytest.approx(expected, rel=1e-5)


def test_dann_is_the_cross_entropy_of_the_domains():
    domains = RNG.normal(size=(2, 12, 1)).astype("float32")
    probabilities = special.expit(domains)
    expected = -0.5 * (np.log(probabilities[0]).mean() + np.log(1 - probabilities[1]).mean())
    found = penalty(domain_adversarial.dann(), domains)
    assert found == pytest.approx(expected, rel=1e-5)
    plain = domain_adversarial.cdan(entropy=False)
    assert penalty(plain, domains, LOGITS) == pytest.approx(expected, rel=1e-5)


def test_cdan_weighs_sure_rows_more():
    domains = RNG.normal(size=(2, 12, 1)).astype("float32")
    answers = special.softmax(LOGITS, axis=2)
    weights = 1 + np.exp(np.sum(answers * np.log(answers), axis=2))
    losses = -np.log(special.expit(domains[..., 0] * np.array([[1], [-1]])))
    expected = 0.5 * sum(
        (w * loss).sum() / w.sum() for w, loss in zip(weights, losses, strict=True)
    )
    found = penalty(domain_adversarial.cdan(), domains, LOGITS)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_product_of_features_and_answers_is_flat_or_random():
    layer = domain_adversarial.FeaturesWithAnswers()
    answers = special.softmax(LOGITS[0], axis=1)
    expected = np.einsum("bd,bc->bdc", SOURCE, answers).reshape(12, -1)
    np.testing.assert_allclose(layer([SOURCE, LOGITS[0]]), expected, rtol=1e-5)
    wide = RNG.normal(size=(400, 2000)).astype("float32")
    product = np.asarray(
        domain_adversarial.FeaturesWithAnswers()([wide, LOGITS[0].repeat(34, 0)[:400]])
    )
    assert product.shape == (400, domain_adversarial.RANDOM_PRODUCTS)
    exact = (wide[0] @ wide[0]) * np.sum(special.softmax(LOGITS[0][0]) ** 2)
    assert product[0] @ product[0] == pytest.approx(exact, rel=0.3), "inner products are kept"


def test_the_reversed_gradient_rises_with_the_steps():
    method = domain_adversarial.dann()
    layer = domain_adversarial.ReversedGradient(method.rising)
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.build((None, 1))
    method.begin(tiny.core(), Phase("dann", ()), model, 10)
    for step, expected in ((0, 0.0), (5, 2 / (1 + np.exp(-5)) - 1)):
        model.optimizer.iterations.assign(step)
        given = tf.constant([[1.0, 2.0]])
        with tf.GradientTape() as tape:
            tape.watch(given)
            loss = tf.reduce_sum(layer(given) * [[3.0, 4.0]])
        gradient = tape.gradient(loss, given)
        np.testing.assert_allclose(gradient, [[-3 * expected, -4 * expected]], atol=1e-6)


def test_the_surest_rows_of_each_stated_class_are_taken():
    logits = np.log([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9], [0.7, 0.3]])
    rows, answers = self_training.sure_rows(logits, 0.5)
    assert rows.tolist() == [0, 2, 4] and answers.tolist() == [0, 0, 1]


def test_self_training_moves_the_border_into_the_gap_of_the_rows_without_labels():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 200)
    cloud = rng.normal(size=(400, 2)) * [1.0, 0.4] + np.stack([labels * 0.0, labels * 4.0], axis=1)
    features = np.pad(cloud, ((0, 0), (0, 4))).astype("float32")
    first = np.r_[np.argsort(cloud[:200, 0])[:4], 200 + np.argsort(-cloud[200:, 0])[:4]]
    rows = FrozenRows(features[first], np.eye(2)[labels[first]], np.ones(8))
    core = tiny.core(tiny.image_backbone(), num_classes=2)
    width = core.model.get_layer("label_logits").kernel.shape[0]
    rows = FrozenRows(rows.features[:, :width], rows.targets, rows.weights)
    solved = self_training.self_training().solve(core, rows, 0, features[:, :width])
    assert len(solved.history) == 5 and solved.history[-1]["rows"] == pytest.approx(320, abs=2)
