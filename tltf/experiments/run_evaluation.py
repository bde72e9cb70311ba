"""Evaluates a finished run again, on its own test split or on other labelled examples."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.config.call_strings import Call
from tltf.config.catalogs.row import Row
from tltf.config.command_options import EvaluateOptions
from tltf.data import loader, row_scan, run_data, scan_report, trained_rows
from tltf.data.source import TEST, TRAIN, VALIDATION, Source, require_labels
from tltf.errors import FlagError, printable
from tltf.evaluation import evaluators, left_out
from tltf.evaluation.baseline_row import BaselineRow
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.report import naming, sentences, terminal, writer
from tltf.evaluation.report.report import DataSummary, Report, run_report
from tltf.evaluation.report.task_blocks import TaskBlock
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments import one_run, predictions_file, shown_examples
from tltf.files import atomic_folders
from tltf.models import loading, task_models
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout
from tltf.training.distribution import strategies

ROWS = {
    TEST: "the test split",
    VALIDATION: "the validation split",
    TRAIN: "the training split",
    "all": "all rows",
}
"""Role of a split -> its name in reports."""


def run(options: EvaluateOptions, source: Call[Row] | None) -> Report:
    """Evaluates a run, writes a report and returns it.

    Args:
        options: the options of the command.
        source: the data that --data names; None for the run's own test split.

    Raises:
        FlagError: there is no run; it has no test split and --data is empty; or the data has no
            labels.
        DataError: an example has a class that the run does not know.
        ModelError: the model's files are refused, or the run's own data is code.
    """
    start = time.monotonic()
    trained = loading.load(options.run)
    folder = pathlib.Path(options.output or next_folder(options.run))
    with scan_report.write_on_failure(options.output):
        role, part = judged_part(trained, options, source)
        is_trained = trained_rows.find_trained(options.run, part) if options.data else None
        warnings = warnings_of(options, role, is_trained)
    rows = JudgedRows(role, part, is_trained, warnings)
    if trained.core.joint:
        return _run_tasks(trained, options, rows, folder, start)
    return _run_one(trained, options, rows, folder, start)


@dataclasses.dataclass(frozen=True)
class JudgedRows:
    """The rows that a run is evaluated on.

    Args:
        role: their role, or `all`.
        part: the rows.
        is_trained: bool[N], the rows that the run was trained on; None where it is not known.
        warnings: about metrics on them.
    """

    role: str
    part: Source
    is_trained: np.ndarray | None
    warnings: list[str]

    def of_task(self, task: str) -> "JudgedRows":
        """The rows that have a label of one of several tasks."""
        known, seen = self.part.label_fields[task].known, self.is_trained
        is_trained = None if seen is None else seen[known]
        return JudgedRows(self.role, self.part.of_task(task), is_trained, self.warnings)


def _run_tasks(
    trained: TransferModel,
    options: EvaluateOptions,
    rows: JudgedRows,
    folder: pathlib.Path,
    start: float,
) -> Report:
    """Evaluates each task of a run of several heads, and writes a report with a block for each."""
    trained.splits = {rows.role: rows.part}
    trained.known_logits[rows.role] = trained.logits(rows.part, options.eval_batch_size)
    found, blocks = dict[str, Report](), list[TaskBlock]()
    for task, model in task_models.models_of_tasks(trained).items():
        place, own = layout.task_folder(folder, task), rows.of_task(task)
        if not len(own.part):
            continue
        run = str(layout.task_folder(options.run, task))
        print(f"task       {task}")
        found[task] = _run_one(model, dataclasses.replace(options, run=run), own, place, start)
        call = trained.core.heads[task].call.text
        blocks.append(TaskBlock(task, call, f"{layout.TASKS}/{task}", test=found[task].test))
    first = next(iter(found.values()))
    data = DataSummary(rows.part.scan, options.data or trained.data)
    report = Report(
        title=evaluation_title(options.run),
        command=_command(options),
        run={**first.run, "run": str(options.run)},
        versions=first.versions,
        data=data,
        time_s={"total": time.monotonic() - start},
        tasks=blocks,
    )
    writer.write(report, folder)
    scan_report.write(folder, rows.part.scan)
    print(f"report     {folder / layout.REPORT_HTML}")
    return report


def _command(options: EvaluateOptions) -> str:
    return f"python -m tltf.evaluate --run={options.run} --data='{options.data}'"


def _run_one(
    trained: TransferModel,
    options: EvaluateOptions,
    rows: JudgedRows,
    folder: pathlib.Path,
    start: float,
) -> Report:
    """Evaluates a run of one head, or one task of a run; writes its report."""
    role, part, is_trained, warnings = rows.role, rows.part, rows.is_trained, rows.warnings
    head, judge = trained.core.head, evaluators.evaluator_for(trained.core.head)
    logits, labels = trained.known_logits.get(role), np.asarray(part.labels)
    if logits is None:
        logits = trained.logits(part, options.eval_batch_size)
    scores = trained.scores_of(logits)
    stated = judge.candidate(head, scores)
    seed = trained.options.runtime.seed if trained.options else 0
    own = run_report(options.run)
    validation = own.validation if own else None
    test = one_run.measure(trained, part, logits, seed, validation)
    test = left_out.add(test, judge, scores, labels, is_trained, left_out.TRAINED, seed=seed)
    report = Report(
        title=evaluation_title(options.run),
        command=_command(options),
        run={
            "run": str(options.run),
            "data": options.data or "the run's own test split",
            "rows": ROWS[role],
        },
        test=test,
        versions=strategies.versions(),
        data=data_summary(judge, part, options.data or trained.data, warnings),
        time_s={"total": time.monotonic() - start},
    )
    baselines = {
        **own_test(judge, options),
        judge.constant_name: constant(judge, options.run, part, seed),
    }
    report = dataclasses.replace(report, baselines=baselines)
    report = shown_examples.with_examples(report, trained, {"test": stated}, {"test": part})
    writer.write(report, folder)
    scan_report.write(folder, part.scan)
    predictions_file.write(folder / layout.PREDICTIONS, part, head, stated, trained.class_names)
    for warning in warnings:
        print(f"warning    {printable(warning)}")
    print(*terminal.verdict_lines(report), sep="\n")
    print(f"judged     {len(part)} rows: {ROWS[role]}")
    print(*_score_lines(report, test, "test" if role == "all" else role), sep="\n")
    print(f"report     {folder / layout.REPORT_HTML}")
    return report


def _score_lines(report: Report, test: SplitMetrics, name: str) -> list[str]:
    """The lines of a terminal with the metrics, beside those of other rows."""
    more = sentences.compared_sentences(report)
    first, *others = [terminal.score_text(test), *more]
    return [f"{name:<10} {first}", *(f"{'':<10} {sentence}" for sentence in others)]


def judged_part(
    trained: TransferModel, options: EvaluateOptions, data: Call[Row] | None
) -> tuple[str, Source]:
    """`(role, Source)` on which the run is evaluated, with labels in the order of its classes."""
    if data and trained.core.joint:
        call = trained.core.only.call
        source = loader.load_labelled(data, call, scan=options.scan, least_classes=1)
        role, part = _choose_rows(source, options.rows)
        return role, _in_order_of_tasks(part, trained)
    if data:
        source = loader.load(
            data,
            scan=options.scan,
            least_classes=1,
            target=trained.core.head.target,
        )
        require_labels(source)
        if options.scan.unknown_classes == "skip":
            source = source.keep_classes(trained.class_names, "was not trained")
            scan = source.scan
            with row_scan.attach_scan(scan):
                row_scan.require_few_bad(
                    scan.skipped_rows, scan.found, options.scan.max_bad_fraction
                )
        role, part = _choose_rows(source, options.rows)
        return role, part.reorder_classes(trained.class_names)
    if options.rows not in ("auto", TEST):
        raise FlagError(
            "goes with --data only", flag="rows", fix="--data=... --rows=" + options.rows
        )
    parts = run_data.load_parts(options.run)
    if "test" not in parts:
        raise FlagError("the run has no test split of its own", flag="data", fix="--data=...")
    return TEST, parts[TEST]


def _in_order_of_tasks(part: Source, trained: TransferModel) -> Source:
    """The rows with the labels of each task in the order of its classes.

    Raises:
        DataError: a class was not trained.
    """
    fields = {}
    for task, own in trained.core.heads.items():
        alone = dataclasses.replace(part, label_fields={task: part.label_fields[task]})
        (labels,) = alone.reorder_classes(own.class_names).label_fields.values()
        fields[task] = dataclasses.replace(labels, is_known=part.label_fields[task].is_known)
    return dataclasses.replace(part, label_fields=fields)


def _choose_rows(source: Source, wanted: str) -> tuple[str, Source]:
    """`(role, Source)` of the rows of a split.

    By default they are never the training rows of data that has splits.
    """
    roles = {}
    if source.roles is not None:
        roles = {role: np.flatnonzero(source.roles == role) for role in (TEST, VALIDATION, TRAIN)}
    present = [role for role, rows in roles.items() if len(rows)]
    if wanted == "all" or (wanted == "auto" and not present):
        return "all", source
    if wanted == "auto":
        wanted = present[0]
        if wanted == TRAIN:
            raise FlagError(
                "the data has a training split only, which says little about new examples",
                flag="data",
                fix="path= of other examples, or --rows=train to judge on it all the same",
            )
    if wanted not in present:
        what = f"the data has no {wanted} split (it has: {', '.join(present) or 'none'})"
        raise FlagError(what, flag="rows", fix="--rows=all")
    return wanted, source.take(roles[wanted])


def warnings_of(options: EvaluateOptions, role: str, is_trained: np.ndarray | None) -> list[str]:
    """The warnings about metrics on these rows, such as that the run was trained on some of them.

    Rows are compared by their content, so a file that was saved anew counts as another row.

    Args:
        options: the options of the command.
        role: of the rows.
        is_trained: bool[N], the rows that the run was trained on; None where it is not known.
    """
    if not options.data:
        return []
    if is_trained is None:
        return [
            "the run does not record its training rows, so whether these rows are new is not known"
        ]
    warnings = []
    if is_trained.any():
        warnings.append(
            f"the run was trained on {int(is_trained.sum())} of {len(is_trained)} examples, so its "
            "metrics on these are too good"
        )
    if role == VALIDATION:
        warnings.append(_warning_of_validation(options))
    return warnings


def _warning_of_validation(options: EvaluateOptions) -> str:
    """The warning about metrics on a validation split."""
    what = "the run is judged on a validation split"
    if options.rows == "auto":
        what = "the data has no test split, so the run is judged on its validation split"
    report = run_report(options.run)
    if not report or not report.chosen_on_validation:
        return what
    verb = sentences.were_chosen(report.chosen_on_validation)
    return (
        f"{what}; if these rows were the run's own, {verb} on them, and metrics on new rows may be "
        "worse"
    )


def data_summary(
    judge: Evaluator[Any], part: Source, text: str, warnings: Sequence[str] = ()
) -> DataSummary:
    """The counts of the scan and of the labels on which the run is evaluated."""
    scan = dataclasses.replace(part.scan, warnings=[*warnings, *part.scan.warnings])
    return DataSummary(scan, text, splits={"test": judge.counts(part)})


def evaluation_title(run: str) -> str:
    """The heading of the report: that of the run, where it has one."""
    report = run_report(run)
    return f"Evaluation of {naming.title(report) if report else pathlib.PurePath(run).name}"


def own_test(judge: Evaluator[Any], options: EvaluateOptions) -> dict[str, BaselineRow]:
    """The row of the run's own test split, from its report; {} where it has none, or is judged.

    Args:
        judge: the evaluator of the run's head.
        options: the options of the command.
    """
    report = run_report(options.run) if options.data else None
    found, metric = report.test if report else None, judge.wording.metric
    if found is None or found.scores.get(metric) is None:
        return {}
    shown = {metric, *judge.wording.columns}
    test = SplitMetrics(
        {name: value for name, value in found.scores.items() if name in shown},
        found.num_examples,
        found.target,
        intervals={metric: bounds} if (bounds := _interval(found, metric)) else {},
        interval_confidence=found.interval_confidence,
    )
    note = "this model on the examples that the run was tested on when it was trained"
    return {sentences.OWN_TEST: BaselineRow(test, note=note)}


def _interval(metrics: SplitMetrics, name: str) -> list[float] | None:
    """The interval of a metric in a file that may hold anything; None without two numbers."""
    bounds = metrics.intervals.get(name) if isinstance(metrics.intervals, dict) else None
    is_pair = isinstance(bounds, list) and len(bounds) == 2
    return bounds if is_pair and all(isinstance(bound, float) for bound in bounds or ()) else None


def constant(judge: Evaluator[Any], run: str, part: Source, seed: int) -> BaselineRow:
    """The row of the baseline that ignores its input, from the counts in the run's report.json.

    Args:
        judge: the evaluator of the run's head.
        run: the run folder.
        part: the rows on which the run is evaluated, with the classes of the run.
        seed: seed of the bootstrap.
    """
    labels, names = np.asarray(part.labels), part.class_names
    trained = training_labels(judge, run, part)
    if trained is not None:
        return judge.constant(trained, labels, names, seed=seed)[0]
    row, _ = judge.constant(labels, labels, names, seed=seed)
    what = "of these very examples: the run has no report.json that counts its training split"
    return dataclasses.replace(row, note=f"{row.note.split(' of the training')[0]}, {what}")


def training_labels(judge: Evaluator[Any], run: str, part: Source) -> np.ndarray | None:
    """Labels that are counted like those of the run's training split, from RUN/report.json.

    None if there is no such file.
    """
    report = run_report(run)
    counts = report.data.splits.get(TRAIN) if report and report.data else None
    return judge.training_labels(counts, part) if counts else None


def next_folder(run: str) -> pathlib.Path:
    """The folder of the next evaluation: RUN/evaluations/<next integer>."""
    return atomic_folders.new_version(pathlib.Path(run) / layout.EVALUATIONS)
