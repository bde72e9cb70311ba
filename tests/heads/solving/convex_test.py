"""The path of penalties against scikit-learn, against numeric gradients, and in its corners."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import threadpoolctl
from scipy import optimize
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tltf.errors import DataError, NumericError, ShapeError
from tltf.heads.solving import convex

RNG = np.random.default_rng(0)


def given(count=120, width=6, num_classes=3):
    labels = np.arange(count) % num_classes
    centres = RNG.normal(size=(num_classes, width))
    scale = np.linspace(0.1, 30, width)
    return (RNG.normal(size=(count, width)) * 1.5 + centres[labels]) * scale + 5, labels


def sklearn_logits(features, labels, penalty, weights=None):
    scaler = StandardScaler().fit(features)
    total = len(labels) if weights is None else weights.sum()
    other = LogisticRegression(C=1 / (total * penalty), tol=1e-10, max_iter=20000)
    other.fit(scaler.transform(features), labels, sample_weight=weights)
    return other.predict_log_proba(scaler.transform(features))


def log_softmax(logits):
    logits = logits - logits.max(1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def stated(solution, features):
    return log_softmax(features @ solution.kernel.astype(float) + solution.bias)


@pytest.mark.parametrize("penalty", [1.0, 0.03, 0.001])
@pytest.mark.parametrize("width", [6, 200])
def test_scikit_learn_finds_the_same(penalty, width):
    features, labels = given(width=width)
    solution = convex.path(features, labels, (features, labels), penalties=[penalty])
    assert solution.has_converged and solution.kernel.dtype == np.float32
    expected = sklearn_logits(features, labels, penalty)
    np.testing.assert_allclose(stated(solution, features), expected, atol=2e-3)


def test_weights_are_repetitions():
    features, labels = given()
    weights = RNG.integers(1, 4, len(labels)).astype(float)
    rows = np.repeat(np.arange(len(labels)), weights.astype(int))
    scaled = convex.path(features, labels, (features, labels), weights=weights, penalties=[0.1])
    expected = sklearn_logits(features[rows], labels[rows], 0.1)
    np.testing.assert_allclose(stated(scaled, features[rows]), expected, atol=2e-3)


def test_the_gradient_is_the_slope():
    features, _ = given(20, 4)
    targets = RNG.dirichlet(np.ones(3), 20)
    problem = convex._Problem(features / 10, targets, RNG.uniform(0.5, 2, 20))
    kernel, bias = RNG.normal(size=(3, 4)), RNG.normal(size=3)
    _, by_kernel, by_bias = problem.value(kernel, bias, 0.3)
    for place in np.ndindex(3, 4):
        step = np.zeros((3, 4))
        step[place] = 1e-6
        ends = [problem.value(kernel + sign * step, bias, 0.3)[0] for sign in (1, -1)]
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(by_kernel[place], abs=1e-6)
    for place in range(3):
        step = np.eye(3)[place] * 1e-6
        ends = [problem.value(kernel, bias + sign * step, 0.3)[0] for sign in (1, -1)]
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(by_bias[place], abs=1e-6)


def test_scikit_learn_finds_the_same_coefficients():
    features, labels = given(300)
    solution = convex.path(features, labels, penalties=[0.03])
    scaler = StandardScaler().fit(features)
    other = LogisticRegression(C=1 / (300 * 0.03), tol=1e-10, max_iter=20000)
    other.fit(scaler.transform(features), labels)
    kernel = solution.kernel * scaler.scale_[:, None]
    np.testing.assert_allclose(kernel, other.coef_.T, atol=1e-4)
    scores = other.predict_log_proba(scaler.transform(features))
    assert solution.rows[0]["loss"] == pytest.approx(
        -scores[np.arange(300), labels].mean(), abs=1e-6
    )


def test_the_minimum_for_soft_targets_and_weights_is_that_of_a_general_solver():
    features = RNG.normal(size=(40, 3))
    targets, weights = RNG.dirichlet(np.ones(4), 40), RNG.uniform(0, 3, 40)
    solution = convex.path(features, targets, weights=weights, penalties=[0.05])
    mean = np.average(features, axis=0, weights=weights)
    deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))

    def objective(flat):
        scores = log_softmax((features - mean) / deviation @ flat[:12].reshape(3, 4) + flat[12:])
        losses = -(targets * scores).sum(1)
        return np.average(losses, weights=weights) + 0.025 * (flat[:12] ** 2).sum()

    expected = optimize.minimize(objective, np.zeros(16), tol=1e-9).x[:12].reshape(3, 4)
    np.testing.assert_allclose(solution.kernel * deviation[:, None], expected, atol=1e-4)


@pytest.mark.parametrize("width", [6, 200])
def test_a_wide_problem_without_a_factor_has_the_same_solution(monkeypatch, width):
    features, labels = given(width=width)
    factored = convex.path(features, labels, penalties=[0.1])
    monkeypatch.setattr(convex, "_MAX_FACTORED", 1)
    plain = convex.path(features, labels, penalties=[0.1])
    assert plain.has_converged
    np.testing.assert_allclose(
        stated(plain, features), stated(factored, features), atol=1e-3, rtol=1e-3
    )


def test_a_start_at_the_solution_needs_no_iterations_and_changes_nothing():
    features, labels = given(width=200)
    first = convex.path(features, labels, penalties=[0.1])
    again = convex.path(features, labels, penalties=[0.1], initial=(first.kernel, first.bias))
    assert again.rows[0]["num_iterations"] <= 3 < first.rows[0]["num_iterations"]
    np.testing.assert_allclose(again.kernel, first.kernel, atol=1e-4)


def test_a_solution_that_has_not_converged_says_so(monkeypatch):
    monkeypatch.setattr(convex, "_MAX_ITERATIONS", 2)
    features, labels = given()
    solution = convex.path(features, labels, (features, labels))
    assert not solution.has_converged and not solution.rows[-1]["has_converged"]


def test_blocks_make_no_difference(monkeypatch):
    features, labels = given()
    whole = convex.path(features, labels, (features, labels))
    monkeypatch.setattr(convex.examples, "_BLOCK", 7)
    parts = convex.path(features, labels, (features, labels))
    np.testing.assert_allclose(parts.kernel, whole.kernel, rtol=1e-3, atol=1e-5)
    assert parts.rows[-1]["val_loss"] == pytest.approx(whole.rows[-1]["val_loss"], rel=1e-3)


def test_half_precision_and_memory_maps_are_read(tmp_path):
    features, labels = given()
    half = features.astype("float16")
    np.save(tmp_path / "half.npy", half)
    mapped = np.load(tmp_path / "half.npy", mmap_mode="r")
    found = convex.path(mapped, labels, (mapped, labels), penalties=[0.1])
    expected = convex.path(half.astype("float64"), labels, penalties=[0.1])
    np.testing.assert_array_equal(found.kernel, expected.kernel)


def test_ties_go_to_the_lower_loss_and_then_to_the_stronger_penalty():
    row = {"val_accuracy": 0.5, "val_loss": 1.0}
    rows = [row | {"val_loss": 2.0}, row, row | {"val_accuracy": 0.4, "val_loss": 0.1}]
    assert max(enumerate([*rows, row]), key=lambda pair: convex._quality((None, pair[1])))[0] == 1


def test_rows_are_plain_json_and_threads_are_as_before():
    features, labels = given()
    before = threadpoolctl.threadpool_info()
    solution = convex.path(features, labels)
    assert threadpoolctl.threadpool_info() == before
    assert json.loads(json.dumps(solution.rows, allow_nan=False)) == list(solution.rows)
    assert [row["penalty"] for row in solution.rows] == sorted(convex.PENALTIES, reverse=True)


def test_it_needs_no_tensorflow():
    code = "import sys, tltf.heads.solving.convex; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_hot_probabilities_are_labels():
    features, labels = given()
    hard = convex.path(features, labels, (features, labels), penalties=[0.1])
    soft = convex.path(features, np.eye(3)[labels], (features, labels), penalties=[0.1])
    np.testing.assert_allclose(hard.kernel, soft.kernel)


def test_validation_chooses():
    features, labels = given(60, 100)
    more, theirs = given(60, 100)
    more = more + (features[:60].mean(0) - more.mean(0))
    solution = convex.path(features, labels, (more, theirs))
    scores = [(row["val_accuracy"], -row["val_loss"]) for row in solution.rows]
    best = solution.rows[scores.index(max(scores))]
    assert best["penalty"] == solution.penalty
    assert [row["penalty"] for row in solution.rows] == list(convex.PENALTIES)
    losses = [row["loss"] for row in solution.rows]
    assert losses == sorted(losses, reverse=True), "less penalty fits better"
    accuracy = (stated(solution, more).argmax(1) == theirs).mean()
    assert accuracy == pytest.approx(best["val_accuracy"])


def test_without_validation_all_examples_are_fitted():
    features, labels = given()
    solution = convex.path(features, labels)
    expected = sklearn_logits(features, labels, solution.penalty)
    np.testing.assert_allclose(stated(solution, features), expected, atol=2e-3)


def test_a_constant_feature_has_no_say():
    features, labels = given()
    features[:, 2] = 7.0
    solution = convex.path(features, labels, (features, labels))
    assert np.isfinite(solution.kernel).all()
    np.testing.assert_allclose(solution.kernel[2], 0, atol=1e-6)


def test_a_dimension_that_is_switched_off_has_no_say():
    """MiniLM has one: deviation 2e-9 around -1e-7, others .15. It got weights of 3e6."""
    features, labels = given()
    features[:, 2] = -1e-7 + 2e-9 * features[:, 2]
    solution = convex.path(features, labels, (features, labels))
    assert np.abs(solution.kernel[2]).max() < 1e-3 < np.abs(solution.kernel).max() < 100


def test_a_class_without_examples_keeps_its_place():
    features, labels = given(num_classes=2)
    solution = convex.path(features, np.eye(3)[labels], (features, labels))
    assert solution.kernel.shape == (6, 3)
    assert (stated(solution, features).argmax(1) < 2).all()
    far = np.concatenate([features, RNG.normal(size=(50, 6)) * 1e3])
    assert stated(solution, far)[:, 2].max() < np.log(1 / 120)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda x, y: (np.where(x == x[0, 0], np.nan, x), y), NumericError),
        (lambda x, y: (x, np.zeros_like(y)), DataError),
        (lambda x, y: (x[:5], y), ShapeError),
        (lambda x, y: (x[:, :2], y), ShapeError),
    ],
)
def test_bad_input(change, error):
    features, labels = given()
    with pytest.raises(error):
        convex.path(*change(features, labels), (features, labels))


@pytest.fixture
def mapped(tmp_path):
    """Puts an array into a file; gives its memory map."""

    def put(features):
        features.astype("float32").tofile(tmp_path / "features")
        return np.memmap(tmp_path / "features", np.float32, "r", shape=features.shape)

    return put


@pytest.mark.parametrize("is_chosen_on_validation", [True, False])
def test_a_memory_map_of_many_blocks_has_the_same_solution(mapped, is_chosen_on_validation):
    """Sums over blocks round otherwise; both stop within the tolerance of the same minimum."""
    features, labels = given(10_000, 12)
    features, weights = features.astype("float32"), RNG.integers(0, 3, 10_000)
    judged = (features[:900], labels[:900]) if is_chosen_on_validation else None
    whole = convex.path(features, labels, judged, weights=weights)
    if judged:
        judged = (mapped(features)[:900], labels[:900])
    blocks = convex.path(mapped(features), labels, judged, weights=weights)
    assert blocks.penalty == whole.penalty and blocks.has_converged
    np.testing.assert_allclose(blocks.kernel, whole.kernel, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(blocks.bias, whole.bias, rtol=1e-3, atol=1e-5)
    for row, other in zip(blocks.rows, whole.rows, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-6)
        assert row["val_accuracy"] == pytest.approx(other["val_accuracy"], abs=2e-3)


def test_a_memory_map_of_one_block_has_the_same_bits(mapped):
    features, labels = given(300, 12)
    whole = convex.path(features.astype("float32"), labels)
    blocks = convex.path(mapped(features), labels)
    np.testing.assert_array_equal(blocks.kernel, whole.kernel)
    np.testing.assert_array_equal(blocks.bias, whole.bias)
    assert blocks.rows == whole.rows


@pytest.mark.parametrize("shape", [(10_000, 12), (40, 90)])
def test_the_objective_of_a_memory_map(mapped, shape):
    features, labels = given(*shape)
    targets, weights = np.eye(3)[labels], RNG.uniform(0.5, 2, len(labels))
    whole = convex._Problem(features.astype("float32"), targets, weights)
    blocks = convex._Problem(mapped(features), targets, weights)
    assert len(blocks.inputs.parts) == (3 if shape[0] > shape[1] else 1)
    kernel, bias = RNG.normal(size=(3, min(shape))), RNG.normal(size=3)
    for one, other in zip(
        whole.value(kernel, bias, 0.3), blocks.value(kernel, bias, 0.3), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-14)


def test_a_memory_map_is_not_held(mapped):
    """What is allocated at once is a few blocks, not the standardised copy of 8 * N * d bytes."""
    features, labels = given(40_000, 64, 2)
    there = mapped(features)
    del features
    tracemalloc.start()
    convex.path(there, labels, penalties=(0.1, 0.01))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 40_000 * 64 * 0.75
