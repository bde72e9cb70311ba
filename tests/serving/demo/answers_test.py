"""What a page shows of answers of each kind, and which examples it begins with."""

import collections
import dataclasses
import functools
import re

import numpy as np
import PIL.Image
import pytest

from tests import served
from tltf.config import options
from tltf.data.source import ScanCounts, Source, one_field, one_label_field
from tltf.errors import FlagError
from tltf.evaluation.explanations import model_explainer
from tltf.models.prediction import Prediction
from tltf.serving.demo import examples, explanations, opening
from tltf.serving.demo.answers import shown_answer
from tltf.serving.demo.examples import Example
from tltf.serving.demo.trial import Asked, Trial


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
        (
            Prediction("x", "", {"a": 0.2, "b": 0.5, "c": 0.3}, is_sure=False),
            "**Not sure**\n\nThe most probable is b, with 50.0%. The model was trained to give no "
            "answer where it is not sure.",
            {"a": 0.2, "b": 0.5, "c": 0.3},
            (),
        ),
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
    given, answer = ("good",), Prediction("", "a", {"a": 1.0})
    explained, asked = [], Asked()

    def explain(*values):
        explained.append(values)
        return "<b>why</b>"

    assert asked.explained(explain) == ""
    asked.put(given, answer)
    assert asked.explained(explain) == "<b>why</b>" and explained == [(given, answer)]
    asked.put(given, Prediction("", error="bad"))
    assert asked.explained(explain) == ""
    asked.put(("",), None)
    assert asked.explained(explain) == "" and len(explained) == 1


def test_what_an_earlier_answer_rests_on_is_not_shown_beside_a_later_one():
    asked = Asked()
    asked.put(("first",), Prediction("", "a", {"a": 1.0}))

    def slowly(values, prediction):
        asked.put(("second",), Prediction("", "b", {"b": 1.0}))
        return "<b>of the first</b>"

    assert asked.explained(slowly) is None
    assert asked.explained(lambda values, prediction: values[0]) == "second"


def test_a_field_that_is_empty_has_no_answer():
    assert Trial(None, "", "").answer(("",)) is None
    assert Trial(None, "", "").answer(("a text", None)) is None


@functools.cache
def explained_model(kind):
    return {"image": served.image, "text": served.text}[kind]()


@pytest.mark.parametrize("kind", ["image", "text"])
def test_an_answer_is_explained_as_the_page_of_explanations_shows_it(kind, tmp_path):
    model, value = explained_model(kind), "a good <b>film</b>"
    if kind == "image":
        value = str(tmp_path / "grey.png")
        PIL.Image.new("RGB", (20, 30), "grey").save(value)
    explain = explanations.explainer_of(model, "auto")
    (prediction,) = model.predict([value])
    shown = explain((value,), prediction)
    if kind == "image":
        assert shown.count("<img ") == 2 and "Grad-CAM: where the picture speaks for" in shown
    else:
        assert "</blockquote>" in shown and "<b>film" not in shown
        (steps,) = re.findall(r"completeness error [\d.]+% in (\d+) steps", shown)
        assert int(steps) <= model_explainer.QUICK_STEPS
    assert f"<bdi>{prediction.label}</bdi>" in shown


def test_an_explanation_that_fails_says_why():
    explain = explanations.explainer_of(explained_model("text"), "auto")

    class Failing:
        def explain(self, rows):
            raise FlagError("<no> memory")

    explain._explainer = Failing()
    shown = explain(("a film",), Prediction("", "bad", {"bad": 0.6, "good": 0.4}))
    assert shown == "<p>This answer could not be explained: &lt;no&gt; memory.</p>"


def test_which_explainer_the_page_has():
    model = explained_model("text")
    assert explanations.explainer_of(model, "none") is None
    with pytest.raises(FlagError, match="explains images, and this model takes texts"):
        explanations.explainer_of(model, "grad_cam")
    run = options.make(explain="grad_cam")
    with pytest.warns(UserWarning, match="answers are not explained: grad_cam explains images"):
        assert explanations.explainer_of(dataclasses.replace(model, options=run), "auto") is None
    run = options.make(explain="none")
    assert explanations.explainer_of(dataclasses.replace(model, options=run), "auto")


def test_the_page_is_for_this_machine_alone_unless_told():
    from tltf.config.command_options import DemoOptions

    chosen = DemoOptions()
    assert chosen.host == "127.0.0.1" in opening.LOCAL_HOSTS and chosen.share is False
    assert Example(("a",), "b").label == "b"
