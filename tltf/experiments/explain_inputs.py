"""Explains the answers of a finished run to any inputs, as a page and as numbers."""

import dataclasses
import itertools
import json
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import EXPLAINERS
from tltf.config.catalogs.row import Row
from tltf.config.command_options import ExplainOptions
from tltf.console import lines
from tltf.errors import DataError, printable
from tltf.evaluation.explanations import faithfulness, model_explainer
from tltf.evaluation.explanations.explanation import Explanation
from tltf.evaluation.explanations.model_explainer import ExplainedRows, ModelExplainer
from tltf.evaluation.report import examples, pictures, templating, writer
from tltf.evaluation.report.wording import count_of, number, percent
from tltf.files import atomic_files, atomic_folders
from tltf.models import loading, prediction_rows, raw_inputs
from tltf.models.inputs import Item
from tltf.models.prediction import Prediction
from tltf.models.predictor import Predictor
from tltf.models.served_model import ServedModel
from tltf.runs import layout

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
        item: the input.
        prediction: the answer, or why there is none.
        explanations: one per method; () where there is no answer.
    """

    item: Item
    prediction: Prediction
    explanations: tuple[Explanation, ...] = ()

    @property
    def answer(self) -> str:
        """`cat 98.1%`: the answer, with its probability where it has one."""
        share = self.prediction.probabilities.get(self.prediction.label)
        stated = "" if share is None else f" {percent(share)}"
        return (self.prediction.answer or "no label") + stated

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        if self.prediction.error:
            return {"id": self.item.id, "error": self.prediction.error}
        return {
            "id": self.item.id,
            "answer": self.prediction.answer,
            "scores": self.prediction.scores,
            "explanations": [found.to_json() for found in self.explanations],
        }


@dataclasses.dataclass(frozen=True)
class ShownExplanations:
    """Explanations, which a terminal shows in a line per input.

    Args:
        rows: the inputs.
        checks: what was measured of each method, in words; () where it was not asked for.
        path: the page.
    """

    rows: Sequence[ExplainedInput]
    checks: Sequence[str]
    path: pathlib.Path

    def __str__(self) -> str:
        text = [printable(_line(row)) for row in self.rows]
        for check in self.checks:
            text += lines.wrap("check", check)
        return "\n".join([*text, f"{'page':<{lines.NAME}} {self.path}"])


def run(options: ExplainOptions, calls: Sequence[Call[Row]] | None) -> ShownExplanations:
    """Explains the inputs that the options name, and writes the page and the numbers.

    Args:
        options: the options of the command.
        calls: the explainers; None for those that fit.

    Raises:
        FlagError, DataError: there are no inputs, a table cannot be read, no input can be predicted,
            or an explainer is not for such inputs.
        ModelError: the model's files are refused, or the model lacks what an explainer takes.
        StorageError: the page cannot be written.
    """
    trained = loading.load(options.run)
    explainers = [
        ModelExplainer(trained, call, options.eval_batch_size)
        for call in calls or usual_calls(trained.core.backbone.modality)
    ]
    items = prediction_rows.items_of(prediction_rows.asked_of(trained), options.inputs)
    taken = list(itertools.islice(items, options.num_inputs))
    if next(items, None) is not None:
        what = f"only the first {options.num_inputs} inputs are explained (--num_inputs=1000 takes more)"
        warnings.warn(what, stacklevel=2)
    predictor = Predictor(trained, options.eval_batch_size)
    rows = [
        ExplainedInput(item, prediction)
        for item, prediction in prediction_rows.predictions(predictor, iter(taken))
    ]
    good = [place for place, row in enumerate(rows) if not row.prediction.error]
    if not good:
        what = (
            f"none of {len(rows)} inputs could be predicted; the first: {rows[0].prediction.error}"
        )
        raise DataError(what, flag="input")
    explained = _rows_of(trained, predictor, [rows[place] for place in good], options.label)
    found = [explainer.explain(explained) for explainer in explainers]
    for place, explanations in zip(good, zip(*found, strict=True), strict=True):
        rows[place] = dataclasses.replace(rows[place], explanations=explanations)
    checks = []
    for of_all in found if options.check else ():
        measured = faithfulness.measure(trained, explained, of_all, options.eval_batch_size)
        checks.append(f"{of_all[0].title}: {measured}")
    folder = pathlib.Path(options.output or next_folder(options.run))
    return ShownExplanations(rows, checks, write(options.run, rows, checks, folder))


def usual_calls(modality: str) -> list[Call[Row]]:
    """The explainers of `--explainer=auto`: all of the catalog that take such inputs."""
    return [
        call_strings.pick(EXPLAINERS, name)
        for name, row in EXPLAINERS.items()
        if row.modality in ("", modality)
    ]


def next_folder(run: str) -> pathlib.Path:
    """The folder of the next explanations of a run: RUN/explanations/<next integer>."""
    return atomic_folders.new_version(pathlib.Path(run) / layout.EXPLANATIONS)


def _rows_of(
    trained: ServedModel, predictor: Predictor, rows: Sequence[ExplainedInput], label: str
) -> ExplainedRows:
    """The inputs as explainers take them, with their outputs that are explained."""
    values = [row.item.value for row in rows]
    scores = np.array([row.prediction.scores for row in rows], np.float32)
    texts: list[list[str]] = []
    if trained.core.backbone.modality == "text":
        fields = [value if isinstance(value, tuple) else (str(value),) for value in values]
        texts = [
            [raw_inputs.encode_text(text).decode("utf-8") for text in column]
            for column in zip(*fields, strict=True)
        ]
    chosen = model_explainer.chosen_outputs(trained, scores, label)
    return ExplainedRows(predictor.tensors(values), chosen, texts)


def write(
    run: str, rows: Sequence[ExplainedInput], checks: Sequence[str], folder: pathlib.Path
) -> pathlib.Path:
    """Writes the page and the numbers into a folder, and returns the page's path.

    Raises:
        StorageError: a file cannot be written.
    """
    path = folder / layout.EXPLANATIONS_HTML
    page = templating.render("explanations.html.jinja", _values(run, rows, checks))
    with atomic_files.replace_file(folder / layout.EXPLANATIONS_ROWS) as file:
        for row in rows:
            content = writer.plain(row.to_json())
            file.write(json.dumps(content, allow_nan=False, ensure_ascii=False) + "\n")
    with atomic_files.replace_file(path) as file:
        file.write(page)
    return path


@dataclasses.dataclass(frozen=True)
class ShownMethod:
    """One explanation as the page shows it.

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


