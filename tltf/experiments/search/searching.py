"""Searches: runs trials until there are enough or the time is spent, and keeps the best of them."""

import dataclasses
import pathlib
import shutil
import time
from collections.abc import Callable, Sequence

import filelock

from tltf.config import call_strings, checks, default_spaces, flagfiles, search_space
from tltf.config.flag_fields import FlagValue, flag_text
from tltf.config.options import Options, replace, run_options
from tltf.config.recipe import Recipe
from tltf.config.resume import HARMLESS
from tltf.config.search_options import SearchOptions
from tltf.config.search_space import Space
from tltf.console import lines
from tltf.console.progress import seconds_text
from tltf.errors import FlagError, ModelError
from tltf.experiments.search import best, repeats, study
from tltf.experiments.search.child import ChildRunner
from tltf.experiments.search.study import SearchPlan, Study
from tltf.experiments.search.trial import (
    COMPLETE,
    FAILED,
    UNFINISHED,
    Outcome,
    Runner,
    TrialRow,
    Watch,
    best_of,
)
from tltf.experiments.search.wording import score_text, values_text
from tltf.files import atomic_files
from tltf.runs import layout

MAY_CHANGE = ("trials", "budget_minutes", "pruner", "keep_models", "retrain", *HARMLESS)
"""Flags that the same search may have otherwise when it goes on."""
OF_A_TRIAL: dict[str, FlagValue] = {
    "baseline": "none",
    "explain": "none",
    "export": False,
    "track": "none",
    "title": "",
    "near_duplicates": False,
    "overwrite": False,
    "resume": "auto",
    "dry_run": False,
    "quiet": True,
}
"""Flags that trials have in place of those of the search: nothing is measured of them but their validation rows."""
MOST_FAILURES = 3
"""Trials that may fail before one is complete; a fault of the data makes all of them fail."""


@dataclasses.dataclass(frozen=True)
class Search:
    """What a search has found so far.

    Args:
        folder: of the search.
        options: the run that was searched, without the values of a trial.
        space: what was searched.
        plan: how trials were chosen.
        rows: the trials, in their order.
        importances: flag -> its share of how much the trials differ.
        best: the best trial; None as long as none is complete.
        is_time_spent: whether it ended since its time was spent.
        are_others_at_work: whether another process still runs trials of this search.
        notes: what could not be done at the end.
    """

    folder: pathlib.Path
    options: Options
    space: Space
    plan: SearchPlan
    rows: list[TrialRow]
    importances: dict[str, float]
    best: TrialRow | None
    is_time_spent: bool = False
    are_others_at_work: bool = False
    notes: tuple[str, ...] = ()


def run(
    options: SearchOptions,
    runner: Runner | None = None,
    *,
    finishes: bool = True,
    first: Sequence[dict[str, FlagValue]] = (),
) -> Search:
    """Runs trials, or goes on with those of an interrupted search, and returns what was found.

    Args:
        options: of the command.
        runner: runs one trial; None for a process of its own for each.
        finishes: whether the best trial is evaluated and reported in the end.
        first: the values of the first trials, of every flag of the space; the sampler chooses those of the others.

    Raises:
        FlagError: a flag does not fit, or the folder holds another search, or something else.
        ModelError: the first trials have all failed.
    """
    study.require_installed(options.search.sampler)
    chosen = run_options(options)
    plan = dataclasses.replace(plan_of(options), first=tuple(first))
    folder = pathlib.Path(options.output.output)
    _claim(folder, options)
    trials = Study(folder, plan)
    minutes, began = options.search.budget_minutes, time.monotonic()
    left_s = 60 * minutes - trials.seconds_spent()

    def is_over() -> bool:
        return minutes > 0 and time.monotonic() - began >= left_s

    _run_trials(trials, chosen, runner or ChildRunner(), is_over, options.search.keep_models)
    rows = trials.rows()
    are_others = trials.are_others_at_work()
    found = Search(
        folder,
        chosen,
        plan.space,
        plan,
        rows,
        trials.importances(),
        next(iter(best_of(rows)), None),
        is_time_spent=is_over(),
        are_others_at_work=are_others,
    )
    if found.best is None or not finishes or are_others:
        return found
    notes = best.finish(folder, chosen, found.best, retrains=options.search.retrain)
    return dataclasses.replace(found, notes=tuple(notes))


def plan_of(options: SearchOptions) -> SearchPlan:
    """How trials are chosen, after all that can be checked without data was checked.

    Raises:
        FlagError: a flag does not fit.
    """
    recipe = checks.resolve(options)
    if options.output.overwrite:
        what = "does not fit a search, which goes on where it was"
        raise FlagError(what, flag="overwrite", fix="another --output")
    require_validation(options, recipe)
    text = options.search.space or default_spaces.space_of(options.train.method)
    space = search_space.parse(text)
    search_space.check_values(space, options)
    has_rounds = options.runtime.seeds > 1 or recipe.every_round is not None
    pruner = options.search.pruner
    if pruner == "auto":
        pruner = "wilcoxon" if has_rounds else "halving" if _has_one_method(space) else "none"
    if (pruner == "wilcoxon") != has_rounds and pruner != "none":
        needs = "folds or seeds" if pruner == "wilcoxon" else "one training a trial"
        what = f"{pruner} compares {'trials by' if has_rounds else ''} {needs}"
        raise FlagError(" ".join(what.split()), flag="pruner", fix="--pruner=auto")
    seed, count = options.runtime.seed, options.search.trials
    return SearchPlan(space, options.search.sampler, pruner, seed, count)


