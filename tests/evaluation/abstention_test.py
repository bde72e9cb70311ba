import dataclasses
import json

import numpy as np
import pytest

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.evaluation import abstention
from tltf.evaluation.abstention import Abstention
from tltf.evaluation.evaluators import belief_sections
from tltf.evaluation.split_metrics import SplitMetrics

ROWS = np.float32([[0.9, 0.05, 0.05], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.4, 0.35, 0.25]])
LABELS = np.array([0, 1, 2, 0])


def head(text):
    return call_strings.pick(HEADS, text, "head").build()


def measured(text, rows=ROWS, labels=LABELS, rule=""):
    details = abstention.details(head(text), labels, rows, rule)
    assert json.loads(json.dumps(details)) == details
    return Abstention.from_details(details)


def test_a_threshold_is_counted_by_hand():
    found = measured("classify(sure_from=.6)", rule="coverage(.5)")
    assert (found.num_examples, found.num_answered, found.num_right) == (4, 2, 1)
    assert found.num_right_of_all == 2 and found.threshold == 0.6 and found.sets is None
    assert found.coverage == 0.5 and found.accuracy == 0.5
    low, high = found.accuracy_interval
    assert 0 < low < 0.5 < high < 1


def test_sets_are_counted_by_hand():
    """Their classes: a; a and b; b; a and b. The true ones are a, b, c and a."""
    found = measured("classify(set_from=.35)")
    assert (found.sets.num_covered, found.sets.num_empty) == (3, 0)
    assert found.sets.mean_size == 1.5
    assert (found.num_answered, found.num_right) == (2, 1) and found.threshold == 0.35
    assert measured("classify(set_from=.6)").sets.num_empty == 2


def test_the_curve_is_that_of_every_threshold():
    rng = np.random.default_rng(0)
    confidence = rng.random(60).round(1)
    is_right = rng.random(60) < confidence
    expected = [
        [count / 60, is_right[confidence >= edge].mean()]
        for edge in np.unique(confidence)[::-1]
        if (count := int((confidence >= edge).sum())) >= abstention.LEAST_ANSWERS
    ]
    np.testing.assert_allclose(abstention.curve(confidence, is_right), expected, atol=1e-4)
    assert abstention.curve(confidence, is_right)[-1][0] == 1


def test_a_few_rows_have_a_curve_of_one_point():
    assert abstention.curve(np.array([0.5, 0.7]), np.array([True, False])) == [[1.0, 0.5]]


def test_a_model_that_is_never_sure():
    found = measured("classify(sure_from=2.0)", rule="accuracy(.99)")
    assert found.accuracy is None and found.accuracy_interval is None and found.coverage == 0
    metrics = shown(found)
    (sentence,) = belief_sections.abstention_sentences(metrics)
    assert sentence == "The model is sure of none of the examples (--abstain='accuracy(.99)')."
    (section,) = belief_sections.abstention_section(metrics, "test")
    assert ["right where it is sure", "\N{EN DASH}"] in [row.cells for row in section.table.rows]


def shown(found):
    return SplitMetrics({}, found.num_examples, details={"abstention": dataclasses.asdict(found)})


@pytest.mark.parametrize("limit", ["sure_from=.6", "set_from=.35"])
def test_the_section_says_what_comes_of_it(limit):
    found = measured(f"classify({limit})", rule="a rule")
    (section,) = belief_sections.abstention_section(shown(found), "test")
    assert "Accuracy of the answers" in section.blocks[0].left.svg
    cells = dict(row.cells for row in section.table.rows)
    assert cells["rule"] == "a rule" and cells["sure of"] == "50.0% of 4 examples"
    assert cells["right where it is sure"].startswith("50.0% (")
    assert cells["right where it is not sure"] == "50.0%"
    assert ("sets with the true class" in cells) == (found.sets is not None)
    sentences = list(belief_sections.abstention_sentences(shown(found)))
    assert sentences[0].startswith("The model is sure of 50.0% of the examples")
    assert len(sentences) == (2 if found.sets else 1)


@pytest.mark.parametrize(
    "values",
    [{}, {"abstention": 3}, {"abstention": {"rule": ""}}, {"abstention": {"num_examples": "x"}}],
)
def test_details_of_another_form_count_as_none(values):
    assert Abstention.from_details(values) is None
    assert list(belief_sections.abstention_section(SplitMetrics({}, details=values), "test")) == []


def test_numbers_of_another_type_count_as_none():
    found = dataclasses.asdict(measured("classify(sure_from=.6)"))
    for change in ({"num_examples": 0}, {"num_answered": "2"}, {"sets": 3}):
        assert Abstention.from_details({"abstention": found | change}) is None


def test_a_model_that_always_answers_has_nothing_to_show():
    assert abstention.details(head("classify"), LABELS, ROWS) == {}