def _values(run: str, rows: Sequence[ExplainedInput], checks: Sequence[str]) -> dict[str, Any]:
    """The values that fill the template, by name."""
    good = [row for row in rows if row.explanations]
    methods = list(good[0].explanations)
    return {
        "title": pathlib.Path(run).resolve().name,
        "methods": methods,
        "are_texts": methods[0].parts is not None,
        "checks": checks,
        "rows": [(row, _picture(row), _shown(row)) for row in good],
        "errors": [row for row in rows if row.prediction.error],
        "counted": count_of(len(good), "input"),
    }


def _picture(row: ExplainedInput) -> str:
    """The data URI of an image; empty for a text."""
    is_text = row.explanations[0].parts is not None
    return "" if is_text else pictures.data_uri(str(row.item.value), PICTURE_PX)


def _shown(row: ExplainedInput) -> list[ShownMethod]:
    shown = []
    for found in row.explanations:
        heat = text = ""
        if found.heat is not None:
            heat = pictures.heat_uri(str(row.item.value), found.heat, found.is_signed, PICTURE_PX)
        if found.parts is not None:
            text = examples.explained_text(found.parts, MOST_TEXT)
        shown.append(ShownMethod(found, heat, text, _numbers(found)))
    return shown


def _numbers(found: Explanation) -> str:
    """`output 3.21, from 0.4 where nothing is seen; sums up to within 0.3%, 16 steps`."""
    text = f"output {number(found.output)}"
    if found.baseline is not None:
        text += f", {number(found.baseline)} where nothing is seen"
    if found.error is not None:
        text += f"; completeness error {percent(found.error, 2)} in {count_of(found.steps, 'step')}"
    return text


def _line(row: ExplainedInput) -> str:
    """What the terminal says of an input."""
    if row.prediction.error:
        return f"{row.item.id}: {row.prediction.error}"
    told = []
    for found in row.explanations:
        text = found.title
        if words := found.strongest(NUM_WORDS):
            named = [f"{part.text} {part.value:+.2f}" for part in words]
            text += f" for {found.explained}: {', '.join(named)}"
        if found.error is not None:
            text += (
                f" (completeness error {percent(found.error, 2)}, {count_of(found.steps, 'step')})"
            )
        told.append(text)
    return f"{row.item.id}: {row.answer}; {'; '.join(told)}"