def _has_one_method(space: Space) -> bool:
    """Whether all trials train by one method, so that their first epochs can be compared."""
    kind = space.get("method")
    names = [call_strings.name_of(str(value)) for value in getattr(kind, "values", ())]
    return len(set(names)) <= 1


def require_validation(options: Options, recipe: Recipe) -> None:
    """Raises FlagError where flags say that no row is there to choose a trial by."""
    if options.train.metric.startswith("target_"):
        what = "is of rows without labels, and trials are compared on validation rows"
        raise FlagError(what, flag="metric", fix="--metric=auto")
    split = recipe.split
    if split.name == "few_shot" or split.kwargs.get("validation", 1) == 0:
        what = f"{split.text} leaves no validation rows, by which trials are compared"
        raise FlagError(what, flag="split", fix="--split='holdout(test=.2, validation=.1)'")


def _claim(folder: pathlib.Path, options: SearchOptions) -> None:
    """Makes the folder of a search, or compares the flags of the one that is there.

    Raises:
        FlagError: it holds something else, or a search with other flags.
    """
    path = folder / layout.SEARCH_FLAGS
    is_other = folder.exists() and not path.exists() and not _is_new(folder)
    if is_other:
        what = f"{folder} is not empty and holds no search"
        raise FlagError(what, flag="output", fix="another --output")
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / layout.SEARCH_LOCK):
        atomic_files.sweep(folder)
        if not path.exists():
            comment = "python -m tltf.search --flagfile=search.flags\nEvery flag of this search."
            flagfiles.write(path, options, comment)
            return
    old = flagfiles.flatten(flagfiles.parse(SearchOptions, [f"--flagfile={path}"])[0])
    new = flagfiles.flatten(options)
    changed = [name for name in new if new[name] != old[name] and name not in MAY_CHANGE]
    if changed:
        texts = [f"{name}: {flag_text(old[name])} -> {flag_text(new[name])}" for name in changed]
        what = f"the search in {folder} has other flags ({'; '.join(texts)})"
        raise FlagError(what, flag=changed[0], fix="another --output, or the same flags")


def _is_new(folder: pathlib.Path) -> bool:
    return all(item.name.startswith(".") for item in folder.iterdir())


def _run_trials(
    trials: Study,
    options: Options,
    runner: Runner,
    is_over: Callable[[], bool],
    keep_models: int,
) -> None:
    """Runs one trial after the other until there are enough, or the time is spent."""
    failures = 0
    while not is_over():
        held = trials.next()
        if held is None:
            return
        run_folder = layout.trial_folder(trials.folder, held.number)
        own = {**OF_A_TRIAL, **held.values, "output": str(run_folder)}
        lines.say(f"trial {held.number}", values_text(held.values))
        try:
            outcome = repeats.answer(options, held.values, trials.rows())
            if outcome is None:
                outcome = runner(replace(options, **own), Watch(held.report, is_over))
        except BaseException:
            held.release()
            raise
        seconds = held.seconds
        held.finish(outcome)
        rows = trials.rows()
        _tidy(trials.folder, rows, keep_models)
        lines.say("", _said(outcome, seconds, rows))
        failures += outcome.status == FAILED
        is_hopeless = outcome.is_of_data or failures >= MOST_FAILURES
        if is_hopeless and not any(row.score for row in rows):
            place = run_folder / layout.CONSOLE_LOG
            which = f"first {failures} trials" if failures > 1 else "first trial"
            what = f"the {which} failed: {outcome.reason}"
            raise ModelError(what, place=place, fix="the same flags with tltf.train")


def _said(outcome: Outcome, seconds: float, rows: list[TrialRow]) -> str:
    """The line about a trial that has ended."""
    text = outcome.status if outcome.status != COMPLETE else ""
    if outcome.score:
        text = score_text(outcome.score)
    if outcome.same_as is not None:
        return f"{text}, that of trial {outcome.same_as}, which is the same training"
    if outcome.reason:
        text = f"failed: {outcome.reason}"
    if outcome.status == UNFINISHED:
        text = "stopped, since the time is spent"
    first = next(iter(best_of(rows)), None)
    known = f"; best {score_text(first.score)} of trial {first.number}" if first else ""
    return f"{text} after {seconds_text(seconds)}{known}"


def _tidy(folder: pathlib.Path, rows: list[TrialRow], count: int) -> None:
    """Removes the networks of trials that are over and not among the best."""
    kept = {row.number for row in best_of(rows, count)}
    for row in rows:
        if row.status == UNFINISHED or row.number in kept:
            continue
        run_folder = layout.trial_folder(folder, row.number)
        for each in (run_folder, *layout.folds_of(run_folder)):
            for name in layout.NETWORKS:
                shutil.rmtree(each / name, ignore_errors=True)
            (each / layout.ADAPTER).unlink(missing_ok=True)
