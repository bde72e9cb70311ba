"""What pages and terminals say of an input and its explanation."""

import pytest

from tltf.evaluation.explanations.explanation import ExplainedPart, Explanation
from tltf.evaluation.report import explained_inputs
from tltf.evaluation.report.explained_inputs import ExplainedInput
from tltf.models.prediction import Prediction

PARTS = (ExplainedPart("Not", -0.5), ExplainedPart(" "), ExplainedPart("good", 1.0))
FOUND = Explanation("m()", "M", "good", 1.5, 0.5, 0.004, 16, True, parts=PARTS)


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        (Prediction("", "good", {"bad": 0.1, "good": 0.9}), "good 90.0%"),
        (Prediction("", "", {"bad": 0.4, "good": 0.6}, is_sure=False), "not sure (good 60.0%)"),
        (Prediction("", "a|b", {"a": 0.9, "b": 0.7}, labels=("a", "b")), "a|b"),
        (Prediction("", "", {"a": 0.1, "b": 0.2}), "no label"),
        (Prediction("", value=2.5, quantiles={"0.5": 2.5}), "2.5"),
    ],
)
def test_the_answer_in_words(prediction, answer):
    row = ExplainedInput("a.txt:1", "Not good", prediction, (FOUND,))
    assert row.answer == answer
    assert explained_inputs.line(row) == (
        f"a.txt:1: {answer}; M for good: good +1.00, Not -0.50 (completeness error 0.40% in 16 steps)"
    )
    page = explained_inputs.page("run", [row], (), "explanations.html.jinja")
    assert answer in page and "output 1.500 (0.500 where nothing is seen), completeness" in page
    assert row.to_json().get("is_sure", True) == prediction.is_sure
