"""Explains the answers of a finished run to any inputs, as a page and as numbers."""

import dataclasses
import itertools
import json
import os
import pathlib
import warnings
from collections.abc import Iterator, Sequence

from tltf.config.call_strings import Call
from tltf.config.catalogs.row import Row
from tltf.config.command_options import ExplainOptions
from tltf.console import lines
from tltf.errors import DataError, FlagError, printable
from tltf.evaluation.explanations import faithfulness, model_explainer
from tltf.evaluation.explanations.model_explainer import ModelExplainer
from tltf.evaluation.report import explained_inputs, naming, writer
from tltf.evaluation.report.explained_inputs import ExplainedInput
from tltf.evaluation.report.report import run_report
from tltf.experiments import notebook_page
from tltf.experiments.from_python import FitResult
from tltf.files import atomic_files, atomic_folders
from tltf.models import loading, prediction_rows, predictor, task_models
from tltf.models.prediction import Prediction
from tltf.models.predictor import Predictor
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout


@dataclasses.dataclass(frozen=True, repr=False)
class ShownExplanations:
    """Explanations, which show themselves on a terminal and in a notebook.

    Args:
        rows: the inputs.
        checks: what was measured of each method, in words; () where it was not asked for.
        path: the page.
    """

    rows: Sequence[ExplainedInput]
    checks: Sequence[str]
    path: pathlib.Path

    def __repr__(self) -> str:
        text = [printable(explained_inputs.line(row)) for row in self.rows]
        for check in self.checks:
            text += lines.wrap("check", check)
        return "\n".join([*text, f"{'page':<{lines.NAME}} {self.path}"])

    def _repr_html_(self) -> str:
        return notebook_page.as_frame(self.path)


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
    model = loading.load(options.run)
    items = prediction_rows.items_of(prediction_rows.asked_of(model), options.inputs)
    rows = (
        ExplainedInput(item.id, item.value, Prediction(item.id, error=item.error)) for item in items
    )
    return _explain(model, rows, options, calls)


def run_in_memory(
    run: str | os.PathLike[str] | FitResult,
    inputs: object,
    options: ExplainOptions,
    calls: Sequence[Call[Row]] | None,
) -> ShownExplanations:
    """As `run`, of inputs that a program holds.

    Args:
        run: a run folder, or what `tltf.fit` gave.
        inputs: as `TransferModel.predict` takes them.
        options: the options of the command; those of the run and its inputs are not used.
        calls: the explainers; None for those that fit.
    """
    if isinstance(run, FitResult):
        model, folder = run.model, run.folder
    elif isinstance(run, (str, os.PathLike)):
        folder = pathlib.Path(run)
        model = loading.load(folder)
    else:
        what = f"takes a run folder, or what tltf.fit gave (received {type(run).__name__})"
        raise FlagError(what, flag="run", fix='run="runs/mine"')
    are_images = model.core.backbone.modality == "image"
    rows = (
        ExplainedInput(
            os.fspath(value)
            if are_images and isinstance(value, (str, os.PathLike))
            else f"inputs[{number}]",
            value,
            Prediction(""),
        )
        for number, value in enumerate(predictor.list_inputs(model, inputs))
    )
    return _explain(model, rows, dataclasses.replace(options, run=os.fspath(folder)), calls)


def _explain(
    model: TransferModel,
    inputs: Iterator[ExplainedInput],
    options: ExplainOptions,
    calls: Sequence[Call[Row]] | None,
) -> ShownExplanations:
    """Explains inputs, whose predictions have nothing yet but why an input could not be read."""
    models = {options.task: model}
    if model.core.joint and not options.task:
        models = task_models.models_of_tasks(model)
    elif options.task:
        models = {options.task: task_models.chosen_model(model, options.task, "tltf.explain")}
    rows = list(itertools.islice(inputs, options.num_inputs))
    if next(inputs, None) is not None:
        what = f"only the first {options.num_inputs} inputs are explained (--num_inputs=1000 takes more)"
        warnings.warn(what, stacklevel=3)
    found = [_explain_head(own, task, rows, options, calls) for task, own in models.items()]
    parts, checks = [part for part, _ in found], [text for _, texts in found for text in texts]
    explained = _once_where_unread([row for of_one in zip(*parts, strict=True) for row in of_one])
    folder = pathlib.Path(options.output or next_folder(options.run))
    return ShownExplanations(explained, checks, write(options.run, explained, checks, folder))


def _once_where_unread(rows: Sequence[ExplainedInput]) -> list[ExplainedInput]:
    """The rows of all tasks, in which an input that could not be read stands once."""
    seen = set[str]()
    kept = []
    for row in rows:
        if row.prediction.error and row.id in seen:
            continue
        seen |= {row.id} if row.prediction.error else set()
        kept.append(row)
    return kept


def _explain_head(
    model: TransferModel,
    task: str,
    rows: Sequence[ExplainedInput],
    options: ExplainOptions,
    calls: Sequence[Call[Row]] | None,
) -> tuple[list[ExplainedInput], list[str]]:
    """`(inputs, checks)`: the answers of one head to all inputs, and what was measured of each method."""
    explainers = [
        ModelExplainer(model, call, options.eval_batch_size)
        for call in calls or model_explainer.fitting_calls(model.core.backbone.modality)
    ]
    answering = Predictor(model, options.eval_batch_size)
    made = answering.stream(row.value for row in rows if not row.prediction.error)
    rows = [
        row if row.prediction.error else dataclasses.replace(row, prediction=next(made), task=task)
        for row in rows
    ]
    good = [place for place, row in enumerate(rows) if not row.prediction.error]
    if not good:
        what = "there are no inputs"
        if rows:
            first = rows[0].prediction.error
            what = f"none of {len(rows)} inputs could be predicted; the first: {first}"
        raise DataError(what, flag="input")
    explained = model_explainer.rows_of(
        model,
        answering,
        [rows[place].value for place in good],
        [rows[place].prediction for place in good],
        options.label,
    )
    found = [explainer.explain(explained) for explainer in explainers]
    for place, explanations in zip(good, zip(*found, strict=True), strict=True):
        rows[place] = dataclasses.replace(rows[place], explanations=explanations)
    checks = []
    for of_all in found if options.check else ():
        measured = faithfulness.measure(model, explained, of_all, options.eval_batch_size)
        of_task = f"{task}, " if task else ""
        checks.append(f"{of_task}{of_all[0].title}: {measured}")
    return rows, checks


def next_folder(run: str) -> pathlib.Path:
    """The folder of the next explanations of a run: RUN/explanations/<next integer>."""
    return atomic_folders.new_version(pathlib.Path(run) / layout.EXPLANATIONS)


def write(
    run: str, rows: Sequence[ExplainedInput], checks: Sequence[str], folder: pathlib.Path
) -> pathlib.Path:
    """Writes the page and the numbers into a folder, and returns the page's path.

    Raises:
        StorageError: a file cannot be written.
    """
    path = folder / layout.EXPLANATIONS_HTML
    report = run_report(run)
    title = naming.title(report) if report else pathlib.Path(run).resolve().name
    page = explained_inputs.page(title, rows, checks, "explanations.html.jinja")
    with atomic_files.replace_file(folder / layout.EXPLANATIONS_ROWS) as file:
        for row in rows:
            content = writer.plain(row.to_json())
            file.write(json.dumps(content, allow_nan=False, ensure_ascii=False) + "\n")
    with atomic_files.replace_file(path) as file:
        file.write(page)
    return path
