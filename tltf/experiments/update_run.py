"""Goes on from a run that is in use with new rows, and lets the new run take its place if it may.

Both are judged on the same rows: the run's own test rows, which must not be answered worse, and the
test rows of the new data, which must be answered better.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.config import call_strings, checks, paths
from tltf.config import options as option_values
from tltf.config.catalogs import FORMATS
from tltf.config.command_options import ExportOptions, UpdateOptions
from tltf.config.options import Options
from tltf.console import lines
from tltf.data import run_data
from tltf.data.source import Source
from tltf.data.sources import replay
from tltf.errors import DataError, FlagError, NotPublishedError
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import PairedDifference
from tltf.evaluation.report import writer
from tltf.evaluation.report.wording import Wording, count_of
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments import one_run
from tltf.experiments.comparison import common_rows
from tltf.experiments.launch import Launch
from tltf.files import atomic_files
from tltf.models import loading
from tltf.models.prediction_table import Table
from tltf.models.transfer_model import TransferModel
from tltf.runs import folder as runs_folder
from tltf.runs import layout
from tltf.serving.export import exporting

OLD, NEW = "old", "new"
NOTHING = "none"
"""The value of --publish that publishes nothing."""


@dataclasses.dataclass(frozen=True)
class JudgedRows:
    """Two runs on the same test rows.

    Args:
        name: OLD or NEW.
        before: metrics of the run in use.
        after: metrics of the new run.
        gain: new minus old, paired.
    """

    name: str
    before: SplitMetrics
    after: SplitMetrics
    gain: PairedDifference

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "gain": self.gain.to_json(),
        }


@dataclasses.dataclass(frozen=True)
class Update:
    """What an update came to.

    Args:
        rows: on the old test rows, and on the new ones.
        new_classes: classes that the run in use did not know.
        refusals: why the new run must not take its place, in sentences; [] where it may.
        published: the folder of the new version; None where none was written.
    """

    rows: list[JudgedRows]
    new_classes: list[str]
    refusals: list[str]
    published: pathlib.Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as update.json holds it."""
        return {
            "rows": {part.name: part.to_json() for part in self.rows},
            "new_classes": self.new_classes,
            "refusals": self.refusals,
            "published": str(self.published) if self.published else None,
        }


def run(options: UpdateOptions) -> Update:
    """Trains the new run, judges both, and publishes the new one or says why not.

    Args:
        options: those of the command.

    Raises:
        FlagError: a flag is missing, or the run has no test rows.
        DataError: the new data has no test rows.
        NotPublishedError: the new run is not good enough; it stays in its folder.
    """
    chosen = training_options(options)
    with runs_folder.claim_folder(chosen.output):
        if runs_folder.read_status(options.output) != "finished" or options.overwrite:
            one_run.run(chosen, launch=Launch(shows_result=False))
        deployed, updated = (
            loading.load_one_head(run, "tltf.update") for run in (options.run, options.output)
        )
        tested = run_data.load_parts(options.output).test
        rows = judge(deployed, updated, tested, options.eval_batch_size)
        said = evaluators.wording_for(rows[0].before)
        new_classes = [name for name in updated.class_names if name not in deployed.class_names]
        found = Update(rows, new_classes, refusals(rows, options.tolerance, said))
        print(text(found, said))
        if not found.refusals and options.publish != NOTHING:
            found = dataclasses.replace(found, published=_publish(options))
            print(f"{'published':<{lines.NAME}} {found.published}")
        with atomic_files.replace_file(pathlib.Path(options.output) / layout.UPDATE_JSON) as file:
            json.dump(writer.plain(found.to_json()), file, indent=1, ensure_ascii=False)
    if found.refusals:
        raise NotPublishedError(
            " ".join(found.refusals),
            place=options.output,
            fix="more rows of what got worse, a larger --replay, or a larger --tolerance",
        )
    return found


def training_options(options: UpdateOptions) -> Options:
    """The options of the new run: those of the run in use, on its rows and the new ones.

    Raises:
        FlagError: a flag is missing, or the folder holds no run.
    """
    for name in ("run", "data", "output"):
        checks.require(name, getattr(options, name))
    if pathlib.Path(options.run).resolve() == pathlib.Path(options.output).resolve():
        raise FlagError("is the run in use", flag="output", fix="--output=NEW_FOLDER")
    old, place = runs_folder.read_options(options.run), os.path.abspath(options.run)
    arguments = {
        "run": place,
        "data": str(paths.make_absolute("data", options.data)),
        "replay": options.replay,
    }
    method = options.method
    if method == "auto":
        own = old.train.method
        method = "full" if call_strings.name_of(own) == "scratch" else own
    changed: dict[str, Any] = {
        "data": call_strings.render("with_replay", arguments),
        "split": "holdout",
        "backbone": place,
        "backbone_weights": "default",
        "head_weights": place,
        "method": method,
        "output": options.output,
        "overwrite": options.overwrite,
        "seed": options.seed,
        "baseline": "none",
        "export": False,
        "title": "",
    }
    for name in ("train_epochs", "learning_rate"):
        value = getattr(options, name)
        if value is not None:
            changed[name] = value
    return option_values.replace(old, **changed)


