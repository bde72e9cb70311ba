"""What is tried on a page: a model, the heads that answer, and what was asked last."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import cast

from tltf.config.command_options import DemoOptions
from tltf.evaluation import evaluators
from tltf.evaluation.report import naming, templating
from tltf.evaluation.report.report import Report, run_report
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.models import loading, task_models
from tltf.models.prediction import Prediction
from tltf.models.transfer_model import TransferModel
from tltf.serving.demo.examples import Example, examples_of
from tltf.serving.demo.explanations import explainer_of

Explain = Callable[[tuple[str, ...], Prediction], str]
"""What an answer rests on, as HTML; of the values of the fields, and the answer to them."""


@dataclasses.dataclass(frozen=True)
class Answering:
    """One of the heads that answer on a page.

    Args:
        model: with this head alone.
        explain: shows what an answer rests on; None for no explanation.
        task: of the head, where there are several; otherwise empty.
    """

    model: TransferModel
    explain: Explain | None = None
    task: str = ""

    def own(self, prediction: Prediction) -> Prediction:
        """The answer of this head in a prediction of all heads; one with an error as it is."""
        return prediction.tasks.get(self.task, prediction) if self.task else prediction


@dataclasses.dataclass(frozen=True)
class Trial:
    """A model that is tried on a page.

    Args:
        model: that answers.
        heading: of the page.
        about: what stands below the heading, in Markdown.
        heads: what answers.
        examples: inputs to begin with; () for none.
    """

    model: TransferModel
    heading: str
    about: str
    heads: tuple[Answering, ...] = ()
    examples: tuple[Example, ...] = ()

    def answer(self, values: tuple[str | None, ...]) -> Prediction | None:
        """The answer to a value per field; None where a field is empty."""
        given = tuple(value for value in values if value)
        if len(given) < len(values):
            return None
        found = self.model.predict([given if len(given) > 1 else given[0]])
        (prediction,) = cast("list[Prediction]", found)
        return prediction


class Asked:
    """What somebody asked last; the page has one for each of its visitors.

    An explanation takes longer than an answer, so that the next input may be answered before it is
    there: then it is not shown.
    """

    def __init__(self) -> None:
        self._last: tuple[tuple[str, ...], Prediction] | None = None

    def put(self, values: tuple[str | None, ...], prediction: Prediction | None) -> None:
        """Keeps an input with its answer; None where there was nothing to answer."""
        self._last = None
        if prediction is not None and not prediction.error:
            self._last = (cast("tuple[str, ...]", values), prediction)

    def explained(self, explain: Explain) -> str | None:
        """HTML of what the last answer rests on; empty without one, None where there is a newer one."""
        asked = self._last
        if asked is None:
            return ""
        shown = explain(*asked)
        return shown if self._last is asked else None


def trial_of(options: DemoOptions, folder: pathlib.Path) -> Trial:
    """The Trial of a run.

    Args:
        options: of the command.
        folder: where pictures of examples are written.
    """
    model, report = loading.load(options.run), run_report(options.run)
    models = task_models.models_of_tasks(model) if model.core.joint else {"": model}
    heading = naming.title(report) if report else pathlib.Path(options.run).resolve().name
    return Trial(
        model,
        heading,
        _about(report),
        tuple(
            Answering(own, explainer_of(own, options.explainer), task)
            for task, own in models.items()
        ),
        tuple(examples_of(model, options.run, options.examples, folder)),
    )


def _about(report: Report | None) -> str:
    """The headline metric of the run, or of each of its tasks, with its interval; empty without one."""
    if report is None:
        return ""
    role, metrics = report.main_split()
    if report.tasks:
        told = ((block.task, _metric_text(role, getattr(block, role))) for block in report.tasks)
        return "\n\n".join(f"**{task}**: {text}" for task, text in told if text)
    return _metric_text(role, metrics)


def _metric_text(role: str, metrics: SplitMetrics | None) -> str:
    """The headline metric of a split with its interval; empty where there is none."""
    if metrics is None:
        return ""
    said = evaluators.wording_for(metrics)
    value = said.value(metrics.scores.get(said.metric))
    bounds = templating.interval_text(metrics.intervals.get(said.metric), said.value)
    counted = f"{metrics.num_examples:,} examples" if metrics.num_examples is not None else ""
    name = f"{role[:1].upper()}{role[1:]} {said.title}"
    return ", ".join(
        filter(None, [f"{name} {value}" + (f" ({bounds})" if bounds else ""), counted])
    )
