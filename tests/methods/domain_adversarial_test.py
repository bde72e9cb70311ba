"""The classifier of domains and its reversed gradient, beside numpy."""

import numpy as np
import tensorflow as tf

from tests import tiny
from tltf.methods import domain_adversarial
from tltf.methods.context import FitContext


def softplus(x):
    return np.log1p(np.exp(x))


def test_the_gradient_is_reversed():
    layer = domain_adversarial.ReversedGradient(lambda: tf.constant(0.3))
    given = tf.constant([[1.0, -2.0]])
    with tf.GradientTape() as tape:
        tape.watch(given)
        out = layer(given)
        loss = tf.reduce_sum(out * [[2.0, 5.0]])
    np.testing.assert_array_equal(out, given)
    np.testing.assert_allclose(tape.gradient(loss, given), [[-0.6, -1.5]])


def test_dann_is_the_cross_entropy_of_domains():
    source, target = np.array([[0.5], [2.0]], "f"), np.array([[-1.0], [0.2], [3.0]], "f")
    found = domain_adversarial.dann().alignment([tf.constant(source), tf.constant(target)])
    expected = (softplus(-source).mean() + softplus(target).mean()) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_cdan_weighs_rows_by_how_sure_they_are():
    rng = np.random.default_rng(1)
    domains = [rng.normal(size=(4, 1)).astype("f") for _ in range(2)]
    logits = [rng.normal(size=(4, 3)).astype("f") for _ in range(2)]

    def factors(z):
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return 1 + np.exp((p * np.log(p)).sum(axis=1))

    losses = softplus(-domains[0])[:, 0], softplus(domains[1])[:, 0]
    given = [tf.constant(x) for x in domains], [tf.constant(x) for x in logits]
    weighed = [loss * factors(z) for loss, z in zip(losses, logits, strict=True)]
    for entropy, expected in ((True, weighed), (False, losses)):
        found = domain_adversarial.cdan(entropy=entropy).alignment(*given)
        np.testing.assert_allclose(found, sum(part.mean() for part in expected) / 2, rtol=1e-5)


def test_cdan_takes_the_outer_product_of_predictions_and_features():
    core = tiny.core(tiny.image_backbone(dropout=0.0))
    method = domain_adversarial.cdan(hidden=4)
    seen = []
    classifier = method.classifier
    method.classifier = lambda features: seen.append(features) or classifier(features)
    prepared = method.prepare(core, FitContext())
    import keras

    model = keras.Model(prepared.model.input, seen[0])
    image = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("f")
    below = prepared.model.get_layer("label_logits").input
    plain = keras.Model(prepared.model.input, [below, method.plain.model.output["label"]])
    features, logits = (np.asarray(x) for x in plain({"image": image}))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.einsum("bc,bd->bcd", p, features).reshape(2, -1)
    np.testing.assert_allclose(model({"image": image}), expected, rtol=1e-4, atol=1e-6)
