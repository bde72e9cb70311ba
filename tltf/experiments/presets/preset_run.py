"""One run with everything before it: advice, a few trials, perhaps an ensemble, within a budget, and one report."""

import dataclasses
import pathlib
import shutil
from time import monotonic
from typing import Any

from tltf.config import checks
from tltf.config.option_groups import OutputOptions
from tltf.config.options import Options, flag_values, make, replace, run_options
from tltf.config.preset_options import BEST, QUICK, TrainCommandOptions
from tltf.config.recipe import Recipe
from tltf.config.search_options import SearchOptions
from tltf.console import lines
from tltf.console.progress import seconds_text
from tltf.errors import FlagError
from tltf.evaluation.report.report import Report
from tltf.evaluation.report.tried_block import TriedBlock, TriedRow
from tltf.experiments import one_run
from tltf.experiments.advice import advising, page
from tltf.experiments.advice.advising import Advice
from tltf.experiments.launch import Launch
from tltf.experiments.presets import budget, ensemble_trial, preset_plan
from tltf.experiments.presets.budget import Budget
from tltf.experiments.presets.preset_plan import Choice, PresetPlan
from tltf.experiments.presets.trial_space import TrialSpace
from tltf.experiments.search import searching, study
from tltf.experiments.search.searching import Search
from tltf.experiments.search.trial import TrialRow, best_of
from tltf.experiments.search.wording import values_text
from tltf.runs import folder, layout

FEWEST_SECONDS = 120.0
"""Seconds below which a budget is refused: TensorFlow, a report and an export alone take more than half of it."""
MEMBERS = 3
"""Trials that may be members of an ensemble."""


@dataclasses.dataclass(frozen=True)
class FinishedTrials:
    """What a search has found.

    Args:
        search: the search.
        left_out: what was not tried, in sentences.
        earlier_s: seconds that interrupted processes spent on it.
    """

    search: Search
    left_out: list[str]
    earlier_s: float


def run(
    options: TrainCommandOptions, recipe: Recipe, launch: Launch, time: Budget | None = None
) -> Report | None:
    """Advises, tries and trains as the preset says; RUN is then a run like any other.

    Args:
        options: of the command.
        recipe: what their call strings name.
        launch: how the command was started.
        time: when it began, and how long it may take; None for now and for what the options say.

    Raises:
        FlagError: the preset does not fit the labels, the split or another flag, or the budget is too small.
        TltfError: a stage fails.
    """
    preset, given = options.presets, run_options(options)
    advising.require_advisable(given, recipe)
    if preset.budget_s < FEWEST_SECONDS:
        what = f"is {seconds_text(preset.budget_s)}, and a run takes two minutes at least"
        raise FlagError(what, flag="budget_minutes", fix="--budget_minutes=5")
    if given.output.dry_run:
        what = "tries networks before it can say what it would train"
        raise FlagError(what, flag="dry_run", fix="python -m tltf.advise, which trains nothing")
    if preset.name != QUICK:
        study.require_installed("tpe")
        searching.require_validation(given, recipe)
    time = time or Budget(preset.budget_s)
    with folder.claim_folder(given.output) as path:
        if path is None:
            raise FlagError("is needed", flag="output", fix="--output=RUN")
        _remove_earlier(path, given.output)
        plan, time = _planned(preset.name, given, recipe, path, time)
        base = replace(given, **plan.network)
        choice = preset_plan.read_choice(path)
        if choice is None:
            search = _search(base, plan, plan.space, path, time) if plan.space else None
            choice = _choose(base, plan, search, time)
            preset_plan.write(path, layout.PRESET_CHOICE, choice)
        report = _carry_out(choice, base, recipe, path, launch)
        _drop_networks(path / layout.SEARCH)
        return report


