"""Folded batch norms compute what they computed before, in numpy and in real architectures."""

import keras
import numpy as np
import pytest

from tltf.graphs import batch_norm_folding

KINDS = {"conv": keras.layers.Conv2D, "depthwise": keras.layers.DepthwiseConv2D}


def randomised(model, seed=0):
    """The model with statistics and scales as training leaves them."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.7, 1.4, variable.shape))
        if variable.name in ("beta", "moving_mean"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
    return model


def num_norms(model):
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


def images(model, count=4, seed=1):
    return (
        np.random.default_rng(seed).normal(size=(count, *model.input_shape[1:])).astype("float32")
    )


def network(build):
    image = keras.Input((6, 6, 3), name="image")
    return randomised(keras.Model(image, build(image)))


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_against_the_formula(scale, center, bias):
    norm = keras.layers.BatchNormalization(epsilon=1e-2, scale=scale, center=center)
    convolution = keras.layers.Conv2D(5, 1, use_bias=bias, bias_initializer="normal")
    model = network(lambda image: norm(convolution(image)))
    found = batch_norm_folding.fold(model)
    assert num_norms(found) == 0
    pixels = images(model)
    kernel, given = convolution.kernel.numpy()[0, 0], convolution.bias
    x = pixels @ kernel + (0 if given is None else given.numpy())
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    y = (x - mean) / np.sqrt(variance + 1e-2)
    y = y * (norm.gamma.numpy() if scale else 1) + (norm.beta.numpy() if center else 0)
    np.testing.assert_allclose(found(pixels), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{"strides": 2, "padding": "same"}, {"dilation_rate": 2}])
def test_against_the_two_layers(kind, settings):
    size = {"filters": 6} if kind == "conv" else {"depth_multiplier": 2}
    layer = KINDS[kind](kernel_size=3, **size, **settings)
    model = network(lambda image: keras.layers.BatchNormalization()(layer(image)))
    found = batch_norm_folding.fold(model)
    assert num_norms(found) == 0
    pixels = images(model)
    np.testing.assert_allclose(found(pixels), model(pixels, training=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "EfficientNetV2B0"])
def test_architectures(name):
    make = getattr(keras.applications, name)
    model = randomised(make(weights=None, include_top=False, input_shape=(64, 64, 3)))
    found = batch_norm_folding.fold(model)
    assert num_norms(found) == 0 < num_norms(model)
    pixels = images(model, 2)
    expected = np.asarray(model(pixels, training=False))
    error = np.abs(np.asarray(found(pixels, training=False)) - expected).max()
    assert error < 1e-4 * np.abs(expected).max()


def twice_used(image):
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    return x + keras.layers.BatchNormalization()(x)


def activated(image):
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    return keras.layers.BatchNormalization()(x)


def shared(image):
    norm = keras.layers.BatchNormalization()
    return norm(keras.layers.Conv2D(4, 1)(norm(keras.layers.Conv2D(4, 1)(image))))


def over_rows(image):
    return keras.layers.BatchNormalization(axis=1)(keras.layers.Conv2D(4, 3)(image))


def first(image):
    return keras.layers.Conv2D(4, 3)(keras.layers.BatchNormalization()(image))


@pytest.mark.parametrize("build", [twice_used, activated, shared, over_rows, first])
def test_what_cannot_be_folded_stays(build):
    model = network(build)
    assert batch_norm_folding.fold(model) is model


def test_half_precision_stays():
    image = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, dtype="mixed_float16")(image)
    model = keras.Model(image, keras.layers.BatchNormalization(dtype="mixed_float16")(x))
    assert batch_norm_folding.fold(model) is model


def test_training_the_original_on_changes_nothing_and_names_stay():
    image = keras.Input((6, 6, 3), name="image")
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(image))
    model = randomised(keras.Model({"image": image}, {"out": keras.layers.ReLU()(x)}))
    found = batch_norm_folding.fold(model)
    pixels = {"image": np.ones((2, 6, 6, 3), "float32")}
    before = np.asarray(found(pixels)["out"])
    for variable in model.weights:
        variable.assign(variable + 1)
    np.testing.assert_array_equal(found(pixels)["out"], before)
    assert not found.trainable_weights


def test_under_bfloat16_the_same_numbers_are_folded():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        norm, convolution = keras.layers.BatchNormalization(), keras.layers.Conv2D(5, 3)
        model = network(lambda image: norm(convolution(image)))
    finally:
        keras.config.set_dtype_policy("float32")
    found, pixels = batch_norm_folding.fold(model), images(model)
    assert num_norms(found) == 0
    (layer,) = (layer for layer in found.layers if isinstance(layer, keras.layers.Conv2D))
    assert layer.compute_dtype == "bfloat16" and layer.kernel.dtype == "float32"
    wanted = np.asarray(model(pixels, training=False), "float32")
    np.testing.assert_allclose(np.asarray(found(pixels), "float32"), wanted, rtol=0.03, atol=0.03)
