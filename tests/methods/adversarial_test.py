"""A step on perturbed inputs against softmax regression written out in numpy."""

import keras
import numpy as np
import pytest

from tests import tiny
from tests.methods.features_test import batch
from tltf.errors import FlagError
from tltf.graphs import freezing, frozen_prefix
from tltf.methods import adversarial
from tltf.methods.adversaries import AdversarialModel, Perturbation
from tltf.methods.context import FitContext
from tltf.methods.rules import EVERYTHING

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 255, (6, 2, 2, 1)).astype("float32")
IMAGES[0, 0, 0, 0], IMAGES[1, 0, 0, 0] = 0.5, 254.0
VECTORS = RNG.normal(size=(6, 3, 4)).astype("float32")
LABELS = np.array([0, 1, 2, 0, 1, 2])


def model_of(norm, epsilon, steps, share, shape, scale):
    inputs = keras.Input(shape, name="x")
    x = Perturbation(norm, epsilon, steps, share)(inputs)
    x = keras.layers.Flatten()(keras.layers.Rescaling(scale)(x))
    model = AdversarialModel({"x": inputs}, {"label": keras.layers.Dense(3)(x)})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.SGD(0.1), loss={"label": loss}, weighted_metrics={"label": ["accuracy"]}
    )
    return model


def gradients(flat, kernel, bias):
    """Of the mean cross-entropy: in the rows, the kernel and the bias."""
    logits = flat @ kernel + bias
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    error = (chances - np.eye(3)[LABELS]) / len(LABELS)
    return error @ kernel.T, flat.T @ error, error.sum(axis=0)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("norm", ["max", "l2"])
def test_a_step_is_the_mean_of_both_gradients(norm, steps):
    keras.utils.set_random_seed(1)
    rows, scale = (IMAGES, 1 / 255) if norm == "max" else (VECTORS, 1.0)
    epsilon, share = (8.0, 0.3) if norm == "max" else (0.7, 0.3)
    model = model_of(norm, epsilon, steps, share, rows.shape[1:], scale)
    kernel, bias = (w.numpy().astype(float) for w in model.trainable_weights)
    flat = rows.reshape(6, -1).astype(float)
    delta, length = np.zeros_like(flat), epsilon if steps == 1 else 2.5 * epsilon / steps
    for _ in range(steps):
        up = gradients((flat + delta) * scale, kernel, bias)[0] * scale
        if norm == "max":
            delta = np.clip(delta + length * np.sign(up), -epsilon, epsilon)
            delta = np.clip(flat + delta, 0, 255) - flat
        else:
            delta = delta + length * up / np.linalg.norm(up, axis=1, keepdims=True)
            delta *= np.minimum(1, epsilon / np.linalg.norm(delta, axis=1, keepdims=True))
    assert np.abs(delta).max() > 0.1
    _, kernel_1, bias_1 = gradients(flat * scale, kernel, bias)
    _, kernel_2, bias_2 = gradients((flat + delta) * scale, kernel, bias)
    found = model.train_on_batch({"x": rows}, {"label": LABELS}, return_dict=True)
    kernel_now, bias_now = (w.numpy() for w in model.trainable_weights)
    expected = kernel - 0.1 * (share * kernel_1 + (1 - share) * kernel_2)
    np.testing.assert_allclose(kernel_now, expected, rtol=1e-4, atol=1e-6)
    expected = bias - 0.1 * (share * bias_1 + (1 - share) * bias_2)
    np.testing.assert_allclose(bias_now, expected, rtol=1e-4, atol=1e-6)
    logits = flat * scale @ kernel + bias
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found["loss"] == pytest.approx(-np.log(chances[np.arange(6), LABELS]).mean(), rel=1e-4)


@pytest.mark.parametrize("is_text", [False, True])
def test_the_prepared_core_computes_what_it_did(is_text):
    core = tiny.core(tiny.text_backbone() if is_text else None)
    inputs = batch(is_text, 4)
    expected = np.asarray(core.model(inputs, training=False)["label"])
    method = adversarial.adversarial()
    prepared = method.prepare(core, FitContext())
    np.testing.assert_array_equal(prepared.model(inputs, training=False)["label"], expected)
    assert method.finish(prepared, None) is core
    model = tiny.training_model(prepared.model, prepared.groups)
    assert sum(isinstance(x, Perturbation) for x in model._flatten_layers()) == 1


def test_what_is_above_the_perturbation_is_never_kept():
    core = adversarial.adversarial().prepare(tiny.core(tiny.text_backbone()), FitContext())
    freezing.apply(core.groups, [("head/.*", 1.0)])
    parts = frozen_prefix.cut(core.model, core.groups, AdversarialModel)
    names = {layer.name for layer in parts.prefix.layers if layer.weights}
    assert names == {"embedding"} and type(parts.suffix) is AdversarialModel
    freezing.apply(core.groups, EVERYTHING)
    assert frozen_prefix.cut(core.model, core.groups, AdversarialModel).prefix is None


@pytest.mark.parametrize("arguments", [{"epsilon": -1.0}, {"steps": 0}, {"share": 1.0}])
def test_numbers_out_of_their_range_are_refused(arguments):
    with pytest.raises(FlagError, match="epsilon must be at least 0"):
        adversarial.adversarial(**arguments)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("is_eager", [False, True])
def test_moving_statistics_are_those_of_the_inputs_as_they_are(steps, is_eager):
    """One update a step, whatever the number of passes."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(IMAGES.shape[1:], name="x")
    norm = keras.layers.BatchNormalization(momentum=0.9)
    x = norm(Perturbation("max", 60.0, steps, 0.5)(inputs))
    model = AdversarialModel(
        {"x": inputs}, {"label": keras.layers.Dense(3)(keras.layers.Flatten()(x))}
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss={"label": loss}, run_eagerly=is_eager)
    model.fit({"x": IMAGES}, {"label": LABELS}, batch_size=6, epochs=2, verbose=0)
    mean, variance = 0.0, 1.0
    for _ in range(2):
        mean, variance = 0.9 * mean + 0.1 * IMAGES.mean(), 0.9 * variance + 0.1 * IMAGES.var()
    np.testing.assert_allclose(norm.moving_mean.numpy(), [mean], rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance.numpy(), [variance], rtol=1e-4)
    assert norm.momentum == 0.9
