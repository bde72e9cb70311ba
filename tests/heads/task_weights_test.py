"""Weights by gradient norm against numpy: equations 1 and 2 of Chen et al. 2018."""

import keras
import numpy as np
import pytest

from tltf.config.task_heads import pick_head
from tltf.errors import FlagError
from tltf.heads.task_weights import (
    BalancedLoss,
    GradNormModel,
    LogWeight,
    gradients_of_numbers,
    weights_of,
)


def grad_loss(numbers, norms, aims):
    """L_grad of the numbers of the tasks, with the aims as constants."""
    weights = len(numbers) * np.exp(numbers) / np.exp(numbers).sum()
    return np.abs(weights * norms - aims).sum()


def test_the_gradient_is_that_of_the_distance_to_the_common_norm():
    numbers, norms = np.array([0.3, -0.2, 0.1]), np.array([2.0, 0.5, 1.0])
    losses, firsts, alpha = np.array([0.9, 0.2, 0.4]), np.array([1.0, 0.5, 0.4]), 1.5
    weights = 3 * np.exp(numbers) / np.exp(numbers).sum()
    left = losses / firsts
    aims = (weights * norms).mean() * (left / left.mean()) ** alpha
    found = gradients_of_numbers(
        *(value.astype("float32") for value in (norms, losses, firsts)),
        [np.float32(value) for value in numbers],
        alpha,
    )
    for place in range(3):
        step = np.eye(3)[place] * 1e-6
        slope = grad_loss(numbers + step, norms, aims) - grad_loss(numbers - step, norms, aims)
        assert float(found[place]) == pytest.approx(slope / 2e-6, rel=1e-4)
    assert float(keras.ops.sum(weights_of(list(numbers)))) == pytest.approx(3.0)


def test_a_task_without_rows_in_a_batch_takes_no_part():
    given = [np.float32([1.0, 2.0, 0.0]), np.float32([0.5, 0.5, 0.0]), np.float32([1.0, 1.0, 1.0])]
    found = gradients_of_numbers(*given, [np.float32(0.0)] * 3, 1.0).numpy()
    assert np.isfinite(found).all()
    aim = 1.5  # the mean norm of the first two, whose losses are equal
    by_weight = np.array([1.0, 2.0, 0.0]) * np.sign([1.0 - aim, 2.0 - aim, 0.0])
    np.testing.assert_allclose(found, by_weight - by_weight.mean(), atol=1e-5)


def test_a_step_moves_the_weights_as_the_norms_at_the_shared_layer_say():
    """Two tasks with the loss of the mean square: the gradient by the shared kernel is known."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    inputs, aims = rng.normal(size=(8, 3)).astype("float32"), rng.normal(size=(8, 2))
    shared = keras.layers.Dense(2, use_bias=False, name="shared")
    given = keras.Input((3,))
    features, outputs, layers = shared(given), {}, []
    for task in ("a", "b"):
        layer = LogWeight(0.0, name=f"{task}_weight")
        outputs[task] = layer(keras.layers.Dense(1, use_bias=False, name=task)(features))
        layers.append(layer)
    model = GradNormModel({"x": given}, outputs)
    square = keras.losses.MeanSquaredError
    model.compile(
        keras.optimizers.SGD(0.1),
        loss={t: BalancedLoss(square(), own, layers) for t, own in zip("ab", layers, strict=True)},
    )
    model.shared, model.firsts, model.alpha = (shared.kernel,), {"a": 1.0, "b": 0.5}, 1.0
    # Copies: what numpy() gives may lie in the memory that the step changes.
    kernel = shared.kernel.numpy().copy()
    heads = {task: model.get_layer(task).kernel.numpy().copy() for task in "ab"}
    losses, norms = [], []
    for place, task in enumerate("ab"):
        gap = (inputs @ kernel @ heads[task])[:, 0] - aims[:, place]
        losses.append(np.mean(gap**2))
        norms.append(np.linalg.norm(inputs.T @ (2 * gap[:, None] / 8 * heads[task].T)))
    expected = gradients_of_numbers(
        np.float32(norms), np.float32(losses), np.float32([1.0, 0.5]), [np.float32(0)] * 2, 1.0
    )
    targets = {task: aims[:, [place]] for place, task in enumerate("ab")}
    model.train_on_batch({"x": inputs}, targets)
    moved = [float(layer.number) for layer in layers]
    np.testing.assert_allclose(moved, -0.1 * expected.numpy(), rtol=1e-4, atol=1e-6)
    total = heads["a"] @ ((inputs @ kernel @ heads["a"])[:, 0] - aims[:, 0])[None] / 4
    total = total + heads["b"] @ ((inputs @ kernel @ heads["b"])[:, 0] - aims[:, 1])[None] / 4
    np.testing.assert_allclose(
        shared.kernel.numpy(), kernel - 0.1 * (total @ inputs).T, rtol=1e-4, atol=1e-6
    )


def test_gradnorm_is_read_and_written():
    call = pick_head("a: regress; b: classify; weights: gradnorm(alpha=.5, a=2)")
    assert (call.weighing.alpha, call.weighing.weights) == (0.5, {"a": 2.0})
    again = pick_head(call.text)
    assert again.weighing == call.weighing
    for bad in ("gradnorm(alpha=-1)", "gradnorm(c=1)", "gradnorm(alpha=true)"):
        with pytest.raises(FlagError):
            pick_head(f"a: regress; b: classify; weights: {bad}")
