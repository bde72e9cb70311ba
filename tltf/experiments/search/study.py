"""The trials of a search in a journal that several processes and machines share; Optuna chooses them.

A trial belongs to the process that holds its lock. Its state in the journal is RUNNING from its begin to its end, so
one that is RUNNING without a lock was left by a process that is gone, and is taken over. Samplers and pruners
are not in the journal: a sampler is made anew for each trial, from the seed and the trial's number, so that the
trials of an interrupted search are those of one that was not.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import pathlib
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import filelock
import numpy as np

from tltf.config import call_strings
from tltf.config.flag_fields import FlagValue
from tltf.config.search_space import Choice, Kind, Space, kind_text
from tltf.errors import FlagError
from tltf.experiments.search.trial import (
    COMPLETE,
    FAILED,
    PRUNED,
    UNFINISHED,
    Outcome,
    Score,
    TrialRow,
)
from tltf.runs import layout

EXTRA = "search"
NAME = "tltf"
REDUCTION = 3
"""Of how many trials halving lets one go on at each rung."""
STARTUP_TRIALS = 10
"""Trials that TPE draws at random before it learns from them, at most."""
MOST_GRID = 10_000
MOST_BEGUN = 2
"""Times the number of trials that may begin, where some need no training."""
FEWEST_FOR_IMPORTANCE = 5
"""Trained trials below which nothing is said of which flags matter."""


def require_installed(sampler: str) -> None:
    """Raises FlagError where a package that a search needs is not installed; it names the extra."""
    names = ["optuna", *(["cmaes"] if sampler == "cma_es" else [])]
    for name in names:
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            raise call_strings.missing_extra(error, EXTRA) from error


@dataclasses.dataclass(frozen=True)
class SearchPlan:
    """How trials are chosen.

    Args:
        space: what is searched.
        sampler: name, see `tltf.config.search_options`.
        pruner: `halving`, `wilcoxon` or `none`.
        seed: of the sampler.
        num_trials: over all processes; those that need no training do not count, see `repeats`.
        first: the values of the first trials, of every flag of the space.
    """

    space: Space
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int = 0
    num_trials: int = 20
    first: tuple[dict[str, FlagValue], ...] = ()


class HeldTrial:
    """A trial that this process runs, and no other.

    Args:
        trial: optuna's.
        number: of the trial, from 0.
        values: flag -> value.
        lock: held until `finish`.
    """

    def __init__(
        self, trial: Any, number: int, values: dict[str, FlagValue], lock: filelock.BaseFileLock
    ) -> None:
        self._trial, self._lock = trial, lock
        self.number, self.values = number, values
        self._known = dict(self._frozen().intermediate_values)
        self._before, self._began = float(self._frozen().user_attrs.get("seconds", 0.0)), _now()

    def report(self, step: int, quality: float) -> bool:
        """Notes the quality after a step, and says whether the trial is to be given up."""
        if step not in self._known and np.isfinite(quality):
            self._known[step] = quality
            self._trial.report(quality, step)
            self._trial.set_user_attr("seconds", self.seconds)
        return bool(self._trial.should_prune())

    @property
    def seconds(self) -> float:
        """The time that the trial ran, over all attempts."""
        return self._before + _now() - self._began

    def finish(self, outcome: Outcome) -> None:
        """Writes how the trial ended, and lets it go; an unfinished one waits for whoever takes it over."""
        from optuna.trial import TrialState

        self._trial.set_user_attr("seconds", self.seconds)
        if outcome.score:
            self._trial.set_user_attr("score", dataclasses.asdict(outcome.score))
        if outcome.same_as is not None:
            self._trial.set_user_attr("same_as", outcome.same_as)
        if outcome.reason:
            self._trial.set_user_attr("reason", outcome.reason)
        if outcome.status == COMPLETE and outcome.score:
            self._trial.study.tell(self._trial, outcome.score.quality)
        elif outcome.status != UNFINISHED:
            states = {PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
            self._trial.study.tell(self._trial, state=states[outcome.status])
        self.release()

    def release(self) -> None:
        """Lets the trial go as it is."""
        self._lock.release()

    def _frozen(self) -> Any:
        return self._trial.storage.get_trial(self._trial._trial_id)


class Study:
    """The trials of a search.

    Args:
        folder: of the search; it exists.
        plan: how trials are chosen.
    """

    def __init__(self, folder: pathlib.Path, plan: SearchPlan) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        self.folder, self.plan = folder, plan
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._lock = filelock.FileLock(folder / layout.SEARCH_LOCK)
        journal = str(folder / layout.SEARCH_JOURNAL)
        lock: Any = _JournalLock(journal)  # has the two methods of Optuna's own locks
        backend = JournalFileBackend(journal, lock)
        with self._lock, _quiet():
            self._study: Any = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend),
                study_name=NAME,
                direction="maximize",
                load_if_exists=True,
                pruner=_pruner(plan.pruner),
            )
            if not self._study.get_trials(deepcopy=False):
                for values in (*plan.first, *(_grid(plan) if plan.sampler == "grid" else ())):
                    self._study.enqueue_trial(values)

    def next(self) -> HeldTrial | None:
        """A trial that a dead process has left, else a new one; None where there are enough.

        Raises:
            FlagError: the journal is of other values.
        """
        from optuna.trial import Trial, TrialState

        with self._lock, _quiet():
            found = self._study.get_trials(deepcopy=False)
            for frozen in found:
                if frozen.state != TrialState.RUNNING:
                    continue
                lock = self._lock_of(frozen.number)
                if _is_taken(lock):
                    self._study.sampler = sampler_of(self.plan, frozen.number)
                    return self._held(Trial(self._study, frozen._trial_id), lock)
            num_begun = sum(frozen.state != TrialState.WAITING for frozen in found)
            is_spent = self.plan.sampler == "grid" and num_begun == len(found)
            num_own = num_begun - sum("same_as" in frozen.user_attrs for frozen in found)
            most = MOST_BEGUN * self.plan.num_trials
            if num_own >= self.plan.num_trials or num_begun >= most or is_spent:
                return None
            self._study.sampler = sampler_of(self.plan, num_begun)
            trial = self._study.ask()
            lock = self._lock_of(trial.number)
            lock.acquire(timeout=10)
            return self._held(trial, lock)

    def are_others_at_work(self) -> bool:
        """Whether another process holds a trial now."""
        from optuna.trial import TrialState

        with self._lock:
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            for lock in [self._lock_of(frozen.number) for frozen in running]:
                if not _is_taken(lock):
                    return True
                lock.release()
        return False

    def seconds_spent(self) -> float:
        """The time in which trials have run so far; time in which several ran together counts once."""
        spans = []
        for frozen in self._study.get_trials(deepcopy=False):
            seconds = float(frozen.user_attrs.get("seconds", 0.0))
            if frozen.datetime_complete:
                end = frozen.datetime_complete.timestamp()
                spans.append((end - seconds, end))
            elif frozen.datetime_start:
                start = frozen.datetime_start.timestamp()
                spans.append((start, start + seconds))
        return covered(spans)

    def rows(self) -> list[TrialRow]:
        """All trials that were begun, in their order."""
        from optuna.trial import TrialState

        states = {
            TrialState.COMPLETE: COMPLETE,
            TrialState.PRUNED: PRUNED,
            TrialState.FAIL: FAILED,
            TrialState.RUNNING: UNFINISHED,
        }
        return [
            TrialRow(
                number=frozen.number,
                status=states[frozen.state],
                values=_in_order(frozen.params, self.plan.space),
                score=_score(frozen) if frozen.state == TrialState.COMPLETE else None,
                curve=tuple(sorted(frozen.intermediate_values.items())),
                seconds=float(frozen.user_attrs.get("seconds", 0.0)),
                reason=str(frozen.user_attrs.get("reason", "")),
                same_as=frozen.user_attrs.get("same_as"),
            )
            for frozen in self._study.get_trials(deepcopy=False)
            if frozen.state in states
        ]

    def importances(self) -> dict[str, float]:
        """Flag -> its share of how much the trials differ, by fANOVA (Hutter et al. 2014); {} for too few trials."""
        import optuna

        complete = [row for row in self.rows() if row.is_trained]
        values = {row.score.quality for row in complete if row.score}
        if len(complete) < FEWEST_FOR_IMPORTANCE or len(values) < 2:
            return {}
        with _quiet():
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.plan.seed)
            return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))

    def _lock_of(self, number: int) -> filelock.BaseFileLock:
        path = layout.trial_folder(self.folder, number) / layout.TRIAL_LOCK
        path.parent.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(path, timeout=0)

    def _held(self, trial: Any, lock: filelock.BaseFileLock) -> HeldTrial:
        try:
            values = suggest(trial, self.plan.space)
        except ValueError as error:
            lock.release()
            what = "the search in this folder has other values in --space"
            raise FlagError(what, flag="space", fix="another --output") from error
        return HeldTrial(trial, trial.number, values, lock)


class _JournalLock:
    """A lock of the journal that the system takes from a process that is killed."""

    def __init__(self, journal: str) -> None:
        self._lock = filelock.FileLock(f"{journal}.lock")

    def acquire(self) -> bool:
        """Waits for the lock."""
        self._lock.acquire(poll_interval=0.01)
        return True

    def release(self) -> None:
        """Gives the lock back."""
        self._lock.release()


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of what some spans of time cover together."""
    total, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return total


