"""How errors of numbers are spread, against numpy, and what a report says of it."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from tltf.evaluation import evaluators, number_errors
from tltf.evaluation.evaluators import number_sections
from tltf.evaluation.evaluators.numbers import NumberEvaluator
from tltf.evaluation.report.sections import Pictures
from tltf.evaluation.split_metrics import LABEL_NAME, SplitMetrics
from tltf.heads.regress import regress


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.exp(rng.normal(size=count) + 3)
    return labels, labels * np.exp(0.2 * rng.normal(size=count))


def judged(count, name=""):
    labels, answers = rows(count)
    judge = evaluators.evaluator_for(regress())
    stated = answers[:, None] * np.array([[0.8, 1.0, 1.2]])
    details = judge.details(labels, stated) | ({LABEL_NAME: name} if name else {})
    return dataclasses.replace(judge.measure(labels, stated), details=details)


def test_the_histogram_has_every_row():
    labels, answers = rows(500)
    found = number_errors.measure(labels, answers)
    errors = answers - labels
    inside = (errors > found.edges[0]) & (errors < found.edges[-1])
    counts, _ = np.histogram(errors[inside], found.edges)
    assert sum(found.counts) == 500 and found.num_beyond == pytest.approx((~inside).sum(), abs=2)
    np.testing.assert_allclose(counts[1:-1], found.counts[1:-1], atol=1)
    assert len(found.edges) == len(found.counts) + 1


@pytest.mark.parametrize("count, groups", [(19, 0), (20, 2), (57, 5), (1000, 10)])
def test_groups_are_equal_parts_by_the_true_number(count, groups):
    labels, answers = rows(count)
    found = number_errors.measure(labels, answers).groups
    assert len(found) == groups
    if not groups:
        return
    assert sum(row.count for row in found) == count and min(row.count for row in found) >= 10
    last = np.argsort(labels)[-found[-1].count :]
    errors = answers[last] - labels[last]
    assert found[-1].mean_absolute_error == pytest.approx(np.abs(errors).mean())
    assert found[-1].mean_error == pytest.approx(errors.mean())
    assert (found[-1].low, found[-1].high) == (labels[last].min(), labels.max())
    low, high = found[-1].interval
    assert low < found[-1].mean_absolute_error < high
    assert all(first.high <= second.low for first, second in itertools.pairwise(found))


def test_answers_that_are_all_right_have_one_bar():
    found = number_errors.measure(np.arange(30.0), np.arange(30.0))
    assert max(found.counts) == 30 and found.num_beyond == 0
    assert [row.interval for row in found.groups] == [None] * 3


def test_the_error_is_a_share_of_the_spread():
    labels, answers = rows(400)
    low, high = np.percentile(labels, [5, 95])
    scores = judged(400).scores
    assert scores["spread"] == pytest.approx(high - low)
    expected = np.abs(answers - labels).mean() / (high - low)
    assert scores["error_of_spread"] == pytest.approx(expected)
    assert NumberEvaluator.wording.text("error_of_spread", expected) == f"{100 * expected:.1f}%"
    constant = evaluators.evaluator_for(regress(quantiles=[0.5])).measure(
        np.full(9, 4.0), np.arange(9.0)[:, None]
    )
    assert constant.scores["error_of_spread"] is None
    assert not any("spread" in text for text in NumberEvaluator.sentences(constant))


@pytest.mark.parametrize(
    "name, who, axis",
    [("price", "The predicted price is", "price"), ("label", "The model is", "number")],
)
def test_the_number_is_called_what_its_column_is_called(name, who, axis):
    found = judged(300, name)
    assert number_sections.first_sentence("300 test examples", found, "").startswith(who)
    numbers, errors = NumberEvaluator.sections(found, "test")
    assert f"true {axis}</text>" in numbers.blocks[0].left.svg
    assert errors.table.columns[0].title == f"{axis} from" and len(errors.table.rows) == 10


def test_errors_come_back_from_the_file_and_are_shown():
    found = judged(300, "price")
    read = SplitMetrics.from_json(json.loads(json.dumps(found.to_json())))
    assert read.details == found.details
    (_, errors) = NumberEvaluator.sections(read, "test")
    (pictures,) = [block for block in errors.blocks if isinstance(block, Pictures)]
    assert len(pictures.svgs) == 3
    old = dataclasses.replace(read, details={})
    assert [section.key for section in NumberEvaluator.sections(old, "test")] == ["numbers"]
