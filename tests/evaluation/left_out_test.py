"""A split is measured again without the examples that make it too easy."""

import numpy as np
import pytest

from tests import tiny
from tltf.evaluation import evaluators, left_out
from tltf.evaluation.report import sentences
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def judge():
    return evaluators.evaluator_for(tiny.core().head)


def measured(judge, is_left_out):
    labels = np.array([0, 1, 2, 0, 1, 2])
    scores = np.eye(3, dtype=np.float32)[[0, 1, 2, 1, 1, 0]] * 0.7 + 0.1
    metrics = judge.measure(labels, scores, NAMES)
    return metrics, left_out.add(metrics, judge, scores, labels, is_left_out, left_out.NEAR)


def test_the_rest_is_measured_and_said(judge):
    metrics, found = measured(judge, np.array([True, True, False, False, False, False]))
    (row,) = left_out.of_metrics(found)
    assert (row.num_left_out, row.num_examples, row.value) == (2, 4, 0.5)
    assert metrics.scores == found.scores and found.scores["accuracy"] == 4 / 6
    text = sentences.sentences(Report(test=found))[1]
    assert text.startswith("Without the 2 examples nearly the same as examples of other")
    assert "accuracy 50.0% (" in text and text.endswith(" on 4 examples.")


@pytest.mark.parametrize("value", [True, False, None])
def test_without_a_rest_or_without_a_reason_nothing_is_added(judge, value):
    metrics, found = measured(judge, None if value is None else np.full(6, value))
    assert found == metrics and not list(left_out.of_metrics(found))


def test_it_is_in_the_json_and_read_back(judge):
    _, found = measured(judge, np.arange(6) == 0)
    again = SplitMetrics.from_json(found.to_json())
    assert list(left_out.of_metrics(again)) == list(left_out.of_metrics(found))
