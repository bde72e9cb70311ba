"""A probe solved to convergence: the optimum that scikit-learn finds, put into the head."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tests import tiny
from tests.caching.feature_cache_test import (
    images,
    images_source,
    train,
)
from tltf.errors import FlagError
from tltf.methods import fine_tuning as methods
from tltf.training.solver import solve_head

RNG = np.random.default_rng(0)
LABELS = (np.arange(90) % 3).astype("int32")
FEATURES = (RNG.normal(size=(90, 5)) + LABELS[:, None] * [1.0, 0, -1, 0, 0.5]).astype("float32")


def dense(units=3):
    layer = keras.layers.Dense(units, name="label_logits")
    layer.build((None, 5))
    return layer


def test_the_head_gets_scikit_learns_optimum():
    layer = dense()
    given = (FEATURES, LABELS, np.ones(90, "float32"))
    solution = solve_head.solve(layer, given, (FEATURES[:30], LABELS[:30]))
    scaler = StandardScaler().fit(FEATURES)
    other = LogisticRegression(C=1 / (90 * solution.penalty), tol=1e-8, max_iter=10000)
    other.fit(scaler.transform(FEATURES), LABELS)
    expected = other.predict_proba(scaler.transform(FEATURES))
    found = keras.ops.softmax(layer(FEATURES)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_smoothed_targets_state_less():
    plain, smooth = dense(), dense()
    given = (FEATURES, LABELS, np.ones(90, "float32"))
    solve_head.solve(plain, given, (FEATURES, LABELS))
    solve_head.solve(smooth, given, (FEATURES, LABELS), label_smoothing=0.3)
    top = [keras.ops.softmax(layer(FEATURES)).numpy().max(1).mean() for layer in (plain, smooth)]
    assert top[1] < top[0]


def test_a_boundary_of_several_tensors_is_refused():
    pair = tf.data.Dataset.from_tensors(({"a": [[1.0]], "b": [[1.0]]}, {"y": [0]}, {"y": [1.0]}))
    with pytest.raises(FlagError, match="one vector"):
        solve_head.read_examples(pair)


@pytest.mark.parametrize("flags", [{}, {"cache": False}, {"augment": "flip", "cache_views": 2}])
def test_a_run_with_the_solver(own_cache, flags):
    method = methods.linear_probe(solver="lbfgs")
    source = images_source(60)
    history, weights, run = train(images, source, method, **flags)
    keras.utils.set_random_seed(0)
    before = {v.path: v.numpy() for v in tiny.core(images(), num_classes=3).model.weights}
    for path, value in weights.items():
        assert np.array_equal(value, before[path]) != path.startswith("label"), path
    assert len(history) > 3 and {"loss", "val_loss", "val_accuracy"} <= set(history[-1])
    assert run.judges.measure()[1] == pytest.approx(max(row["val_accuracy"] for row in history))


def test_a_run_whose_features_do_not_fit_in_memory_has_the_same_weights(own_cache, monkeypatch):
    """One block of rows is summed in the same order from a file as from memory."""
    found, kinds, original = [], [], solve_head.solve

    def solve(dense, training, *more, **named):
        kinds.append([type(training[0]), type(more[0][0])])
        return original(dense, training, *more, **named)

    monkeypatch.setattr(solve_head, "solve", solve)
    for memory_mb in (1024, 0):
        method = methods.linear_probe(solver="lbfgs")
        _, weights, _ = train(images, images_source(60), method, cache_memory_mb=memory_mb)
        found.append(weights)
    assert kinds == [[np.ndarray] * 2, [np.memmap] * 2]
    for path, value in found[0].items():
        np.testing.assert_array_equal(found[1][path], value, path)


def test_the_head_for_a_number_gets_the_quantiles_of_the_pinball_loss(monkeypatch):
    """With almost no smoothing and penalty it is scikit-learn's linear program."""
    from sklearn.linear_model import QuantileRegressor

    from tltf.heads.regress import regress
    from tltf.heads.solving import quantiles

    monkeypatch.setattr(quantiles, "BANDWIDTH", 0.003)
    monkeypatch.setattr(quantiles, "PENALTIES", (1e-6,))
    numbers = FEATURES @ [2.0, 0, -1, 0, 1] + RNG.standard_t(3, size=90) + 5
    head, layer = regress(quantiles=(0.25, 0.5), center=5.0, scale=2.0), dense(units=2)
    given = (FEATURES, numbers, np.ones(90, "float32"))
    solve_head.solve(layer, given, (FEATURES, numbers), head=head)
    found = layer(FEATURES).numpy() * 2 + 5
    for column, level in enumerate((0.25, 0.5)):
        other = QuantileRegressor(quantile=level, alpha=0.0).fit(FEATURES, numbers)
        expected = other.predict(FEATURES)
        pinball = [
            np.maximum(level * gap, (level - 1) * gap).mean()
            for gap in (numbers - found[:, column], numbers - expected)
        ]
        assert pinball[0] == pytest.approx(pinball[1], rel=2e-3)
        np.testing.assert_allclose(found[:, column], expected, atol=0.15)


def test_a_penalty_of_a_number_is_chosen_on_held_out_rows():
    from tltf.heads.solving.quantiles import Aims, path

    features = RNG.normal(size=(60, 80)).astype("float32")
    numbers = features[:, 0] + 0.1 * RNG.normal(size=60)
    copies = np.repeat(np.arange(30), 2)
    solution = path(Aims(features, numbers, np.ones(60)), (0.5,), groups=copies)
    errors = {row["penalty"]: row["val_mean_absolute_error"] for row in solution.rows}
    assert errors[solution.penalty] == min(errors.values()) and solution.has_converged
    assert solution.kernel.shape == (80, 1) and solution.bias.shape == (1,)