def judge(
    deployed: TransferModel, updated: TransferModel, tested: Source | None, batch_size: int
) -> list[JudgedRows]:
    """Both models on the old test rows and on the new ones.

    Args:
        deployed: the model of the run in use.
        updated: the model of the new run.
        tested: the test rows of the new run, of both data sets.
        batch_size: examples per step.

    Raises:
        DataError: one of the two has no test rows.
    """
    found = list[JudgedRows]()
    for name, is_new in ((OLD, False), (NEW, True)):
        rows = np.empty(0, np.int64)
        if tested is not None:
            rows = np.flatnonzero(replay.is_new(tested) == is_new)
        if tested is None or not len(rows):
            what = f"there are no {name} test rows, so the two runs cannot be compared"
            raise DataError(what, flag="data", fix="data with a test split")
        found.append(_judge_rows(name, deployed, updated, tested.take(rows), batch_size))
    return found


def _judge_rows(
    name: str, deployed: TransferModel, updated: TransferModel, part: Source, batch_size: int
) -> JudgedRows:
    names, judge = updated.class_names, evaluators.evaluator_for(updated.core.head)
    truths = judge.truths(np.asarray(part.labels), names)
    parsed = []
    for model in (deployed, updated):
        own = evaluators.evaluator_for(model.core.head)
        candidate = own.candidate(model.core.head, model.scores(part, batch_size))
        answers = own.answers(candidate, model.class_names)
        table = Table(list(part.ids), {}, truths, answers, own.values(candidate))
        parsed.append(common_rows.parse(own, table, model.class_names, names))
    (labels, before), (_, after) = parsed
    return JudgedRows(
        name,
        judge.measure(labels, before, names),
        judge.measure(labels, after, names),
        judge.difference(labels, after, before),
    )


def refusals(rows: Sequence[JudgedRows], tolerance: float, said: Wording) -> list[str]:
    """Why the new run must not take the place of the old one, in sentences.

    It must not be worse on the old rows by more than the tolerance, and on the new rows the interval of
    the difference must be above zero.

    Args:
        rows: the old rows, then the new ones.
        tolerance: of the headline metric, or, of an error, of its share.
        said: how the metrics are named.
    """
    found = []
    for part in rows:
        gain = part.gain.gains[said.metric]
        sign = -1.0 if said.is_error else 1.0
        allowed = tolerance * (part.before.score(said.metric) if said.is_error else 1.0)
        told = f"{said.title} on the {part.name} test rows: {said.interval(gain)}"
        low, high = said.improvement(gain)
        if part.name == OLD and sign * gain.difference < -allowed:
            found.append(
                f"The new run is worse, {told}; at most {said.change(allowed)} is allowed."
            )
        if part.name == NEW and low <= 0:
            word = "worse" if high < 0 else "not surely better"
            found.append(f"The new run is {word}, {told}.")
    return found


def text(found: Update, said: Wording) -> str:
    """The table that the command prints."""
    rows = [["test rows", "examples", "in use", "new", "difference"]]
    for part in found.rows:
        gain = part.gain.gains[said.metric]
        values = [said.value(one.scores.get(said.metric)) for one in (part.before, part.after)]
        rows.append([part.name, f"{part.after.num_examples:,}", *values, said.interval(gain)])
    told = [f"{said.title}:", *lines.align(rows)]
    if found.new_classes:
        count = count_of(len(found.new_classes), "new class", "new classes")
        told += lines.wrap("classes", f"{count}: {', '.join(found.new_classes)}")
    return "\n".join(told)


def _publish(options: UpdateOptions) -> pathlib.Path:
    """Writes the next version into the folder that is served; it is checked as every export is."""
    folder = options.publish or str(pathlib.Path(options.run) / layout.EXPORT)
    call = call_strings.pick(FORMATS, checks.EXPORT_FORMAT, "format")
    (path,) = exporting.export_run(ExportOptions(run=options.output, output=folder), [call])
    return path
