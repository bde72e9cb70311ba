"""One run: trains, evaluates beside baselines, writes report and predictions, and exports."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tltf.config import checks, options
from tltf.config.call_strings import Call
from tltf.config.catalogs import Row
from tltf.config.options import Options
from tltf.config.recipe import Recipe
from tltf.console import lines
from tltf.data import near_duplicates, trained_rows
from tltf.data.source import ROLES, Source, Splits
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import TltfError
from tltf.evaluation import abstention, calibration, evaluators, left_out
from tltf.evaluation.report import learning, model_card, terminal, writer
from tltf.evaluation.report.format_rows import FormatRow
from tltf.evaluation.report.report import DataSummary, Parameters, Report, SplitCounts
from tltf.evaluation.report.run_facts import RunFacts
from tltf.evaluation.report.samples import SampleGroup
from tltf.evaluation.split_metrics import LABEL_NAME, SplitMetrics
from tltf.experiments import (
    explained_mistakes,
    facts,
    predictions_file,
    run_baselines,
    samples,
    shown_examples,
    task_reports,
)
from tltf.experiments.launch import Launch
from tltf.experiments.tracking.tracker import FinishedRun
from tltf.experiments.tracking.tracking import Tracking
from tltf.graphs import freezing
from tltf.models import input_format
from tltf.models.transfer_model import TransferModel
from tltf.runs import checkpoints, folder, layout, origin
from tltf.serving.export import verify
from tltf.serving.export.exporting import Exports, folder_of, read_table
from tltf.serving.monitoring import recording
from tltf.training import head_tuning, training
from tltf.training.distribution import strategies
from tltf.training.result import TrainingResult

Complete = Callable[[Report, dict[str, Any]], Report]
"""(report, role -> what an evaluator judges) -> the report with more in it."""


def run(
    options: Options,
    recipe: Recipe | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    launch: Launch | None = None,
    complete: Complete | None = None,
) -> Report | None:
    """Trains, evaluates, reports and exports; returns the report.

    Args:
        options: the options of the run; `data`, `backbone` and `output` must be set.
        recipe: what their call strings name; if it is None, they are resolved here.
        callbacks: more callbacks for `fit`.
        launch: how the run was started, and how much it prints; None for a call from Python.
        complete: adds to the report what was known before the run.

    Returns:
        The report; None after a dry run, and for all workers except the first.

    Raises:
        TltfError: a stage of the run fails.
    """
    start, launch = time.monotonic(), launch or Launch()
    recipe = recipe or checks.resolve(options)
    tracking = Tracking(recipe.trackers, launch.group)
    with folder.claim_folder(options.output), lines.quiet(options.output.quiet), tracking:
        if folder.is_chief() and not options.output.dry_run:
            _start_check_early(recipe)
        shows_plan = launch.shows_plan
        result = training.train(
            options, recipe, callbacks, shows_plan=shows_plan, open_log=tracking.begin
        )
        if options.output.dry_run or not folder.is_chief():
            return None
        return publish(result, recipe, start, launch, tracking, complete)


def _start_check_early(recipe: Recipe) -> None:
    """Starts the process that checks the export before the training, where that is short.

    Its import of TensorFlow takes longer than a head is solved for.
    """
    method, row = recipe.method, recipe.backbone.row if recipe.backbone else None
    is_served = checks.EXPORT_FORMAT in {call.name for call in recipe.formats}
    if not is_served or method is None or row is None or method.name != "linear_probe":
        return
    if method.kwargs.get("solver") == "lbfgs":
        verify.start_process(row.modality)


def publish(
    result: TrainingResult,
    recipe: Recipe,
    start: float,
    launch: Launch,
    tracking: Tracking,
    complete: Complete | None = None,
) -> Report:
    """Evaluates, reports and exports; returns the report.

    Args:
        result: the result of the training.
        recipe: what the call strings of the run name.
        start: time.monotonic() when the run began.
        launch: how the run was started, and how much it prints.
        tracking: the trackers, which have heard of the epochs.
        complete: adds to the report what is known of a model that was not trained by flags.
    """
    run = pathlib.Path(result.model.run_options.output.output)
    is_timed = result.model.above is None  # the whole network computes, with nothing beside it
    judge = _evaluate_tasks if result.model.core.joint else _evaluate_beside_baselines
    judged = judge(result) if is_timed else None
    with _exporting(result, recipe.formats, run) as finish_exports:
        report, stated = judged or judge(result)
        report = complete(report, stated) if complete else report
        report = _with_rows(result, recipe, report, stated)
        pictures = writer.draw(report, result.history)
        report = _write(result, report, pictures, start, launch)
        if recipe.formats:
            report = dataclasses.replace(report, formats=finish_exports())
            report = _write(result, report, pictures, start, launch)
    tracking.finish(FinishedRun(report, run, result.model))
    checkpoints.thin(run)
    folder.write_status(run, "finished")
    if launch.shows_result:
        print(terminal.closing_text(report, run, result.history))
    return report


def _evaluate_beside_baselines(result: TrainingResult) -> tuple[Report, dict[str, Any]]:
    """What `evaluate` gives, with the baselines of the run in the report."""
    began, trained = time.monotonic(), result.model
    lines.say("evaluate", _judged_text(trained))
    report, stated = evaluate(result)
    measured = trained.recipe.baselines if trained.recipe else ()
    baselines = run_baselines.measure(result, stated, measured or ())
    result.times_s["evaluate"] = time.monotonic() - began
    return dataclasses.replace(report, baselines=baselines), stated


def _evaluate_tasks(result: TrainingResult) -> tuple[Report, dict[str, Any]]:
    """`(report, {})` of a run of several heads, whose tasks have reports of their own."""
    began = time.monotonic()
    report = task_reports.evaluate(result, evaluate)
    result.times_s["evaluate"] = time.monotonic() - began
    return report, {}


def _with_rows(
    result: TrainingResult, recipe: Recipe, report: Report, stated: dict[str, Any]
) -> Report:
    """The report with what is shown of single rows; predictions and training rows are written."""
    trained = result.model
    run = pathlib.Path(trained.run_options.output.output)
    if "test" in stated:
        predictions_file.write(
            run / layout.PREDICTIONS,
            trained.splits["test"],
            trained.core.head,
            stated["test"],
            trained.class_names,
        )
    trained_rows.write(run, trained.splits["train"])
    if not trained.core.joint:
        recording.record(trained, run)
        report = shown_examples.with_examples(report, trained, stated, trained.splits)
        report = explained_mistakes.with_explanations(report, result, recipe)
    return dataclasses.replace(
        report,
        samples=_samples(trained, recipe),
        trainable_table=freezing.table(result.plans[-1]),
    )


def _judged_text(trained: TransferModel) -> str:
    """What is measured next; empty without a split to measure on."""
    roles = [role for role in ("validation", "test") if trained.splits.get(role)]
    counts = [f"{len(trained.splits[role]):,} {role} examples" for role in roles]
    return f"measuring on {' and '.join(counts)}" if counts else ""


def _write(
    result: TrainingResult,
    report: Report,
    pictures: writer.Pictures,
    start: float,
    launch: Launch,
) -> Report:
    """Writes the report and the model card with the times until now, and returns the report."""
    chosen, total = result.model.run_options, time.monotonic() - start + result.seconds_before
    run, speed = pathlib.Path(chosen.output.output), report.facts.speed if report.facts else None
    report = dataclasses.replace(
        report,
        time_s=result.times_s | {"total": total},
        facts=facts.gather_of_run(launch, chosen, run, speed),
    )
    if not report.tasks:
        model_card.write(report, run)
    writer.write(report, run, history=result.history, pictures=pictures)
    return report


def _samples(trained: TransferModel, recipe: Recipe) -> list[SampleGroup]:
    """Training examples for the report, with the augmentations of the run."""
    seed = trained.run_options.runtime.seed
    return samples.draw(trained.splits["train"], trained.preprocessing, recipe.augments, seed)


def evaluate(result: TrainingResult) -> tuple[Report, dict[str, Any]]:
    """`(report, role -> candidate)` on the validation and test splits; see `tltf.evaluation.evaluators`."""
    trained = result.model
    chosen, judge = trained.run_options, evaluators.evaluator_for(trained.core.head)
    stated: dict[str, Any] = {}
    found: dict[str, SplitMetrics] = {}
    speed = None
    for role in ("validation", "test"):
        part = trained.splits.get(role)
        if part:
            before = trained.whole_seconds
            logits = trained.known_logits.pop(role, None)
            if logits is None:
                logits = trained.logits(part, trained.eval_batch_size)
            trained.judged[role] = scores = trained.scores_of(logits)
            if before:  # the first split builds the graph
                speed = facts.speed_of(trained, len(part), trained.whole_seconds - before)
            stated[role] = judge.candidate(trained.core.head, scores)
            seed = chosen.runtime.seed
            measured = measure(trained, part, logits, seed, found.get("validation"))
            is_near = near_duplicates.is_near_others(part, Splits(trained.splits).scan)
            labels = np.asarray(part.labels)
            found[role] = left_out.add(
                measured, judge, scores, labels, is_near, left_out.NEAR, seed=seed
            )
    plan = result.plans[-1]
    report = Report(
        command=_command(chosen),
        options=options.flag_values(chosen),
        run=_headline(chosen, result.history),
        validation=found.get("validation"),
        test=found.get("test"),
        chosen_on_validation=_choices(result) if "validation" in trained.splits else None,
        time_s=dict(result.times_s),
        parameters=Parameters(plan.num_total, plan.num_trainable),
        versions=strategies.versions(),
        data=data_summary(trained, _text_warnings(result)),
        transfer=[list(row) for row in trained.core.backbone.transfer],
        facts=RunFacts(speed=speed),
    )
    return report, stated


def measure(
    trained: TransferModel,
    part: Source,
    logits: np.ndarray,
    seed: int,
    validation: SplitMetrics | None = None,
) -> SplitMetrics:
    """The metrics of the trained model on labelled rows, with all that a report shows of them.

    Args:
        trained: the trained model.
        part: the rows.
        logits: float32[N, L], the outputs of the core on these rows.
        seed: seed of the bootstrap.
        validation: the metrics of the run's validation split, see `Evaluator.details`.
    """
    head, scores = trained.core.head, trained.scores_of(logits)
    judge, labels = evaluators.evaluator_for(head), np.asarray(part.labels)
    candidate = judge.candidate(head, scores)
    found = judge.measure(labels, candidate, trained.class_names, seed=seed)
    details = judge.details(labels, candidate, trained.class_names, validation=validation)
    name = input_format.column_of(trained.data, trained.core.backbone.modality, "label")
    named = {LABEL_NAME: str(name)} if name else {}
    details |= calibration.details(head, labels, logits, seed=seed)
    rule = trained.options.train.abstain if trained.options else ""
    details |= abstention.details(head, labels, scores, rule)
    return dataclasses.replace(found, details=found.details | details | named)


def _choices(result: TrainingResult) -> list[str]:
    """The names of what a training chose on its validation split; [] if it chose nothing."""
    train, history = result.model.run_options.train, result.history
    num_penalties = sum("penalty" in row for row in history)
    num_epochs = len(learning.epochs_of(history))
    judges_epochs = train.keep == "best" or train.early_stopping_epochs
    recipe = result.model.recipe
    if recipe is None:
        return []
    method = recipe.method and recipe.method.name
    found = {
        "the penalty": num_penalties > 1,
        "the epoch": judges_epochs and num_epochs and len(history) > 1,
        **dict.fromkeys(head_tuning.choices(result.model), True),
        "the share of the start's weights": method == "wise_ft",
        "the runs of the soup": method == "soup",
    }
    return [what for what, is_chosen in found.items() if is_chosen]


def _text_warnings(result: TrainingResult) -> list[str]:
    """The warnings about how the texts fit into the length that they are cut to."""
    prepared = result.model.preprocessing
    if result.tokens is None or not isinstance(prepared, TextPreprocessing):
        return []
    return list(filter(None, [result.tokens.warning(prepared.length)]))


def data_summary(trained: TransferModel, warnings: Sequence[str] = ()) -> DataSummary:
    """Counts of the scan, and of the labels of each split.

    Args:
        trained: the trained model.
        warnings: more warnings than those of the scan.
    """
    chosen, judge = trained.run_options.data, evaluators.evaluator_for(trained.core.head)
    parts = Splits(trained.splits)
    counts = {
        role: judge.counts(part) if role in ROLES else SplitCounts(len(part))
        for role, part in parts.items()
    }
    scan = dataclasses.replace(parts.scan, warnings=[*parts.scan.warnings, *warnings])
    return DataSummary(scan, chosen.data, chosen.split, counts)


@contextlib.contextmanager
def _exporting(
    result: TrainingResult, formats: Sequence[Call[Row]], run: pathlib.Path
) -> Iterator[Callable[[], list[FormatRow]]]:
    """A block that goes on while the exports of this run are checked; it is given what ends them.

    That returns the rows of the table of formats, which is empty for a SavedModel alone.

    The block judges the model and writes the report, so an export that cannot be written is an error
    only at its end. A version that exists is complete and has the weights of this run, which was killed after it.
    """
    began, exports, failures = time.monotonic(), list[Exports](), list[TltfError]()
    version, root = origin.export_version(run) if formats else 0, run / layout.EXPORT
    missing = [call for call in formats if not (folder_of(root, call) / str(version)).exists()]
    if missing:
        lines.say("export", "writing; a clean process checks it (--noexport leaves it out)")
        try:
            exports.append(Exports(result.model, missing, root, version, True))
        except TltfError as error:
            failures.append(error)
    spent = time.monotonic() - began

    def finish() -> list[FormatRow]:
        again = time.monotonic()
        for failure in failures:
            raise failure
        for export in exports:
            export.finish()
        result.times_s["export"] = spent + time.monotonic() - again
        return read_table(root)

    try:
        yield finish
    finally:
        for export in exports:
            export.abandon()


def _command(chosen: Options) -> str:
    return f"python -m tltf.train --flagfile={pathlib.Path(chosen.output.output) / folder.FLAGS} --output=NEW"


def _headline(chosen: Options, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    train = chosen.train
    steps = {
        "epochs": train.train_epochs,
        "batch size": train.batch_size,
        "optimizer": f"{train.optimizer}, peak rate {train.learning_rate:g}, {train.schedule}",
    }
    is_solved = bool(history) and not learning.epochs_of(history)
    return {
        "data": chosen.data.data,
        "backbone": chosen.model.backbone,
        "head": chosen.model.head,
        "method": train.method,
        **({} if is_solved else steps),
        "seed": chosen.runtime.seed,
    }
