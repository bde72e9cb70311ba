"""What a page shows of answers of each kind, and which examples it begins with."""

import collections

import numpy as np
import pytest

from tltf.data.source import ScanCounts, Source, one_field, one_label_field
from tltf.models.prediction import Prediction
from tltf.serving.demo import examples, page
from tltf.serving.demo.answers import shown_answer
from tltf.serving.demo.examples import Example
from tltf.serving.demo.page import Trial


@pytest.mark.parametrize(
    ("prediction", "text", "probabilities", "quantiles"),
    [
        (
            Prediction("x", "cat", {"cat": 0.9, "dog": 0.1}),
            "**cat** 90.0%",
            {"cat": 0.9, "dog": 0.1},
            (),
        ),
        (
            Prediction("x", "a|b", {"a": 0.9, "b": 0.7, "c": 0.1}, labels=("a", "b")),
            "**a**, **b**",
            {"a": 0.9, "b": 0.7, "c": 0.1},
            (),
        ),
        (Prediction("x", "", {"a": 0.1, "b": 0.2}), "no label", {"a": 0.1, "b": 0.2}, ()),
        (
            Prediction("x", value=2.5, quantiles={"0.05": 1.0, "0.5": 2.5}),
            "**2.5**",
            {},
            (("0.05", 1.0), ("0.5", 2.5)),
        ),
        (
            Prediction(
                "x", values={"w": 2.0, "h": 3.0}, quantiles={"w": {"0.5": 2.0}, "h": {"0.5": 3.0}}
            ),
            "w **2**, h **3**",
            {},
            (("w, 0.5", 2.0), ("h, 0.5", 3.0)),
        ),
        (Prediction("x", error="the text is empty"), "**No answer**: the text is empty", {}, ()),
        (Prediction("x", "<b>*", {"<b>*": 1.0}), r"**\<b\>\*** 100.0%", {"<b>*": 1.0}, ()),
    ],
)
def test_answers_of_each_kind(prediction, text, probabilities, quantiles):
    shown = shown_answer(prediction)
    assert (shown.text, shown.probabilities, shown.quantiles) == (text, probabilities, quantiles)


def source(labels, names=()):
    values = np.asarray(labels)
    texts = one_field("text", [f"text {number}" for number in range(len(values))])
    ids = [str(number) for number in range(len(values))]
    return Source("x", texts, one_label_field(values, names), ids, None, ScanCounts())


def test_of_classes_one_of_each_comes_before_a_second_of_any():
    labels = np.array([0] * 40 + [1] * 3 + [2] * 2, np.int32)
    rows = examples.drawn_rows(source(labels, ("a", "b", "c")), 5, seed=1)
    assert sorted(labels[rows[:3]]) == [0, 1, 2]
    assert max(collections.Counter(labels[rows].tolist()).values()) == 2
    assert rows == examples.drawn_rows(source(labels, ("a", "b", "c")), 5, seed=1)
    numbers = examples.drawn_rows(source(np.arange(9, dtype=np.float32)), 4, seed=1)
    assert len(set(numbers)) == 4


def test_an_explainer_gets_the_fields_and_the_answer_and_errors_are_not_explained():
    class Model:
        def predict(self, inputs):
            return [
                Prediction("", "a", {"a": 1.0})
                if inputs[0] == "good"
                else Prediction("", error="bad")
            ]

    asked = []
    trial = Trial(Model(), "", "", explain=lambda *given: asked.append(given) or "<b>why</b>")
    assert trial.answer(("good",)) == (Prediction("", "a", {"a": 1.0}), "<b>why</b>")
    assert trial.answer(("other",))[1] == "" and trial.answer(("",)) == (None, "")
    assert [given[0] for given in asked] == [("good",)]


def test_the_page_is_for_this_machine_alone_unless_told():
    from tltf.config.command_options import DemoOptions

    chosen = DemoOptions()
    assert chosen.host == "127.0.0.1" in page.LOCAL_HOSTS and chosen.share is False
    assert Example(("a",), "b").label == "b"
