"""Several heads as one: the loss of tasks against numpy, and the weights that are trained."""

import keras
import numpy as np
import pytest

from tltf.config.task_heads import Weighing
from tltf.data.label_kinds import several
from tltf.heads.classify import classify
from tltf.heads.constant_loss import constant_loss
from tltf.heads.joint import joint
from tltf.heads.regress import regress
from tltf.heads.task_weights import Uncertainty


def heads(name, **weights):
    own = {"stars": regress(center=0.0, scale=1.0), "topic": classify()}
    made = joint(own, Weighing(name, weights))
    return type(made)(**{**vars(made), "widths": (3, 2)})


def given():
    """`(logits, labels)` of four rows, of which the first has no stars and the last no topic."""
    rng = np.random.default_rng(0)
    stars, topic = rng.normal(size=4), np.array([0, 1, 1, 0])
    known = np.array([False, True, True, True]), np.array([True, True, True, False])
    labels = several.join({"stars": (stars, known[0]), "topic": (topic, known[1])})
    return rng.normal(size=(4, 5)), labels


def own_losses(logits, labels):
    """The mean pinball loss and the mean cross-entropy of the rows with a label."""
    gaps = labels["stars"]["values"][1:, None] - logits[1:, :3]
    levels = np.array([0.05, 0.5, 0.95])
    pinball = np.maximum(levels * gaps, (levels - 1) * gaps).mean()
    rest = logits[:3, 3:]
    logs = rest - np.log(np.exp(rest).sum(axis=1, keepdims=True))
    return pinball, -logs[np.arange(3), labels["topic"]["values"][:3]].mean()


def test_the_loss_is_the_weighed_sum_of_means_over_rows_with_a_label():
    logits, labels = given()
    stars, topic = own_losses(logits, labels)
    found = heads("fixed", stars=3.0, topic=0.5).losses(logits, labels).mean()
    assert found == pytest.approx(3 * stars + 0.5 * topic, rel=1e-6)


def test_uncertainty_is_the_loss_of_kendall():
    """exp(-s) L / 2 + s / 2 for numbers and exp(-s) L + s / 2 for classes, eqs. 5 to 10."""
    logits, labels = given()
    layers = {task: Uncertainty(name=f"{task}_uncertainty") for task in ("stars", "topic")}
    for value, layer in zip((0.7, -0.4), layers.values(), strict=True):
        layer(np.zeros((1, 1), "float32"))
        layer.number.assign(value)
    losses = heads("uncertainty").losses_by_output("cross_entropy", 0.0, 2.0, [*layers.values()])
    stars, topic = own_losses(logits, labels)
    logits = logits.astype("float32")
    scaled = {task: labels[task]["is_known"] / labels[task]["is_known"].mean() for task in layers}
    found = [
        losses["stars"](labels["stars"]["values"], logits[:, :3], scaled["stars"]),
        losses["topic"](labels["topic"]["values"], logits[:, 3:], scaled["topic"]),
    ]
    expected = [np.exp(-0.7) * stars / 2 + 0.35, np.exp(0.4) * topic - 0.2]
    np.testing.assert_allclose([float(value) for value in found], expected, rtol=1e-5)
    assert float(keras.ops.sum(layers["stars"].number)) == pytest.approx(0.7)


def test_the_quality_is_the_mean_of_accuracy_and_of_one_minus_the_error():
    logits, labels = given()
    error = np.abs(np.sort(logits[1:, :3], axis=1)[:, 1] - labels["stars"]["values"][1:]).mean()
    accuracy = (logits[:3, 3:].argmax(axis=1) == labels["topic"]["values"][:3]).mean()
    expected = (1 - error + accuracy) / 2
    assert heads("equal").metric_value(logits, labels) == pytest.approx(expected)


def test_a_constant_answer_has_the_entropy_of_the_classes_and_the_pinball_loss_of_quantiles():
    labels = np.array([0, 0, 0, 1])
    assert constant_loss(classify(), labels) == pytest.approx(
        -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    )
    numbers = np.arange(100.0)
    head = regress(quantiles=(0.5,), center=0.0, scale=10.0)
    assert constant_loss(head, numbers) == pytest.approx(np.abs(numbers - 49.5).mean() / 20)


def test_strata_are_joint_where_each_has_rows_enough():
    topic, tone = np.tile([0, 1], 30), np.repeat([0, 1], 30)
    known = np.ones(60, bool)
    labels = several.join({"topic": (topic, known), "tone": (tone, known)})
    from tltf.data.label_kinds import kind_of

    assert len(np.unique(kind_of(labels).strata(labels))) == 4
    few = labels[:32]
    np.testing.assert_array_equal(kind_of(few).strata(few), topic[:32])
