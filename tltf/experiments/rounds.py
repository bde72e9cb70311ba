"""Several trainings as one run, such as the folds of a cross-validation, each in RUN/rounds/<n>."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Sequence

import keras
import numpy as np

from tltf.config import checks
from tltf.config.option_groups import OutputOptions
from tltf.config.options import Options
from tltf.config.recipe import Recipe
from tltf.console import lines
from tltf.data import fingerprint, loader
from tltf.evaluation import evaluators
from tltf.evaluation.report import folds, next_steps, sentences, terminal, writer
from tltf.evaluation.report.report import Report
from tltf.experiments import facts, one_run, pooled_report
from tltf.experiments.launch import Launch
from tltf.experiments.round_plan import Plan, plan_of
from tltf.experiments.tracking.tracker import FinishedRun
from tltf.experiments.tracking.tracking import Tracking
from tltf.runs import folder as runs_folder
from tltf.runs import layout
from tltf.training.distribution import multi_worker, strategies


def run(
    chosen: Options,
    recipe: Recipe | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    launch: Launch | None = None,
) -> Report | None:
    """Trains once, or once for each fold or draw of the split, or for each seed; returns the report.

    The report of a cross-validation measures the test predictions of all folds together, in which
    each example is predicted once, by a model that was not trained on it; that of several draws, in
    which each test example is predicted once for each draw, and so with seeds. It also has the score of
    each.

    Args:
        chosen: the options of the run.
        recipe: what their call strings name; if it is None, they are resolved here.
        callbacks: more callbacks for `fit`, the same objects for every round.
        launch: how the run was started, and how much it prints; None for a call from Python.

    Returns:
        The report; None after a dry run, and for all workers except the first.

    Raises:
        TltfError: a stage of the run fails.
    """
    recipe, launch = recipe or checks.resolve(chosen), launch or Launch()
    plan = plan_of(chosen, recipe)
    if plan is None:
        return one_run.run(chosen, recipe, callbacks, launch)
    if chosen.output.dry_run:  # it shows the plan of the first round
        return one_run.run(*plan.given[0])
    with runs_folder.claim_folder(chosen.output), Tracking(recipe.trackers) as tracking:
        return _every_round(chosen, plan, callbacks, launch, tracking)


def _every_round(
    chosen: Options,
    plan: Plan,
    callbacks: Sequence[keras.callbacks.Callback],
    launch: Launch,
    tracking: Tracking,
) -> Report | None:
    start, folder = time.monotonic(), pathlib.Path(chosen.output.output)
    strategy = strategies.start(chosen.runtime)
    recipes = plan.recipes
    told = np.zeros(len(recipes) + 1, np.int64)  # which rounds are finished, and the first's name
    if runs_folder.is_chief():
        runs_folder.begin(folder, chosen, "python -m tltf.train --flagfile=run.flags --output=NEW")
        told[-1] = _first_name(folder)
        given = plan.options(chosen.output.output, int(told[-1]))
        told[_finished(given, recipes, chosen.output)] = 1
        with lines.quiet(chosen.output.quiet):
            tracking.begin(folder, chosen)
    *finished, first = multi_worker.broadcast_from_chief(strategy, told).tolist()
    given = plan.options(chosen.output.output, first)
    own = dataclasses.replace(launch, shows_result=False, group=tracking.group)
    found = []
    for number, one in enumerate(given):
        found.append(_round(one, recipes[number], number, plan, finished[number], callbacks, own))
        own = dataclasses.replace(own, shows_plan=own.shows_plan and bool(finished[number]))
    if not runs_folder.is_chief():
        return None
    reports = [report for report in found if report]
    places = [str(pathlib.Path(one.output.output).relative_to(folder)) for one in given]
    report = dataclasses.replace(
        pooled_report.make(chosen, folder, places, reports, plan.kind),
        time_s={
            "total": time.monotonic() - start,
            "train": sum(report.time_s["train"] for report in reports),
        },
        facts=facts.gather(launch, chosen),
    )
    writer.write(report, folder)
    tracking.finish(FinishedRun(report, folder))
    runs_folder.write_status(folder, "finished")
    print(*_closing_lines(report, folder), sep="\n")
    return report


def _first_name(folder: pathlib.Path) -> int:
    """The name of the first round's folder: 1, or 0 in a run that an earlier version has begun."""
    return 0 if (folder / layout.ROUNDS / "0" / runs_folder.FLAGS).exists() else 1


def _finished(
    given: Sequence[Options], recipes: Sequence[Recipe], output: OutputOptions
) -> list[int]:
    """The numbers of the rounds that are finished and were trained on the present data.

    Args:
        given: the options of each round.
        recipes: the recipe of each round.
        output: the output options of all together.

    Raises:
        ModelError: finished rounds were trained on other data, see `folder.require_allowed`.
    """
    found = [
        number
        for number, one in enumerate(given)
        if runs_folder.read_status(one.output.output) == "finished"
    ]
    if not found:
        return []
    first = given[found[0]]
    data = fingerprint.fingerprints(loader.training_parts(first, recipes[found[0]]))
    run = first.output.output
    changes = [change for change in runs_folder.changes(run, None, data) if change.name == "data"]
    if changes and output.overwrite:
        return []
    if changes:
        runs_folder.require_allowed(run, changes, output.resume)
    return found


def _round(
    chosen: Options,
    recipe: Recipe,
    number: int,
    plan: Plan,
    is_finished: int,
    callbacks: Sequence[keras.callbacks.Callback],
    launch: Launch,
) -> Report | None:
    """The report of one round, which is read if it is finished; None for all but the first worker.

    Args:
        chosen: the options of the round.
        recipe: its recipe.
        number: of the round, from 0.
        plan: of all rounds.
        is_finished: whether it need not be trained.
        callbacks: more callbacks for `fit`.
        launch: how the run was started, and how much the round prints.
    """
    if is_finished:
        if not runs_folder.is_chief():
            return None
        path = pathlib.Path(chosen.output.output) / layout.REPORT_JSON
        return Report.from_json(json.loads(path.read_text(encoding="utf-8")))
    print(f"{plan.kind.noun} {number + 1} of {len(plan.given)}")
    report = one_run.run(chosen, recipe, callbacks, launch)
    if report and report.test:
        print(f"{'':<10} {terminal.score_text(report.test)}")
    return report


def _closing_lines(report: Report, folder: pathlib.Path) -> list[str]:
    """The lines that several rounds print last: its result, and which model to use."""
    _, metrics = report.main_split()
    said, rows = evaluators.wording_for(metrics), report.folds or []
    shown = terminal.verdict_lines(report)
    kind = folds.kind_of(report.round_kind)
    shown.append(f"{kind.plural:<10} {folds.scores_text(rows, said)}")
    shown += lines.wrap("mean", folds.sentence(rows, metrics, said, kind)) if metrics else []
    for row in sentences.comparison(report)[1:]:
        gain = f", this model {said.interval(row.gain)}" if row.gain else ""
        shown.append(f"{'':<10} {said.value(row.value)} {row.title}{gain}")
    one_model, one_fold = next_steps.models_of_folds(report)
    shown += [
        f"{'report':<10} {folder / layout.REPORT_HTML}",
        f"{'predict':<10} {one_fold.command}",
        f"{'one model':<10} {one_model.command}",
    ]
    return shown