def suggest(trial: Any, space: Space) -> dict[str, FlagValue]:
    """Flag -> the value that a trial of Optuna tries; those that it has already stay."""
    return {name: _suggest_one(trial, name, kind) for name, kind in space.items()}


def _suggest_one(trial: Any, name: str, kind: Kind) -> FlagValue:
    if isinstance(kind, Choice):
        found: FlagValue = trial.suggest_categorical(name, list(kind.values))
        return found
    if kind.is_whole:
        return int(trial.suggest_int(name, int(kind.low), int(kind.high), log=kind.is_log))
    return float(trial.suggest_float(name, kind.low, kind.high, log=kind.is_log))


def sampler_of(plan: SearchPlan, number: int) -> Any:
    """The sampler that chooses the values of a trial; the same for the same seed, number and trials before."""
    import optuna

    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    with _quiet():
        if plan.sampler == "cma_es":
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        if plan.sampler == "tpe":
            startup = min(STARTUP_TRIALS, max(plan.num_trials // 4, 1))
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
        return optuna.samplers.RandomSampler(seed=seed)


def _pruner(name: str) -> Any:
    import optuna

    with _quiet():
        if name == "halving":
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=1, reduction_factor=REDUCTION
            )
        if name == "wilcoxon":
            return optuna.pruners.WilcoxonPruner()
    return optuna.pruners.NopPruner()


def _grid(plan: SearchPlan) -> list[dict[str, FlagValue]]:
    """All combinations, in an order that the seed draws.

    Raises:
        FlagError: a kind is not a list, or there are more than MOST_GRID combinations.
    """
    for name, kind in plan.space.items():
        if not isinstance(kind, Choice):
            what = f"grid takes lists, and {name} is {kind_text(kind)}"
            ends = f"[{kind.low:g}, {kind.high:g}]"
            raise FlagError(what, flag="sampler", fix=f"--space='{name}: {ends}', or other values")
    lists = [kind.values for kind in plan.space.values() if isinstance(kind, Choice)]
    count = int(np.prod([len(values) for values in lists]))
    if count > MOST_GRID:
        what = f"the grid has {count:,} combinations"
        raise FlagError(what, flag="sampler", fix="--sampler=tpe, or shorter lists")
    found = [dict(zip(plan.space, values, strict=True)) for values in itertools.product(*lists)]
    order = np.random.default_rng(plan.seed).permutation(len(found))
    return [found[place] for place in order]


def _in_order(values: dict[str, Any], space: Space) -> dict[str, FlagValue]:
    return {name: values[name] for name in space if name in values}


def _score(frozen: Any) -> Score:
    return Score(**frozen.user_attrs["score"])


def _is_taken(lock: filelock.BaseFileLock) -> bool:
    """Whether this process has the lock now."""
    try:
        lock.acquire()
    except filelock.Timeout:
        return False
    return True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A block without Optuna's warnings that a part of it may change in later versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _now() -> float:
    return time.monotonic()


def read_score(folder: pathlib.Path) -> Score | None:
    """The Score that a trial has left in a run folder; None where it has none."""
    try:
        return Score(**json.loads((folder / layout.SCORE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
