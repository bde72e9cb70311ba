"""A look: its tests, its correction, and that it rings where rows changed and not where they did not."""

import numpy as np
import pytest
from scipy import stats

from tests.serving.monitoring import making
from tltf.errors import FlagError
from tltf.serving.monitoring import look, page, statistics
from tltf.serving.monitoring.answers import Answers
from tltf.serving.monitoring.look import Look, Ring

OWN = making.a_reference()


def live(num=200, tilt=0.0, seed=1, features=None, num_bad=0):
    scores = making.probabilities(np.random.default_rng(seed), num, tilt)
    return Answers(scores, scores.argmax(axis=1).astype(np.int32), features, num_bad)


def test_p_values_are_those_of_the_tests_and_of_all_together():
    found = look.look_at(live(tilt=0.3), OWN, 3, "2026-01-01", 99)
    rows = OWN.answers.scores[:, 0], live(tilt=0.3).scores[:, 0]
    outputs = stats.ks_2samp(*rows).pvalue
    table = [[(part > 0.5).sum(), (part <= 0.5).sum()] for part in rows]
    answers = stats.chi2_contingency(table, correction=False).pvalue
    assert found.p_values == {"outputs": outputs, "answers": pytest.approx(answers)}
    assert found.p_value == pytest.approx(min(1.0, 2 * min(outputs, answers)))
    assert found.number == 3 and found.num_rows == 200 and found.discrepancy is None


def test_features_are_a_third_test():
    rng = np.random.default_rng(0)
    own = making.a_reference(features=rng.normal(0, 1, (300, 6)).astype(np.float16))
    moved = live(features=rng.normal(0.4, 1, (200, 6)).astype(np.float32))
    found = look.look_at(moved, own, 1, "", look.permutations_for(0.01))
    assert set(found.p_values) == set(look.TESTS)
    assert found.p_values["features"] == pytest.approx(1 / 1000) and found.discrepancy > 0
    assert found.p_value < 0.01, "the permutation test alone can ring"
    without = look.look_at(live(), own, 1, "", 99)
    assert set(without.p_values) == {"outputs", "answers"}


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_there_are_permutations_enough_to_ring(alpha):
    assert len(look.TESTS) / (1 + look.permutations_for(alpha)) < alpha
    with pytest.raises(FlagError, match="too small"):
        look.permutations_for(1e-5)


def test_looks_ring_at_their_level_without_a_shift():
    """With a new reference each time, since one reference makes its looks alike."""
    p_values = [
        look.look_at(live(seed=seed), making.a_reference(300, seed + 1000), 1, "", 1).p_value
        for seed in range(300)
    ]
    assert np.mean(np.array(p_values) < 0.05) <= 0.08
    assert (
        np.mean([look.look_at(live(500, 0.6, s), OWN, 1, "", 1).p_value < 0.01 for s in range(20)])
        == 1
    )


def test_answers_by_a_threshold_do_not_ring():
    """The test of classes takes the most probable ones, while the rates are those of the answers."""
    plain = live()
    given = (plain.scores[:, 1] > 0.9).astype(np.int32)
    found = look.look_at(Answers(plain.scores, given), OWN, 1, "", 1)
    assert found.p_values == look.look_at(plain, OWN, 1, "", 1).p_values
    assert found.summary.rates["good"] == pytest.approx(given.mean())


def test_few_rows_are_counted_and_not_tested():
    found = look.look_at(live(look.LEAST_ROWS - 1, num_bad=30), OWN, 1, "", 1)
    assert found.p_values == {} and found.p_value is None and found.num_bad == 30
    empty = Answers(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), None, 40)
    found = look.look_at(empty, OWN, 1, "", 1)
    assert found.summary.rates == {} and found.num_bad == 40 and found.class_shift is None


def test_class_shift_is_that_of_the_estimate():
    found = look.look_at(live(tilt=0.8), OWN, 1, "", 1)
    answers = live(tilt=0.8).given
    expected = statistics.estimate_class_shift(OWN.truths, OWN.answers.given, answers, 2)
    assert list(found.class_shift.values()) == expected.rates.tolist()


def test_labels_and_numbers():
    own = making.a_reference(kind="labels")
    scores = making.probabilities(np.random.default_rng(3), 200, 1.0)
    found = look.look_at(Answers(scores, scores > 0.5), own, 1, "", 1)
    assert set(found.p_values) == {"outputs", "answers"} and found.p_value < 1e-4
    assert found.summary.rates["bad"] == pytest.approx((scores[:, 0] > 0.5).mean())
    assert found.class_shift is None and found.summary.confidence is None
    rng = np.random.default_rng(4)
    numbers = rng.normal(5, 1, (300, 1))
    own = making.with_about(
        own, kind="number", answer="value", names=("value",), columns=("quantile_0.5",)
    )
    own = type(own)(own.about, Answers(numbers.astype(np.float32), numbers), numbers)
    moved = rng.normal(5.5, 1, (200, 1))
    found = look.look_at(Answers(moved.astype(np.float32), moved), own, 1, "", 1)
    assert found.p_values == {
        "outputs": stats.ks_2samp(numbers[:, 0].astype("f4"), moved[:, 0].astype("f4")).pvalue
    }
    assert found.summary.means == {"value": pytest.approx(moved.mean())}


def test_a_look_is_kept_as_json():
    found = look.look_at(live(), OWN, 1, "2026-01-01", 1)
    found = Look(**{**vars(found), "rings": (Ring("drift", "said", 0.001, 0.01),)})
    assert Look.from_json(found.to_json()) == found


def test_rows_that_the_model_was_not_sure_of_are_counted():
    answers = live()
    unsure = answers.scores.max(axis=1) < 0.7
    given = np.where(unsure, -1, answers.given).astype(np.int32)
    found = look.look_at(Answers(answers.scores, given, None, 0), OWN, 1, "", 99)
    assert found.summary.not_sure == pytest.approx(unsure.mean()) and unsure.any()
    usual = look.summarize(OWN.answers, OWN.about)
    assert usual.not_sure == 0.0
    *rows, last = page._shift_table(found, OWN, usual).rows
    assert len(rows) == 2
    assert list(last.cells)[:3] == ["not sure", "0.0%", f"{unsure.mean():.1%}"]
    assert f"not sure {unsure.mean():.1%}" in page._look_text(found)
