"""What a prediction shows of itself at a prompt."""

import pytest

from tests import served
from tltf.models.prediction import Prediction


@pytest.mark.parametrize(
    ("prediction", "shown"),
    [
        (
            Prediction("x", "dog", {"cat": 0.25, "dog": 0.7, "owl": 0.05}),
            "Prediction('dog' 70.0%, next 'cat' 25.0%)",
        ),
        (
            Prediction("x", "yes", {"no": 0.75, "yes": 0.25}),
            "Prediction('yes' 25.0%, next 'no' 75.0%)",
        ),
        (Prediction("x", error="the text is empty"), "Prediction(error='the text is empty')"),
        (Prediction("x", "a|b", {"a": 0.9, "b": 0.8}, labels=("a", "b")), "Prediction('a|b')"),
        (Prediction("x", "", {"a": 0.1, "b": 0.2}), "Prediction('')"),
        (Prediction("x", value=2.5, quantiles={"0.5": 2.5}), "Prediction('2.5')"),
        (Prediction("x", values={"h": 1.5, "w": 20.0}), "Prediction('1.5|20')"),
    ],
)
def test_it_shows_the_answer_and_the_next(prediction, shown):
    assert repr(prediction) == shown


def test_a_model_shows_its_backbone_and_its_classes():
    model = served.text_once()
    assert repr(model).startswith(f"TransferModel({model.core.backbone.name}: ")
    assert len(repr(model)) < 200 and all(name in repr(model) for name in model.class_names)
