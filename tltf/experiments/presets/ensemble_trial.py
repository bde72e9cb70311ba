"""Whether an ensemble of the best trials is surely better than the best of them, by validation rows alone."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence

import numpy as np

from tltf.config.ensemble_options import GREEDY, EnsembleOptions
from tltf.config.options import Options
from tltf.console import lines
from tltf.evaluation import held_out
from tltf.evaluation.report.report import Report
from tltf.evaluation.report.tried_block import TriedRow
from tltf.evaluation.report.wording import points
from tltf.experiments.ensembles import candidates, ensemble_run, rules
from tltf.experiments.one_run import Complete
from tltf.experiments.search.searching import Search
from tltf.experiments.search.trial import best_of
from tltf.models import ensembles
from tltf.runs import layout

COST = 2.0
"""How many times as long as its judgement an ensemble takes to be made: it reads the members again, and is exported."""


@dataclasses.dataclass(frozen=True)
class JoinedTrials:
    """What an ensemble of trials is worth.

    Args:
        folders: of the trials.
        row: for the report; None where it was not tried.
        why: whether it pays, in a sentence.
        pays: whether it is surely better than the best trial, with time to make it.
    """

    folders: list[pathlib.Path]
    row: TriedRow | None
    why: str
    pays: bool = False


def judge(found: Search, most: int, left_s: float) -> JoinedTrials:
    """The JoinedTrials of the best trials.

    The rows that have a member selected are not those that it is judged on: both the best trial and the selection are
    chosen on four of five folds of the validation rows, and compared on the fifth in turn.

    Args:
        found: the search, whose best trials have their networks.
        most: trials that may be members.
        left_s: seconds that are left.
    """
    rows, began = best_of(found.rows, most), time.monotonic()
    folders = [layout.trial_folder(found.folder, row.number) for row in rows]
    what = f"ensemble of the best {len(folders)} trials"
    if len(folders) < 2 or left_s <= 0:
        reason = "one trial alone has ended" if len(folders) < 2 else "the time is spent"
        return JoinedTrials(folders, None, f"No ensemble was tried: {reason}.")
    lines.say("ensemble", what)
    options = EnsembleOptions(runs=",".join(map(str, folders)))
    library = candidates.read([str(path) for path in folders], False, options.eval_batch_size)
    call = ensembles.head_call_of([model.core.only.call for model in library.models])
    judged = ensemble_run.validation_rows(library, call.build())
    logits = [rules.held_out_logits(name, judged, options) for name in (rules.BEST, GREEDY)]
    alone, joined = (None if one is None else _is_right(one, judged.labels) for one in logits)
    seconds = time.monotonic() - began
    if alone is None or joined is None:
        row = TriedRow(what, seconds, note="too few validation rows")
        return JoinedTrials(folders, row, "There are too few validation rows to judge an ensemble.")
    gain = held_out.compare(joined, alone)
    has_time = left_s - seconds > COST * seconds
    pays = bool(gain.is_surely_better and has_time)
    told = f"{points(gain.value)} points ({points(gain.low)} to {points(gain.high)}) beside the best trial, on folds of validation"
    end = (
        "it is taken"
        if pays
        else "the time is spent"
        if gain.is_surely_better
        else "not surely better, so one model is kept"
    )
    row = TriedRow(what, seconds, float(joined.mean()), "folds of validation", end, pays)
    return JoinedTrials(
        folders, row, f"An ensemble of {len(folders)} trials is {told}: {end}.", pays
    )


def _is_right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    found: np.ndarray = logits.argmax(axis=1) == np.asarray(labels)
    return found


def make(members: Sequence[pathlib.Path], given: Options, complete: Complete) -> Report:
    """Makes the ensemble of some runs in the folder of a run, and returns its report."""
    output = given.output
    options = EnsembleOptions(
        runs=",".join(map(str, members)),
        output=output.output,
        title=output.title,
        export=output.export,
        seed=given.runtime.seed,
        overwrite=output.overwrite,
        quiet=output.quiet,
    )
    return ensemble_run.run(options, complete)
