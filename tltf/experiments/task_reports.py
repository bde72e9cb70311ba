"""The reports of a run of several heads: one per task, and one of the run with a block for each."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from tltf.console import lines
from tltf.evaluation.report import writer
from tltf.evaluation.report.report import DataSummary, Report
from tltf.evaluation.report.task_blocks import TaskBlock
from tltf.experiments import explained_mistakes, predictions_file, shown_examples
from tltf.models import task_models
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout
from tltf.serving.monitoring import recording
from tltf.training.result import TrainingResult

Evaluate = Callable[[TrainingResult], tuple[Report, dict[str, Any]]]
"""Makes the report of a model of one head, and role -> what its evaluator takes of its answers."""
JUDGED = ("validation", "test")


def evaluate(result: TrainingResult, evaluate_one: Evaluate) -> Report:
    """Judges each task of a run of several heads, writes its report, and makes that of the run.

    RUN/tasks/TASK gets the report of the task as that of a run of one head, the predictions on the test
    rows that have a label of it, and what tltf.monitor compares with. The outputs of all tasks are computed in one pass.

    Args:
        result: of the training.
        evaluate_one: makes the report of one task.

    Returns:
        The report of the run, which has a block per task in place of metrics of its own.
    """
    trained = result.model
    run = pathlib.Path(trained.run_options.output.output)
    lines.say("evaluate", f"measuring {len(trained.core.heads)} tasks")
    task_models.know_logits(trained, *JUDGED)
    reports = {}
    for task, model in task_models.models_of_tasks(trained).items():
        own = dataclasses.replace(result, model=model)
        report, stated = evaluate_one(own)
        report = shown_examples.with_examples(report, model, stated, model.splits)
        if model.recipe:
            report = explained_mistakes.with_explanations(report, own, model.recipe)
        recording.record(model, run, task)
        reports[task] = dataclasses.replace(report, title=f"{task} of {run.name}")
        folder = layout.task_folder(run, task)
        if "test" in model.splits:
            head, part = model.core.head, model.splits["test"]
            path = folder / layout.PREDICTIONS
            folder.mkdir(parents=True, exist_ok=True)
            predictions_file.write(path, part, head, stated["test"], model.class_names)
        writer.write(reports[task], folder, history=())
    return _whole(trained, reports)


def _whole(trained: TransferModel, reports: Mapping[str, Report]) -> Report:
    """The report of the run, made of those of its tasks."""
    first = next(iter(reports.values()))
    scan, source = next(iter(trained.splits.values())).scan, trained.run_options.data
    chosen = dict.fromkeys(
        f"{what} of {task}"
        for task, report in reports.items()
        for what in report.chosen_on_validation or ()
        if not what.startswith("the epoch")
    )
    judges = any("the epoch" in (report.chosen_on_validation or ()) for report in reports.values())
    return dataclasses.replace(
        first,
        run=first.run | {"head": trained.run_options.model.head},
        validation=None,
        test=None,
        chosen_on_validation=None
        if first.chosen_on_validation is None
        else [*(["the epoch"] if judges else []), *chosen],
        data=DataSummary(scan, source.data, source.split),
        title=None,
        worst_mistakes=[],
        borderline=[],
        confused=[],
        tasks=[
            TaskBlock(
                task,
                trained.core.heads[task].call.text,
                f"{layout.TASKS}/{task}",
                report.validation,
                report.test,
            )
            for task, report in reports.items()
        ],
    )
