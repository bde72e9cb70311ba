"""Inputs with their answers and what these rest on, as pages, notebooks and terminals show them."""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from tltf.evaluation.explanations.explanation import Explanation
from tltf.evaluation.report import examples, pictures, templating
from tltf.evaluation.report.pictures import Picture
from tltf.evaluation.report.wording import count_of, number, percent
from tltf.models.prediction import Prediction

PICTURE_PX = 224
"""The longer side of a picture on the page, at most."""
MOST_TEXT = 5000
"""Characters that the page shows of a text."""
NUM_WORDS = 3
"""Words of a text that its line on the terminal names."""


@dataclasses.dataclass(frozen=True)
class ExplainedInput:
    """An input with its answer and what it rests on.

    Args:
        id: its place: a path, `file:row`, or `inputs[3]` of a program.
        value: the input as the model takes it; None where it could not be read.
        prediction: the answer, or why there is none.
        explanations: one per method; () where there is no answer.
        task: whose answer it is, where the run has several heads; otherwise empty.
    """

    id: str
    value: object
    prediction: Prediction
    explanations: tuple[Explanation, ...] = ()
    task: str = ""

    @property
    def answer(self) -> str:
        """`cat 98.1%`: the answer, with its probability where it has one; `not sure (cat 51.0%)`."""
        stated = self.prediction.probabilities
        if not self.prediction.is_sure:
            first = max(stated, key=stated.__getitem__)
            return f"not sure ({first} {percent(stated[first])})"
        share = stated.get(self.prediction.label)
        told = "" if share is None else f" {percent(share)}"
        return (self.prediction.answer or "no label") + told

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        if self.prediction.error:
            return {"id": self.id, "error": self.prediction.error}
        return {
            "id": self.id,
            **({"task": self.task} if self.task else {}),
            "answer": self.prediction.answer,
            **({} if self.prediction.is_sure else {"is_sure": False}),
            "scores": self.prediction.scores,
            "explanations": [found.to_json() for found in self.explanations],
        }


@dataclasses.dataclass(frozen=True)
class ShownMethod:
    """One explanation as a page shows it.

    Args:
        explanation: what is shown.
        heat: the picture under its colours, as a data URI; empty for a text.
        text: HTML of the words in their colours; empty for a picture.
        numbers: the output, the baseline and the error in words.
    """

    explanation: Explanation
    heat: str
    text: str
    numbers: str


def page(title: str, rows: Sequence[ExplainedInput], checks: Sequence[str], template: str) -> str:
    """HTML of inputs with what their answers rest on; at least one of them has an answer.

    Args:
        title: of the run.
        rows: the inputs.
        checks: what was measured of each method, in words.
        template: `explanations.html.jinja` for a page, or `explained_input.html.jinja` for a part of
            another page, which has the rules of `explained.css`.
    """
    good = [row for row in rows if row.explanations]
    methods = good[0].explanations
    values = {
        "title": title,
        "methods": methods,
        "are_texts": methods[0].parts is not None,
        "checks": checks,
        "rows": [(row, _picture(row), _shown(row)) for row in good],
        "errors": [row for row in rows if row.prediction.error],
        "counted": count_of(sum(row.task == good[0].task for row in good), "input"),
    }
    return templating.render(template, values)


def _picture(row: ExplainedInput) -> str:
    """The data URI of an image; empty for a text."""
    is_text = row.explanations[0].parts is not None
    return "" if is_text else pictures.data_uri(cast(Picture, row.value), PICTURE_PX)


def _shown(row: ExplainedInput) -> list[ShownMethod]:
    shown = []
    for found in row.explanations:
        heat = text = ""
        if found.heat is not None:
            picture = cast(Picture, row.value)
            heat = pictures.heat_uri(picture, found.heat, found.is_signed, PICTURE_PX)
        if found.parts is not None:
            text = examples.explained_text(found.parts, MOST_TEXT)
        shown.append(ShownMethod(found, heat, text, _numbers(found)))
    return shown


def _numbers(found: Explanation) -> str:
    """`output 3.21 (0.4 where nothing is seen), completeness error 0.3% in 16 steps`."""
    text = f"output {number(found.output)}"
    if found.baseline is not None:
        text += f" ({number(found.baseline)} where nothing is seen)"
    if found.error is not None:
        text += f", {_exactness(found)}"
    return text


def _exactness(found: Explanation) -> str:
    """`completeness error 0.3% in 16 steps`, of an explanation that has one."""
    error = percent(found.error, 2)
    return f"completeness error {error} in {count_of(found.steps, 'step')}"


def line(row: ExplainedInput) -> str:
    """What a terminal says of an input."""
    if row.prediction.error:
        return f"{row.id}: {row.prediction.error}"
    told = []
    for found in row.explanations:
        text = found.title
        if words := found.strongest(NUM_WORDS):
            named = [f"{part.text} {part.value:+.2f}" for part in words]
            text += f" for {found.explained}: {', '.join(named)}"
        if found.error is not None:
            text += f" ({_exactness(found)})"
        told.append(text)
    of_task = f"{row.task} " if row.task else ""
    return f"{row.id}: {of_task}{row.answer}; {'; '.join(told)}"
