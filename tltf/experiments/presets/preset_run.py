"""One run with everything before it: advice, a few trials, perhaps an ensemble, within a budget, and one report."""

import dataclasses
import pathlib
import shutil
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
from tltf.experiments.presets import budget, ensemble_trial, trial_space
from tltf.experiments.presets.budget import Budget
from tltf.experiments.search import searching, study
from tltf.experiments.search.searching import Search
from tltf.experiments.search.trial import TrialRow, best_of
from tltf.experiments.search.wording import values_text
from tltf.runs import folder, layout

FEWEST_SECONDS = 120.0
"""Seconds below which a budget is refused: TensorFlow, a report and an export alone take more than half of it."""
MEMBERS = 3
"""Trials that may be members of an ensemble."""


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
        advice = _advise(given, recipe, path, time)
        if preset.name == QUICK:
            return _quick(given, recipe, advice, time, launch)
        return _searched(options, recipe, advice, time, launch)


def _remove_earlier(run: pathlib.Path, output: OutputOptions) -> None:
    """Removes what an earlier run has tried, where that run is replaced."""
    if output.overwrite or output.resume == "never":
        for name in (layout.ADVICE, layout.SEARCH):
            shutil.rmtree(run / name, ignore_errors=True)


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


def _quick(
    given: Options, recipe: Recipe, advice: Advice, time: Budget, launch: Launch
) -> Report | None:
    """The run of a light head on the advised network."""
    method = "probe" if given.train.method == "auto" else given.train.method
    chosen = replace(given, **advising.first_flags(advice), method=method)
    why = [f"{advice.networks[0].name} is the first network of the advice, with --method={method}."]
    block = _block(QUICK, advice, time, _network_rows(advice, is_chosen=True), why)
    return _train(chosen, launch, block)


def _searched(
    options: TrainCommandOptions, recipe: Recipe, advice: Advice, time: Budget, launch: Launch
) -> Report | None:
    """The run of the best trial, or of an ensemble of the best."""
    preset, given = options.presets.name, run_options(options)
    left_s, advised = time.left_s - budget.reserve_s(advice), advice.networks[0].name
    advice = trial_space.put_affordable_first(given, advice, left_s)
    base = replace(given, **dict(advice.networks[0].candidate.flags))
    run = pathlib.Path(given.output.output)
    keeps = MEMBERS if preset == BEST else 1
    kept = budget.reserve_s(advice)
    later = kept + (budget.ensemble_s(time.seconds) if preset == BEST else 0.0)
    found, left_out = _search(base, advice, run / layout.SEARCH, time.left_s - later, keeps)
    if found.best is None:
        why = [
            "No trial has ended within the budget, so this is the tuned light head on the first network."
        ]
        block = _block(preset, advice, time, [*_network_rows(advice), *_trial_rows(found)], why)
        return _train(replace(base, method="probe"), launch, block)
    rows, why = _trial_rows(found), [_why_best(found, found.best), *left_out]
    if advice.networks[0].name != advised:
        why.append(
            f"{advised}, the first network of the advice, would take longer than there was; {advice.networks[0].name} "
            "cannot be told from it."
        )
    tried = [*_network_rows(advice), *rows]
    if preset == BEST:
        joined = ensemble_trial.judge(found, MEMBERS, time.left_s - kept)
        why.append(joined.why)
        tried += [joined.row] if joined.row else []
        if joined.pays:
            tried = [dataclasses.replace(row, is_chosen=row is joined.row) for row in tried]
            block = _block(preset, advice, time, tried, why)
            report: Report | None = ensemble_trial.make(joined, given, _completion(block))
            _drop_networks(run / layout.SEARCH, found.rows)
            return report
    take_trial(layout.trial_folder(run / layout.SEARCH, found.best.number), run)
    block = _block(preset, advice, time, tried, why)
    report = _train(replace(base, **found.best.values), launch, block)
    _drop_networks(run / layout.SEARCH, found.rows)
    return report


def _search(
    base: Options, advice: Advice, place: pathlib.Path, left_s: float, keep_models: int
) -> tuple[Search, list[str]]:
    """`(search, what was left out)` of the advised network, as far as there is time; the first trial is the light head."""
    left_s, space = max(left_s, 1.0), trial_space.make(base, advice)
    count = budget.num_trials(left_s, space.first_s, space.next_s)
    lines.say("search", f"up to {count} trials in {seconds_text(left_s)}")
    values = flag_values(base) | {
        "output": str(place),
        "overwrite": False,
        "resume": "auto",
        "space": space.text,
        "trials": count,
        "budget_minutes": left_s / 60,
        "keep_models": keep_models,
        "pruner": "none",
    }
    chosen = make(SearchOptions, **values)
    left_out = list[str]()
    if count == 1 and len(space.first) > 1:
        what, next_s = space.first[1]["method"], seconds_text(space.next_s)
        left_out.append(
            f"{what} was not tried: {next_s} were expected for it, much more than was left."
        )
    with lines.indented():
        return searching.run(chosen, finishes=False, first=space.first), left_out


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


def _train(chosen: Options, launch: Launch, block: TriedBlock) -> Report | None:
    """The run of some options, with what was tried in its report."""
    recipe = checks.resolve(chosen)
    return one_run.run(chosen, recipe, launch=launch, complete=_completion(block))


def _completion(block: TriedBlock) -> one_run.Complete:
    def complete(report: Report, _: dict[str, Any]) -> Report:
        return dataclasses.replace(report, tried=block)

    return complete


def _drop_networks(search: pathlib.Path, rows: list[TrialRow]) -> None:
    """Removes the networks of trials; their scores and logs stay."""
    for row in rows:
        trial = layout.trial_folder(search, row.number)
        for name in (layout.CHECKPOINTS, layout.MODEL):
            shutil.rmtree(trial / name, ignore_errors=True)


def _block(
    preset: str, advice: Advice, time: Budget, rows: list[TriedRow], why: list[str]
) -> TriedBlock:
    first = TriedRow("advice: all of the following networks", advice.seconds)
    return TriedBlock(preset, time.seconds, time.spent_s, [first, *rows], why, advice.warnings)


def _network_rows(advice: Advice, *, is_chosen: bool = False) -> list[TriedRow]:
    """The networks of the advice; each with the seconds of the pass and the heads."""
    return [
        TriedRow(
            f"{one.name}, a light head",
            one.ms_per_example / 1000 * advice.num_looked_at + one.head_s,
            one.accuracy,
            "folds of training",
            is_chosen=is_chosen and place == 0,
        )
        for place, one in enumerate(advice.networks)
    ]


def _trial_rows(found: Search) -> list[TriedRow]:
    best = found.best.number if found.best else None
    return [
        TriedRow(
            values_text(row.values),
            row.seconds,
            row.score.value if row.score else None,
            "validation" if row.score else "",
            "" if row.score else row.reason or row.status,
            row.number == best,
        )
        for row in found.rows
    ]


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
