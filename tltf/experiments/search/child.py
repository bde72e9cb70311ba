"""Runs a trial in a process of its own, so that one that fails costs nothing but itself."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

import filelock

from tltf.config import checks, flagfiles
from tltf.config.options import Options, flag_values, flags_of
from tltf.config.recipe import Recipe
from tltf.console import signals
from tltf.errors import DataError, StorageError
from tltf.experiments import round_plan
from tltf.experiments.search import study
from tltf.experiments.search.trial import (
    COMPLETE,
    FAILED,
    PRUNED,
    UNFINISHED,
    Outcome,
    Score,
    Watch,
)
from tltf.runs import layout, metrics_log

MODULE = "tltf.experiments.search.train_trial"
POLL_S = 0.2
GRACE_S = 15.0
"""How long a process that was asked to end may take before it is killed; it promises ten seconds."""
ORPHAN_S = 60.0
"""How long the process of a search that was killed may still write into a trial's folder."""
ERRORS = "number"
"""The kind of labels whose metric is an error."""


@dataclasses.dataclass
class ChildRunner:
    """A Runner that starts a process for each trial.

    Args:
        module: what the process runs.
    """

    module: str = MODULE

    def __call__(self, options: Options, watch: Watch) -> Outcome:
        """How the trial ends; KeyboardInterrupt ends its process first."""
        run, recipe = pathlib.Path(options.output.output), checks.resolve(options)
        wait_for_orphan(run)
        run.mkdir(parents=True, exist_ok=True)
        folders = _round_folders(run, recipe, options)
        with open(run / layout.CONSOLE_LOG, "ab") as log:
            began = log.tell()
            process = _start(self.module, options, log)
            try:
                ended = _listen(process, folders, options, recipe, watch)
            finally:
                _end(process)
        if ended:
            return ended
        if process.returncode == 0:
            scores = [study.read_score(folder) for folder in folders]
            found = [score for score in scores if score]
            if len(found) == len(folders):
                return Outcome(COMPLETE, mean_score(found))
        code = process.returncode
        return Outcome(FAILED, None, reason_of(code, _text(run, began)), code == DataError.code)


def arguments(options: Options) -> list[str]:
    """The flags of a run that are not the defaults, as the command line has them."""
    flags = flags_of(Options)
    values = flag_values(options)
    return flagfiles.texts({n: v for n, v in values.items() if v != flags[n].default})


def mean_score(scores: Sequence[Score]) -> Score:
    """The Score of a run of several rounds: the means."""
    if len(scores) == 1:
        return scores[0]
    first = scores[0]
    return dataclasses.replace(
        first,
        value=sum(score.value for score in scores) / len(scores),
        loss=sum(score.loss for score in scores) / len(scores),
        num_rows=sum(score.num_rows for score in scores),
        best_epoch=None,
    )


def reason_of(code: int, text: str) -> str:
    """Why a process failed, from its exit code and what it printed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("tltf: error[")]
    if code == -signal.SIGKILL:
        return "it was killed (signal 9), which the system does where memory runs out"
    if code < 0:
        return f"it was ended by signal {-code}"
    if code == signals.EXIT_CODE:
        return "it was asked to end by a signal"
    last = (errors or lines or ["it printed nothing"])[-1]
    return f"exit code {code}: {last.removeprefix('tltf: ')}"[:500]


def _round_folders(run: pathlib.Path, recipe: Recipe, options: Options) -> list[pathlib.Path]:
    """The folder of each training of a trial; the trial's own where it is one training."""
    plan = round_plan.plan_of(options, recipe)
    if plan is None:
        return [run]
    return [pathlib.Path(one.output.output) for one in plan.options(str(run), 1)]


def _listen(
    process: "subprocess.Popen[bytes]",
    folders: Sequence[pathlib.Path],
    options: Options,
    recipe: Recipe,
    watch: Watch,
) -> Outcome | None:
    """Tells the watch of each step until the process ends; how the trial ended, where it was not by itself."""
    has_rounds, told = len(folders) > 1, 0
    while True:
        is_running = process.poll() is None
        heard = (
            [score.quality for score in map(study.read_score, folders) if score]
            if has_rounds
            else qualities(folders[0], is_error_judged(options, recipe), options.train.metric)
        )
        for step, quality in enumerate(heard[told:], told + 1):
            told = step
            if watch.report(step, quality) and is_running:
                return Outcome(PRUNED)
        if not is_running:
            return None
        if watch.is_over():
            return Outcome(UNFINISHED)
        time.sleep(POLL_S)


def qualities(run: pathlib.Path, is_error: bool, metric: str = "auto") -> list[float]:
    """The quality of each epoch that the log of a run has, nan where it has none."""
    found = []
    for row in metrics_log.read(run / layout.METRICS):
        if row.get("penalty") is not None or "candidate" in row:
            continue
        names = [name for name in row if name.startswith("val_") and name != "val_loss"]
        name = "val_loss" if metric == "loss" or not names else names[0]
        value = row.get(name)
        found.append(float("nan") if value is None else -value if is_error else float(value))
    return found


def is_error_judged(options: Options, recipe: Recipe) -> bool:
    """Whether a smaller value of what epochs are judged by is better."""
    if options.train.metric != "auto":
        return options.train.metric == "loss"
    return recipe.label_kind.startswith(ERRORS)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process in order, and by force where that takes too long."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()


def run_training(run: pathlib.Path, options: Options) -> str:
    """Runs `tltf.train` in a process of its own, which writes into a run's console.log; why it failed, or "".

    Args:
        run: the run folder.
        options: of the run; its output is that folder.

    Raises:
        StorageError: another process trains there, and does not end.
    """
    wait_for_orphan(run)
    run.mkdir(parents=True, exist_ok=True)
    with open(run / layout.CONSOLE_LOG, "ab") as log:
        began = log.tell()
        process = _start("tltf.train", options, log)
        try:
            code = process.wait()
        finally:
            _end(process)
    return reason_of(code, _text(run, began)) if code else ""


def _start(module: str, options: Options, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments(options)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,  # a Ctrl-C on the terminal is this process's to pass on
    )


def wait_for_orphan(run: pathlib.Path) -> None:
    """Waits until the process of a search that was killed has left a trial's folder.

    Raises:
        StorageError: it does not end.
    """
    if not (run / layout.LOCK).exists():
        return
    lock = filelock.FileLock(run / layout.LOCK, timeout=ORPHAN_S)
    try:
        lock.acquire()
        lock.release()
    except filelock.Timeout as error:
        what = "the process of an earlier search is still training here"
        raise StorageError(what, place=os.fspath(run), fix="end it, or wait for it") from error


def _text(run: pathlib.Path, start: int) -> str:
    """What a process has printed, from a place in its log on."""
    with open(run / layout.CONSOLE_LOG, "rb") as log:
        log.seek(start)
        return log.read()[-20_000:].decode("utf-8", "replace")
