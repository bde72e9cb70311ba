import keras
import numpy as np
import pytest

from tests import tiny
from tltf.config.options import make
from tltf.graphs import freezing
from tltf.methods import schedules
from tltf.training.optimizers import optimizer as optimizers_optimizer

COMMON = {"optimizer": "adam", "learning_rate": 0.1, "weight_decay": 0.0, "warmup_fraction": 0.0}


def options(**values):
    return make(**{**COMMON, **values}).train


def variables():
    layer = keras.layers.Dense(2, name="layer")
    layer.build((None, 2))
    layer.kernel.assign(np.arange(1.0, 5.0).reshape(2, 2))
    layer.bias.assign([1.0, 2.0])
    return [layer.kernel, layer.bias]


def numpy_adam(value, gradients, rate, decay=0.0, epsilon=1e-7):
    """Kingma & Ba 2014, arXiv:1412.6980, algorithm 1 with the epsilon of section 2's remark."""
    m = v = np.zeros_like(value)
    for t, gradient in enumerate(gradients, 1):
        value = value - rate * decay * value
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        scale = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        value = value - scale * m / (np.sqrt(v) + epsilon)
    return value


@pytest.mark.parametrize("kind,decay", [("adam", 0.0), ("adamw", 0.1)])
def test_update_and_decay_follow_the_variables_own_rate(kind, decay):
    kernel, bias = variables()
    start = [kernel.numpy(), bias.numpy()]
    rates = {id(kernel): 0.3, id(bias): 1.0}
    optimizer = optimizers_optimizer.build(options(optimizer=kind, weight_decay=decay), rates, 0.1)
    gradients = [[np.full((2, 2), g), np.full(2, -g)] for g in (1.0, -0.5, 2.0)]
    for pair in gradients:
        optimizer.apply([keras.ops.cast(g, "float32") for g in pair], [kernel, bias])
    expected = numpy_adam(start[0], [g for g, _ in gradients], 0.1 * 0.3, decay)
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)
    expected = numpy_adam(start[1], [g for _, g in gradients], 0.1, 0.0)
    np.testing.assert_allclose(bias, expected, rtol=1e-5)


STEPS = ([[1.0, -2.0], [3.0, 0.5]], [[-0.5, 1.0], [2.0, 2.0]], [[4.0, -1.0], [0.3, -3.0]])
KERAS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
}


def trained(optimizer, kernel, factor=1.0):
    """The kernel's values after steps with gradients times a factor."""
    for gradient in STEPS:
        optimizer.apply([keras.ops.array(gradient, "float32") * factor], [kernel])
    return kernel.numpy()


@pytest.mark.parametrize(("kind", "decay"), [("adam", 0.0), ("adamw", 0.1), ("sgd", 0.0)])
def test_scaled_gradients_are_no_rate_of_a_group(kind, decay):
    """Of Keras's own optimizers: a factor on gradients is a rate under SGD, nothing under Adam."""
    given = {"momentum": 0.0} if kind == "sgd" else {}
    also = {"weight_decay": decay} if decay else {}

    def of_keras(rate, factor=1.0):
        return trained(KERAS[kind](rate, **also), variables()[0], factor)

    kernel = variables()[0]
    chosen = options(optimizer=kind, weight_decay=decay, **given)
    found = trained(optimizers_optimizer.build(chosen, {id(kernel): 0.3}, 0.1), kernel)
    slow, plain, scaled = of_keras(0.03), of_keras(0.1), of_keras(0.1, 0.3)
    np.testing.assert_allclose(found, slow, rtol=1e-5)
    np.testing.assert_allclose(scaled, slow if kind == "sgd" else plain, rtol=1e-5)
    assert np.abs(slow - plain).min() > 0.01


@pytest.mark.parametrize(("kind", "decay"), [("adam", 0.0), ("adamw", 0.1)])
def test_layer_wise_decay_of_a_transformer(kind, decay):
    """A first step of Adam has the rate's length whatever the gradient: rate_l = rate / 1.25^l."""
    core = tiny.core(tiny.text_backbone(num_blocks=3))
    (phase,) = schedules.discriminative(decay=1.25).phases(core)
    plan = freezing.apply(core.groups, phase.rules)
    optimizer = optimizers_optimizer.build(
        options(optimizer=kind, weight_decay=decay), plan.factors, 0.1
    )
    names, weights = list(plan.rates), [plan.variables[name] for name in plan.rates]
    before = [variable.numpy() for variable in weights]
    optimizer.apply([keras.ops.full(v.shape, 0.01) for v in weights], weights)
    groups = {row["name"]: row["group"] for row in plan.rows}
    depth = ["head", "layer_3", "layer_2", "layer_1", "embeddings"]
    for name, variable, start in zip(names, weights, before, strict=True):
        rate = 0.1 / 1.25 ** depth.index(groups[name])
        is_matrix = name.endswith(("kernel", "embeddings"))
        expected = start * (1 - rate * decay * is_matrix) - rate
        np.testing.assert_allclose(variable, expected, atol=1e-4, err_msg=name)
    assert set(groups.values()) == set(depth)


@pytest.mark.parametrize(
    "flag,expected",
    [
        ("clipnorm", [[0.6, 0.8], [0.5]]),
        ("global_clipnorm", [[3 / 5.0249, 4 / 5.0249], [0.5 / 5.0249]]),
    ],
)
def test_clipping_is_per_variable_or_global(flag, expected):
    a, b = keras.Variable([0.0, 0.0]), keras.Variable([0.0])
    chosen = options(optimizer="sgd", momentum=0.0, **{flag: 1.0})
    optimizer = optimizers_optimizer.build(chosen, {}, 1.0)
    optimizer.apply([keras.ops.array([3.0, 4.0]), keras.ops.array([0.5])], [a, b])
    np.testing.assert_allclose(-a.numpy(), expected[0], rtol=1e-4)
    np.testing.assert_allclose(-b.numpy(), expected[1], rtol=1e-4)


def test_decay_skips_biases_of_attention_and_norms():
    attention = keras.layers.MultiHeadAttention(2, 4, name="attention")
    attention.build((None, 3, 8), (None, 3, 8))
    norm = keras.layers.LayerNormalization()
    norm.build((None, 3, 8))
    decayed = {
        v.path for v in (*attention.weights, *norm.weights) if optimizers_optimizer.is_decayed(v)
    }
    kernels = ("query", "key", "value", "attention_output")
    assert decayed == {f"attention/{name}/kernel" for name in kernels}


def test_the_average_of_the_weights():
    kernel, bias = variables()
    optimizer = optimizers_optimizer.build(options(optimizer="sgd", ema_decay=0.9), {}, 0.1)
    seen = []
    for gradient in (1.0, -2.0, 0.5, 3.0):
        optimizer.apply(
            [keras.ops.full((2, 2), gradient), keras.ops.full((2,), -gradient)], [kernel, bias]
        )
        seen.append(kernel.numpy())
    expected = seen[0]
    for value in seen[1:]:
        expected = 0.9 * expected + 0.1 * value
    optimizer.finalize_variable_values([kernel, bias])
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)
