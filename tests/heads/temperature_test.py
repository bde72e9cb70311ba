import keras
import numpy as np
import pytest
from scipy import special

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.heads import temperature
from tltf.heads.temperature import BOUNDS, class_losses, label_losses

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(600, 5))
KERNEL = RNG.normal(size=(5, 4))
LOGITS = FEATURES @ KERNEL
ROWS = np.arange(600, dtype=np.uint64)
"""Groups of one row each."""


def drawn(logits, seed=0):
    """int[N]: classes that are drawn from softmax(logits), which these logits are right about."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows = (shares / shares.sum(axis=1, keepdims=True)).cumsum(axis=1)
    return (np.random.default_rng(seed).random((len(rows), 1)) > rows[:, :-1]).sum(axis=1)


LABELS = drawn(LOGITS)


def head(text):
    return call_strings.pick(HEADS, text, "head").build()


def scores(made, logits):
    return keras.ops.convert_to_numpy(made.scores(logits.astype("float32")))


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_the_temperature_is_that_of_scikit_learn(scale):
    """Its calibrator divides the logits of an estimator by 1 / beta, fitted in another way."""
    pytest.importorskip("sklearn", minversion="1.8")
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(FEATURES, LABELS)
    model.coef_, model.intercept_ = scale * KERNEL.T, np.zeros(4)
    peer = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
    peer.fit(FEATURES, LABELS)
    expected = 1 / peer.calibrated_classifiers_[0].calibrators[0].beta_
    found = temperature.fit(scale * LOGITS, LABELS, class_losses)
    assert found == pytest.approx(expected, rel=1e-4)
    made = head("classify").calibrate(scale * LOGITS, LABELS, ROWS, is_wanted=True)
    np.testing.assert_allclose(
        scores(made, scale * LOGITS), peer.predict_proba(FEATURES), atol=1e-5
    )


def test_the_losses_are_those_of_the_equations():
    logits, labels = LOGITS[:7], LABELS[:7]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(shares[np.arange(7), labels])
    np.testing.assert_allclose(class_losses(logits, labels), expected)
    chances = 1 / (1 + np.exp(-logits[:, 0]))
    truths = np.array([0, 1, 1, 0, 1, 0, 0], np.uint8)
    expected = -np.log(np.where(truths, chances, 1 - chances))
    np.testing.assert_allclose(label_losses(logits[:, 0], truths), expected)


def test_it_is_the_lowest_of_a_fine_grid_and_within_its_bounds():
    found = temperature.fit(3 * LOGITS, LABELS, class_losses)
    grid = np.exp(np.linspace(np.log(found) - 0.5, np.log(found) + 0.5, 201))
    means = [class_losses(3 * LOGITS / value, LABELS).mean() for value in grid]
    assert abs(np.log(grid[np.argmin(means)] / found)) < 0.006
    right = temperature.fit(LOGITS, LOGITS.argmax(axis=1), class_losses)
    wrong = temperature.fit(LOGITS, LOGITS.argmin(axis=1), class_losses)
    assert right == pytest.approx(BOUNDS[0], rel=1e-3)
    assert wrong == pytest.approx(BOUNDS[1], rel=1e-3)


@pytest.mark.parametrize("name", ["classify", "ordinal"])
def test_answers_stay_the_same(name):
    """Also those of an ordinal head whose thresholds are close, or in the wrong order."""
    logits = np.array([[2.0, -2.0, -2.1], [0.3, 0.2, -4.0], [1.0, 2.0, 0.5], [9.0, 8.0, 7.0]])
    before = scores(head(name), logits)
    for value in (0.2, 1.0, 4.0):
        after = scores(head(f"{name}(temperature={value})"), logits)
        np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
        np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-6)
        powers = before.astype("float64") ** (1 / value)
        np.testing.assert_allclose(after, powers / powers.sum(axis=1, keepdims=True), atol=2e-5)


def test_the_trained_loss_does_not_know_the_temperature():
    logits, labels = LOGITS[:5].astype("float32"), LABELS[:5]
    for name in ("classify", "ordinal"):
        logits_of = logits if name == "classify" else logits[:, :3]
        plain, hot = head(name), head(f"{name}(temperature=3.0)")
        assert float(plain.loss()(labels, logits_of)) == float(hot.loss()(labels, logits_of))
        np.testing.assert_array_equal(
            plain.losses(logits_of, labels), hot.losses(logits_of, labels)
        )


def test_auto_takes_it_only_where_held_out_rows_gain():
    classify = head("classify")
    hot = classify.calibrate(3 * LOGITS, LABELS, ROWS)
    assert hot.temperature == temperature.fit(3 * LOGITS, LABELS, class_losses)
    assert hot.without_temperatures() == classify
    own = temperature.fit(LOGITS, LABELS, class_losses)
    held_out = temperature.losses_held_out(LOGITS, LABELS, class_losses, ROWS).mean()
    gains = held_out < class_losses(LOGITS, LABELS).mean()
    assert classify.calibrate(LOGITS, LABELS, ROWS).temperature == (own if gains else None)
    noise = temperature.fit(LOGITS / own, LABELS, class_losses)
    assert noise == pytest.approx(1, abs=1e-4)
    assert classify.calibrate(LOGITS / own, LABELS, ROWS) == classify, "nothing is left to gain"


@pytest.mark.parametrize(
    ("rows", "labels", "groups"),
    [
        (99, LABELS, ROWS),
        (600, LOGITS.argmax(axis=1), ROWS),
        (600, LABELS, np.zeros(600, np.uint64)),
    ],
)
def test_auto_leaves_alone_what_rows_do_not_decide(rows, labels, groups):
    """Too few rows; right answers only, which ask for more certainty without end; one content."""
    given = 3 * LOGITS[:rows], labels[:rows], groups[:rows]
    assert head("classify").calibrate(*given) == head("classify")
    assert head("classify").calibrate(*given, is_wanted=True).temperature


def test_a_users_temperature_stays():
    given = head("classify(temperature=2.0)")
    assert given.calibrate(3 * LOGITS, LABELS, ROWS, is_wanted=True) is given


def test_rows_of_one_content_are_held_out_together():
    """Else a copy among the training rows would speak for the held-out row."""
    logits, labels = np.repeat(LOGITS[:40], 5, axis=0), np.repeat(LABELS[:40], 5)
    groups = np.repeat(np.arange(40, dtype=np.uint64), 5)
    found = temperature.losses_held_out(2 * logits, labels, class_losses, groups)
    assert all(len(set(part.tolist())) == 1 for part in found.reshape(40, 5))
    spread = temperature.losses_held_out(2 * logits, labels, class_losses, ROWS[:200])
    assert any(len(set(part.tolist())) > 1 for part in spread.reshape(40, 5))


def labelled(scales):
    """`(logits, labels)` of labels that are drawn from sigmoid(logits / scale), one scale each."""
    rng = np.random.default_rng(1)
    plain = rng.normal(0, 2, (1500, len(scales)))
    labels = (rng.random(plain.shape) < 1 / (1 + np.exp(-plain))).astype(np.uint8)
    return plain * scales, labels


def test_each_label_has_its_own_temperature():
    logits, labels = labelled([3.0, 0.5, 1.0])
    groups = np.arange(1500, dtype=np.uint64)
    made = head("multi_label").calibrate(logits, labels, groups)
    assert made.temperatures[0] == pytest.approx(3, rel=0.15)
    assert made.temperatures[1] == pytest.approx(0.5, rel=0.15)
    assert made.temperatures[2] == pytest.approx(1, rel=0.15)
    expected = 1 / (1 + np.exp(-logits / np.array(made.temperatures)))
    np.testing.assert_allclose(scores(made, logits), expected, atol=1e-6)


def test_rare_labels_take_the_common_temperature_if_at_all():
    logits, labels = labelled([3.0, 3.0])
    labels[:, 1] = 0
    labels[:5, 1] = 1
    groups = np.arange(1500, dtype=np.uint64)
    made = head("multi_label").calibrate(logits, labels, groups)
    assert made.temperatures[0] > 2 and made.temperatures[1] == 1.0
    wanted = head("multi_label").calibrate(logits, labels, groups, is_wanted=True)
    common = temperature.fit(logits.ravel(), labels.ravel(), label_losses)
    assert wanted.temperatures == (made.temperatures[0], common)


def test_labels_that_are_given_stay_the_same():
    """Their thresholds move with the probabilities."""
    logits, labels = labelled([3.0, 0.5, 1.0])
    tuned = head("multi_label").tune(scores(head("multi_label"), logits), labels)
    hot = tuned.calibrate(logits, labels, np.arange(1500, dtype=np.uint64))
    assert hot.temperatures and hot.thresholds != tuned.thresholds
    new, _ = labelled([3.0, 0.5, 1.0])
    before = tuned.choose_labels(scores(tuned, 1.1 * new))
    np.testing.assert_array_equal(hot.choose_labels(scores(hot, 1.1 * new)), before)
    back = hot.without_temperatures()
    np.testing.assert_allclose(back.thresholds, tuned.thresholds, rtol=1e-6)


def test_edges_of_thresholds_stay():
    moved = head("multi_label(thresholds=[0, 1, .5])")
    logits, labels = labelled([3.0, 3.0, 3.0])
    made = moved.calibrate(logits, labels, np.arange(1500, dtype=np.uint64))
    assert made.thresholds == (0.0, 1.0, 0.5)


@pytest.mark.parametrize("count", [2, 8, 200])
def test_few_rows_that_are_all_right_are_believed_as_far_as_so_many_can_show(count):
    labels = np.arange(count) % 2
    logits = 3.0 * np.eye(2)[labels]
    odds = count + 1.0  # (n + 1) / (n + 2) against 1 / (n + 2)
    assert temperature.fit_of_few(logits, labels, count) == pytest.approx(
        3 / np.log(odds), rel=1e-4
    )
    assert temperature.fit(logits, labels, class_losses) < 0.1, "surer than any row can show"


def test_many_rows_get_the_temperature_of_their_loss():
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, (5000, 3))
    labels = (random.random(5000)[:, None] > np.cumsum(special.softmax(logits / 2, 1), 1)).sum(1)
    plain = temperature.fit(logits, labels, temperature.class_losses)
    assert temperature.fit_of_few(logits, labels, 5000) == pytest.approx(plain, rel=5e-3)
