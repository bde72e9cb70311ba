"""What the worst mistakes of a report rest on."""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from tltf.config import checks
from tltf.config.call_strings import Call
from tltf.config.catalogs.row import Row
from tltf.config.recipe import Recipe
from tltf.console import lines
from tltf.data.source import Source
from tltf.evaluation.explanations import model_explainer
from tltf.evaluation.explanations.explanation import Explanation, cut_parts
from tltf.evaluation.explanations.model_explainer import ExplainedRows, ModelExplainer
from tltf.evaluation.report import writer
from tltf.evaluation.report.report import Mistake, Report
from tltf.models.transfer_model import TransferModel
from tltf.training.result import TrainingResult

SHARE = 0.05
"""The share of the passes of a run that `auto` spends on explanations."""
FIXED_PASSES = 2000
"""Passes of texts that take about as long as what every run does besides: imports, scan, report, export."""
PASSES_PER_ROW = 3 * model_explainer.QUICK_STEPS
"""Passes that integrated gradients of one row take: forward and back, and of the attempt before the last."""
LEAST_ROWS = 3
"""Mistakes that are explained however short a run is."""


def with_explanations(report: Report, result: TrainingResult, recipe: Recipe) -> Report:
    """The report with explanations of its worst mistakes, as --explain says.

    An explainer that does not fit the model is not used, and the report says why.

    Args:
        report: with its worst mistakes.
        result: whose model is judged.
        recipe: what the call strings of the run name.
    """
    trained, began = result.model, time.monotonic()
    rows = report.worst_mistakes
    if trained.run_options.output.explain == checks.NOTHING or not rows:
        return report
    call = recipe.explainer or model_explainer.quick_call(trained.core.backbone.modality)
    if recipe.explainer is None and "most_steps" in call.kwargs:
        rows = rows[: affordable_rows(result)]
    role = report.main_split()[0]
    try:
        found = _explain(trained, call, trained.splits[role], trained.judged[role], rows)
    except model_explainer.FAILURES as error:
        why = model_explainer.reason_of(error)
        lines.say("explain", f"the mistakes are not explained: {why}")
        return dataclasses.replace(report, explained=f"Not explained: {why}.")
    result.times_s["explain"] = time.monotonic() - began
    explained = [
        dataclasses.replace(row, explanation=explanation)
        for row, explanation in zip(rows, found, strict=True)
    ]
    left = report.worst_mistakes[len(rows) :]
    text = told(found)
    if left:
        text += f" The first {len(rows)} are explained, so that it costs little (--explain={call.name} explains all)."
    return dataclasses.replace(report, worst_mistakes=[*explained, *left], explained=text)


def affordable_rows(result: TrainingResult) -> int:
    """How many rows `auto` explains by integrated gradients, so that they take some SHARE of the run.

    It depends on the rows and the epochs of a run alone, so that the same run has the same report.
    """
    trained = result.model
    passes = FIXED_PASSES + sum(map(len, trained.splits.values()))
    if trained.above is None:  # every epoch passes through the whole network, and back
        passes += 3 * len(trained.splits["train"]) * len(result.history)
    return max(LEAST_ROWS, int(SHARE * passes / PASSES_PER_ROW))


def _explain(
    trained: TransferModel,
    call: Call[Row],
    part: Source,
    scores: np.ndarray,
    mistakes: Sequence[Mistake],
) -> list[Explanation]:
    """The Explanation of each of some mistakes, which are rows of `part` with these scores."""
    places = np.array([row.index for row in mistakes])
    rows = part.take(places)
    explainer = ModelExplainer(trained, call)
    batches = [batch[0] for batch in trained.dataset(rows, len(rows))]
    (tensors,) = batches
    texts = rows.text_columns() if part.modality == "text" else ()
    chosen = model_explainer.chosen_outputs(trained, scores[places])
    found = explainer.explain(ExplainedRows(tensors, chosen, texts))
    return [
        explanation
        if explanation.parts is None
        else dataclasses.replace(explanation, parts=cut_parts(explanation.parts, writer.MAX_TEXT))
        for explanation in found
    ]


def told(found: list[Explanation]) -> str:
    """How mistakes were explained, in sentences."""
    first = found[0]
    if not first.is_signed:
        return f"Colours say where a picture speaks for the answer that was given ({first.title}): the lighter, the more."
    what = "pixel" if first.parts is None else "word"
    text = f"Colours say whether a {what} speaks for the answer that was given or against it ({first.title})"
    errors = [explanation.error for explanation in found if explanation.error is not None]
    if errors:
        worst, middle = max(errors), float(np.median(errors))
        text += (
            f", in shares that sum up to all of it to within {middle:.1%} (at worst {worst:.1%})"
        )
    return f"{text}."