def _remove_earlier(run: pathlib.Path, output: OutputOptions) -> None:
    """Removes what an earlier run has tried, where that run is replaced."""
    if output.overwrite or output.resume == "never":
        for name in (layout.ADVICE, layout.SEARCH):
            shutil.rmtree(run / name, ignore_errors=True)


def _planned(
    preset: str, given: Options, recipe: Recipe, run: pathlib.Path, time: Budget
) -> tuple[PresetPlan, Budget]:
    """The plan, with the budget less what earlier processes spent: of an interrupted run its own, else that of an advice."""
    plan = preset_plan.read_plan(run, preset, given)
    if plan is None:
        advice = _advise(given, recipe, run, time)
        left_s = time.left_s - _ensemble_s(preset, time)
        plan = preset_plan.make(preset, given, advice, left_s)
        preset_plan.write(run, layout.PRESET_PLAN, plan)
    else:
        lines.say("preset", "goes on with what its advice has said")
        time = dataclasses.replace(time, earlier_s=plan.advice_s)
    return plan, time


def _advise(given: Options, recipe: Recipe, run: pathlib.Path, time: Budget) -> Advice:
    """The advice for the data: on the network of --backbone where it names one, else on those that are usual."""
    options, name = advising.advise_options(given), given.model.backbone
    if name not in (checks.USUAL, checks.AUTO):
        options = replace(options, backbones=name)
    found = advising.run(options, recipe, budget.SHARE_OF_ADVICE * time.left_s)
    page.write(found, run / layout.ADVICE)
    lines.say("advice", f"{found.networks[0].name}, after {seconds_text(time.spent_s)}")
    for warning in found.warnings:
        lines.say("warning", warning)
    return found


def _ensemble_s(preset: str, time: Budget) -> float:
    """Seconds that are kept for an ensemble; 0 for a preset that makes none."""
    return budget.ensemble_s(time.seconds) if preset == BEST else 0.0


def _search(
    base: Options, plan: PresetPlan, space: TrialSpace, run: pathlib.Path, time: Budget
) -> FinishedTrials:
    """The trials of the plan, as far as there is time; the first is the light head."""
    is_best = plan.preset == BEST
    left_s = max(time.left_s - plan.reserve_s - _ensemble_s(plan.preset, time), 1.0)
    count = budget.num_trials(left_s, space.first_s, space.next_s)
    lines.say("search", f"up to {count} trials in {seconds_text(left_s)}")
    values = flag_values(base) | {
        "output": str(run / layout.SEARCH),
        "overwrite": False,
        "resume": "auto",
        "space": space.text,
        "trials": count,
        "budget_minutes": left_s / 60,
        "keep_models": MEMBERS if is_best else 1,
        "pruner": "none",
    }
    chosen, left_out = make(SearchOptions, **values), list[str]()
    if count == 1 and len(space.first) > 1:
        what, next_s = space.first[1]["method"], seconds_text(space.next_s)
        left_out.append(
            f"{what} was not tried: {next_s} were expected for it, much more than was left."
        )
    began = monotonic()
    with lines.indented():
        found = searching.run(chosen, finishes=False, first=space.first)
    earlier_s = sum(row.seconds for row in found.rows) - (monotonic() - began)
    return FinishedTrials(found, left_out, max(earlier_s, 0.0))


