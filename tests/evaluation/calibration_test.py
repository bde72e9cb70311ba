import json

import numpy as np
import pytest

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.evaluation import calibration, classification, evaluators, label_metrics, reliability
from tltf.evaluation.calibration import Calibration
from tltf.evaluation.evaluators import belief_sections
from tltf.evaluation.report.sections import Pictures

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 4, (400, 3)).astype("float32")
LABELS = (LOGITS + RNG.gumbel(0, 3, LOGITS.shape)).argmax(axis=1)
GIVEN = (LOGITS + RNG.logistic(0, 3, LOGITS.shape) > 0).astype(np.uint8)
NAMES = ("a", "b", "c")


def head(text):
    return call_strings.pick(HEADS, text, "head").build()


def measured(text, labels):
    """`(SplitMetrics with its details, Calibration)` of a head with temperatures."""
    made = head(text)
    judge = evaluators.evaluator_for(made)
    scores = np.asarray(made.scores(LOGITS))
    found = judge.measure(labels, judge.candidate(made, scores), NAMES)
    details = calibration.details(made, labels, LOGITS)
    assert json.loads(json.dumps(details)) == details
    found.details.update(details)
    return found, Calibration.from_details(details)


@pytest.mark.parametrize(
    ("text", "plain", "labels"),
    [
        ("classify(temperature=3.0)", "classify", LABELS),
        ("multi_label(temperatures=[3, 2, 4])", "multi_label", GIVEN),
    ],
)
def test_before_and_after_are_those_of_two_heads(text, plain, labels):
    found, shown = measured(text, labels)
    judge = evaluators.evaluator_for(head(plain))
    scores = np.asarray(head(plain).scores(LOGITS))
    earlier = judge.measure(labels, judge.candidate(head(plain), scores), NAMES)
    assert shown.temperatures == list(head(text).temperatures)
    assert shown.calibration_error == pytest.approx(earlier.score("calibration_error"), abs=1e-6)
    assert shown.loss == pytest.approx(earlier.score("loss"), rel=1e-6)
    assert [row.count for row in shown.reliability] == [row.count for row in earlier.reliability]
    for name in ("calibration_error", "loss"):
        gain = shown.gains[name]
        assert gain.difference == pytest.approx(found.score(name) - earlier.score(name), abs=1e-6)
        low, high = gain.interval
        assert low < gain.difference < high < 0, "these logits were too large"


def test_the_paired_intervals_are_those_of_the_bootstrap_of_two_models():
    """The same resamples through the older way of comparing two models of classes."""
    _, shown = measured("classify(temperature=3.0)", LABELS)
    after, before = (
        np.asarray(head(text).scores(LOGITS), np.float64)
        for text in ("classify(temperature=3.0)", "classify")
    )
    expected = classification.paired_difference(LABELS, after, before).gains
    for name in ("calibration_error", "loss"):
        assert shown.gains[name].interval == pytest.approx(expected[name].interval, abs=1e-6)


def test_labels_are_counted_by_pairs_of_a_row_and_a_label():
    made = head("multi_label")
    stated = calibration.stated(made, GIVEN, LOGITS)
    scores = np.asarray(made.scores(LOGITS), np.float64)
    sums = stated.sums().sum(axis=1)
    assert sums[0] == pytest.approx(label_metrics.losses_of(GIVEN, scores).sum())
    error = np.abs(sums[1:]).sum() / GIVEN.size
    assert error == pytest.approx(
        reliability.expected_calibration_error(scores.ravel(), GIVEN.ravel())
    )


def test_a_head_without_temperatures_has_nothing_to_show():
    assert calibration.details(head("classify"), LABELS, LOGITS) == {}
    assert calibration.details(head("regress"), LABELS, LOGITS) == {}
    for values in ({}, {"calibration": 3}, {"calibration": {"reliability": [], "gains": 1}}):
        assert Calibration.from_details(values) is None


@pytest.mark.parametrize(
    ("text", "labels", "said"),
    [
        ("classify(temperature=3.0)", LABELS, "divided by the temperature 3.00"),
        ("multi_label(temperatures=[3, 2, 4])", GIVEN, "temperature (3.00, 2.00, 4.00)"),
    ],
)
def test_the_section_shows_both(text, labels, said):
    found, shown = measured(text, labels)
    (section,) = belief_sections.calibration_section(found, "What")
    pictures, *paragraphs = section.blocks
    assert isinstance(pictures, Pictures) and len(pictures.svgs) == 2
    assert "Before calibration" in pictures.svgs[0] and "After calibration" in pictures.svgs[1]
    assert said in paragraphs[-1].text
    first, second = section.table.rows
    assert first.cells[0] == "calibration error" and second.cells[0] == "loss"
    assert first.cells[1] == f"{100 * shown.calibration_error:.1f}%"
    assert first.cells[3].startswith("\N{MINUS SIGN}") and " points (" in first.cells[3]
    assert belief_sections.calibration_end(found) in " ".join(
        evaluators.evaluator_of(found).sentences(found)
    )


def test_without_calibration_the_section_is_as_before():
    made = head("classify")
    judge = evaluators.evaluator_for(made)
    found = judge.measure(LABELS, judge.candidate(made, np.asarray(made.scores(LOGITS))), NAMES)
    (section,) = belief_sections.calibration_section(found, "What")
    assert section.table is None and len(section.blocks) == 1
    assert belief_sections.calibration_end(found) == ""
