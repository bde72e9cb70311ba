"""A finished run or evaluation as it stands in its folder: report, history and answers."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from tltf.config import call_strings, several_heads, task_heads
from tltf.config.catalogs import HEADS
from tltf.errors import FlagError, ModelError, StorageError
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.heads.head import Head
from tltf.models import prediction_table
from tltf.models.prediction_table import Table
from tltf.runs import layout, metrics_log


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run, or an evaluation of a run, that can be compared.

    Args:
        name: the end of its path, which no other compared run has.
        folder: of the run or of the evaluation.
        report: what its report.json holds.
        metrics: of the rows that it was judged on.
        options: flag -> value of the run; that of the evaluated run for an evaluation.
        history: a dict per epoch or penalty; empty for an evaluation.
        head: of the run.
        table: the answers on the judged rows.
    """

    name: str
    folder: pathlib.Path
    report: Report
    metrics: SplitMetrics
    options: dict[str, Any]
    history: list[dict[str, Any]]
    head: Head
    table: Table

    @property
    def columns(self) -> list[str]:
        """The names of the columns of the table's values."""
        return self.head.columns(self.metrics.class_names)


def read_runs(folders: Sequence[str]) -> list[FinishedRun]:
    """The runs in folders, in their order.

    Raises:
        FlagError: fewer than two folders, one that is named twice, or one without a finished run.
        ModelError: what a folder holds cannot be read, or names code from outside of tltf.
    """
    paths = [pathlib.Path(folder) for folder in folders]
    if len({path.resolve() for path in paths}) < 2 or len(set(paths)) < len(paths):
        raise FlagError(
            f"takes two different run folders or more (received {len(paths)})",
            flag="runs",
            fix="python -m tltf.compare RUN OTHER_RUN",
        )
    return [_read(path, name) for path, name in zip(paths, short_names(paths), strict=True)]


def short_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """The shortest ends of absolute paths by which they are told apart."""
    parts = [path.absolute().parts for path in paths]
    for length in range(1, max(map(len, parts))):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _read(folder: pathlib.Path, name: str) -> FinishedRun:
    report = _read_report(folder)
    _, metrics = report.main_split()
    if metrics is None or not (folder / layout.PREDICTIONS).exists():
        what = "was judged on no test rows, so there are no answers to compare"
        fix = f"python -m tltf.evaluate --run={folder} --data=..., and compare what that wrote"
        raise FlagError(what, flag="runs", place=folder, fix=fix)
    options = report.options if report.options is not None else _options_of_run(folder, report)
    try:
        table, _ = prediction_table.read(folder / layout.PREDICTIONS)
    except (ValueError, StopIteration, IndexError, UnicodeDecodeError) as error:
        raise ModelError("is not a table of answers", place=folder / layout.PREDICTIONS) from error
    head, history = _head(options, folder), metrics_log.read(folder / layout.METRICS)
    run = FinishedRun(name, folder, report, metrics, options, history, head, table)
    if table.values.shape[1] != len(run.columns):
        what = f"has {table.values.shape[1]} columns of values in place of {len(run.columns)}"
        raise ModelError(what, place=folder / layout.PREDICTIONS)
    return run


def _read_report(folder: pathlib.Path) -> Report:
    """The report in a folder.

    Raises:
        FlagError: there is none.
        ModelError: it cannot be read.
    """
    path = folder / layout.REPORT_JSON
    try:
        return Report.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "holds no finished run" if folder.is_dir() else "there is no such folder"
        raise FlagError(what, flag="runs", place=folder) from error
    except OSError as error:
        raise StorageError(error.strerror or str(error), place=path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError("is not a report of tltf", place=path) from error


def _options_of_run(folder: pathlib.Path, report: Report) -> dict[str, Any]:
    """The options of the run that an evaluation judged.

    Raises:
        FlagError: the run is not there any more.
    """
    run = pathlib.Path(str(report.run.get("run") or folder.parent.parent))
    return _read_report(run).options or {}


def _head(options: dict[str, Any], folder: pathlib.Path) -> Head:
    """The head of a run, which gives its answers their meaning.

    Raises:
        ModelError: it is code from outside of tltf, which must not run without being asked for.
    """
    text = str(options.get("head") or "classify")
    if task_heads.are_several(text):
        raise several_heads.refuse("tltf.compare", "runs", "compare RUN/tasks/TASK of both")
    if call_strings.name_of(text) not in HEADS:
        what = f"the run's head {text!r} is not part of tltf, and its code would be run"
        raise ModelError(what, place=folder)
    head: Head = call_strings.pick(HEADS, text, "head").build()
    return head