def _choose(base: Options, plan: PresetPlan, trials: FinishedTrials | None, time: Budget) -> Choice:
    """What becomes the run: the best trial, an ensemble of the best, or the light head where there is no trial."""
    if trials is None:
        method = "probe" if base.train.method == "auto" else base.train.method
        rows = [*plan.rows[:1], dataclasses.replace(plan.rows[1], is_chosen=True), *plan.rows[2:]]
        name = plan.network["backbone"]
        why = [f"{name} is the first network of the advice, with --method={method}."]
        return Choice({"method": method}, [], _block(plan, time, rows, why))
    found, rows = trials.search, [*plan.rows, *_trial_rows(trials.search)]
    time = dataclasses.replace(time, earlier_s=time.earlier_s + trials.earlier_s)
    if found.best is None:
        why = [
            "No trial has ended within the budget, so this is the tuned light head on the first network."
        ]
        return Choice({"method": "probe"}, [], _block(plan, time, rows, why))
    why = [_why_best(found, found.best), *trials.left_out, *plan.why]
    if plan.preset == BEST:
        joined = ensemble_trial.judge(found, MEMBERS, time.left_s - plan.reserve_s)
        why.append(joined.why)
        rows += [joined.row] if joined.row else []
        if joined.pays:
            rows = [dataclasses.replace(row, is_chosen=row is joined.row) for row in rows]
            return Choice(
                None, [path.name for path in joined.folders], _block(plan, time, rows, why)
            )
    trial = layout.trial_folder(found.folder, found.best.number)
    return Choice(found.best.values, [trial.name], _block(plan, time, rows, why))


def _carry_out(
    choice: Choice, base: Options, recipe: Recipe, run: pathlib.Path, launch: Launch
) -> Report | None:
    """Makes the run of a choice, from the trials that it names."""
    complete = _completion(choice.block)
    trials = [run / layout.SEARCH / layout.TRIALS / name for name in choice.trials]
    if choice.values is None:
        return ensemble_trial.make(trials, base, complete)
    for trial in trials:
        take_trial(trial, run)
    chosen = replace(base, **choice.values)
    own = checks.resolve(chosen, source=recipe.source)  # which has no name if it is in memory
    return one_run.run(chosen, own, launch=launch, complete=complete)


def take_trial(trial: pathlib.Path, run: pathlib.Path) -> None:
    """Copies the trained run of a trial into a run folder that has none yet, where it is gone on with."""
    if folder.read_status(run):
        return
    for item in sorted(trial.iterdir(), key=lambda item: item.name == layout.STATUS):
        if item.name.startswith(layout.LOCK) or item.name == layout.CONSOLE_LOG:
            continue
        if item.is_dir():
            shutil.copytree(item, run / item.name, dirs_exist_ok=True)
        else:
            shutil.copy2(item, run / item.name)


def _completion(block: TriedBlock) -> one_run.Complete:
    def complete(report: Report, _: dict[str, Any]) -> Report:
        return dataclasses.replace(report, tried=block)

    return complete


def _drop_networks(search: pathlib.Path) -> None:
    """Removes the networks of trials; their scores and logs stay."""
    for trial in search.glob(f"{layout.TRIALS}/*"):
        for name in layout.NETWORKS:
            shutil.rmtree(trial / name, ignore_errors=True)


def _block(plan: PresetPlan, time: Budget, rows: list[TriedRow], why: list[str]) -> TriedBlock:
    return TriedBlock(plan.preset, time.seconds, time.spent_s, rows, why, plan.warnings)


def _trial_rows(found: Search) -> list[TriedRow]:
    best = found.best.number if found.best else None
    return [
        TriedRow(
            values_text(row.values),
            row.seconds,
            row.score.value if row.score else None,
            "validation" if row.score else "",
            _note(row),
            row.number == best,
        )
        for row in found.rows
    ]


def _note(row: TrialRow) -> str:
    """How a trial ended, where its score does not say it."""
    if row.same_as is not None:
        return "the same training as an earlier one"
    return "" if row.score else row.reason or row.status


def _why_best(found: Search, best: TrialRow) -> str:
    """Why a trial is the best, and by how much it is ahead."""
    complete = best_of(found.rows, len(found.rows))
    if len(complete) < 2 or best.score is None or complete[1].score is None:
        return f"{values_text(best.values)} is the one trial that has ended."
    gap = 100 * (best.score.quality - complete[1].score.quality)
    rows = best.score.num_rows
    return (
        f"{values_text(best.values)} is the best of {len(complete)} trials on {rows:,} validation rows, "
        f"{gap:.1f} points above the next."
    )
