"""Trains a trial without a look at the test split, and leaves how good it is on validation in its folder.

`python -m tltf.experiments.search.train_trial FLAGS` is the process of a trial; its flags are those of `tltf.train`.
The run folder is one of `tltf.train`, which would go on with it and evaluate it. The process ends in order, with
a checkpoint, when its standard input is closed, which happens when the process that began it dies.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from tltf.config import checks
from tltf.config.options import Options
from tltf.config.recipe import Recipe
from tltf.console import command, lines, signals
from tltf.errors import DataError
from tltf.experiments.search import study
from tltf.experiments.search.trial import Score
from tltf.files import atomic_files
from tltf.runs import layout

SAME = 1e-4
"""How far the numbers of an epoch and of the model that it left may differ, by rounding."""
KILLED_FIRST = 500
"""What Linux adds to the score by which it chooses the process that is killed where memory runs out."""


def service(options: Options) -> None:
    """Trains as the options say."""
    recipe = checks.resolve(options)
    _end_with_parent()
    _prefer_to_be_killed()
    with lines.quiet(options.output.quiet):
        command.load_tensorflow()
        train(options, recipe)


def train(options: Options, recipe: Recipe) -> None:
    """Trains a run, or each of its rounds, and writes a Score for each; what is trained already stays.

    Raises:
        DataError: there is no validation split.
        TltfError: the training fails.
    """
    from tltf.experiments import round_plan
    from tltf.runs import folder

    plan = round_plan.plan_of(options, recipe)
    if plan is None:
        _train_one(options, recipe)
        return
    with folder.claim_folder(options.output):
        run = pathlib.Path(options.output.output)
        folder.begin(run, options, "python -m tltf.train --flagfile=run.flags --output=NEW")
        for one, its_recipe in zip(plan.options(str(run), 1), plan.recipes, strict=True):
            _train_one(one, its_recipe)


def _train_one(options: Options, recipe: Recipe) -> None:
    from tltf.runs import folder
    from tltf.training import training

    run = pathlib.Path(options.output.output)
    if folder.read_status(run) == "trained" and study.read_score(run):
        return
    result = training.train(options, recipe, shows_plan=False)
    with atomic_files.replace_file(run / layout.SCORE) as file:
        json.dump(dataclasses.asdict(score_of(result)), file)


def score_of(result: Any) -> Score:
    """How good the model of a TrainingResult is on its validation rows, by --metric.

    Raises:
        DataError: there are none.
    """
    from tltf.training import judges

    trained, history = result.model, result.history
    part = trained.splits.get(judges.VALIDATION)
    if not part:
        fix = "--split='holdout(validation=.1)'"
        raise DataError("a search needs validation rows, and there are none", fix=fix)
    metric, head = trained.run_options.train.metric, trained.core.head
    if trained.core.joint:
        row = max(
            (row for row in history if f"val_{head.metric}" in row),
            key=lambda row: row[f"val_{head.metric}"],
        )
        value, loss = row[f"val_{head.metric}"], row["val_loss"]
        return Score(value, loss, head.metric, head.lower_is_better, len(part))
    logits = trained.known_logits.get(judges.VALIDATION)
    if logits is None:
        logits = trained.logits(part, trained.eval_batch_size)
    name, is_error, value, loss = judges.judge_logits(head, logits, part.labels, metric)
    return Score(value, loss, name, is_error, len(part), kept_epoch(history, name, value, loss))


def kept_epoch(history: list[dict[str, Any]], metric: str, value: float, loss: float) -> int | None:
    """The epoch whose weights the model has, from 1; 0 for a solved start that no epoch was better than.

    It is the one with the model's own score and loss on validation. None where there is none, such as for a mix of
    weights, or where it does not say how long to train, as epochs are of several phases.

    Args:
        history: the rows of the training's log.
        metric: of the score.
        value: score of the model.
        loss: of the model.
    """

    def is_kept(row: dict[str, Any]) -> bool:
        own, own_loss = row.get(f"val_{metric}"), row.get("val_loss")
        if own is None or own_loss is None:
            return False
        near = (own, value), (own_loss, loss)
        return all(math.isclose(one, other, rel_tol=SAME, abs_tol=SAME) for one, other in near)

    epochs = [row for row in history if row.get("penalty") is None and "candidate" not in row]
    if not epochs or len({row.get("phase") for row in epochs}) > 1:
        return None
    if found := [row for row in epochs if is_kept(row)]:
        return int(min(found, key=lambda row: abs(row["val_loss"] - loss))["epoch"])
    is_start = any(is_kept(row) for row in history if row.get("penalty") is not None)
    return 0 if is_start else None


def _end_with_parent() -> None:
    """Asks this process to end, as SIGTERM does, when its standard input is closed."""
    if sys.stdin is None or sys.stdin.isatty():
        return

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 1):
                pass
        if not signals.is_end_requested():
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _prefer_to_be_killed() -> None:
    """Where memory runs out, the system kills the trial, not the search."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/oom_score_adj").write_text(str(KILLED_FIRST), encoding="ascii")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(Options, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
