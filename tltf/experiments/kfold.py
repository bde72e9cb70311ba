"""K-fold cross-validation: several trainings as one run, each fold in RUN/rounds/<n>."""

import dataclasses
import json
import pathlib
import statistics
import time
from collections.abc import Sequence

import keras
import numpy as np

from tltf.config import call_strings, checks, options
from tltf.config.catalogs import HEADS
from tltf.config.option_groups import OutputOptions
from tltf.config.options import Options
from tltf.config.recipe import DataRecipe, Recipe
from tltf.console import lazy_imports
from tltf.data import fingerprint, loader
from tltf.errors import ModelError
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import BaselineRow, Gain, PairedDifference
from tltf.evaluation.report import terminal, writer
from tltf.evaluation.report.report import Report
from tltf.evaluation.report.wording import Wording
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments import one_run
from tltf.models import prediction_table
from tltf.runs import folder as runs_folder
from tltf.runs import layout
from tltf.training.distribution import multi_worker, strategies

stats = lazy_imports.Module("scipy.stats")

EVERY_FOLD = -1
"""The number of a fold that stands for all folds."""


def is_asked_for(recipe: DataRecipe) -> bool:
    """Whether a run trains every fold: `--split='kfold(folds=K, fold=-1)'`."""
    return recipe.split.name == "kfold" and recipe.split.kwargs["fold"] == EVERY_FOLD


def run(
    chosen: Options,
    recipe: Recipe | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Report | None:
    """Trains once, or with `--split='kfold(folds=K, fold=-1)'` once per fold; returns the report.

    The report of a cross-validation measures the test predictions of all folds together, in which
    each example is predicted once, by a model that was not trained on it. It also has the score of
    each fold.

    Args:
        chosen: the options of the run.
        recipe: what their call strings name; if it is None, they are resolved here.
        callbacks: more callbacks for `fit`, the same objects for every fold.

    Returns:
        The report; None after a dry run, and for all workers except the first.

    Raises:
        TltfError: a stage of the run fails.
    """
    recipe = recipe or checks.resolve(chosen)
    if not is_asked_for(recipe):
        return one_run.run(chosen, recipe, callbacks)
    if chosen.output.dry_run:  # it shows the plan of the first fold
        first = _recipe_of_fold(recipe, 0)
        return one_run.run(options.replace(chosen, split=str(first.split)), first)
    with runs_folder.claim_folder(chosen.output):
        return _every_fold(chosen, recipe, pathlib.Path(chosen.output.output), callbacks)


def _every_fold(
    chosen: Options,
    recipe: Recipe,
    folder: pathlib.Path,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Report | None:
    start = time.monotonic()
    strategy = strategies.start(chosen.runtime)
    recipes = [_recipe_of_fold(recipe, n) for n in range(recipe.split.kwargs["folds"])]
    given = [_of_fold(chosen, one, folder, n) for n, one in enumerate(recipes)]
    finished = np.zeros(len(given), np.int64)
    if runs_folder.is_chief():
        runs_folder.begin(folder, chosen, "python -m tltf.train --flagfile=run.flags --output=NEW")
        finished[_finished(given, recipes, chosen.output)] = 1
    finished = multi_worker.broadcast_from_chief(strategy, finished)
    found = [
        _fold(one, recipes[number], number, len(given), finished[number], callbacks)
        for number, one in enumerate(given)
    ]
    if not runs_folder.is_chief():
        return None
    folds = [fold for fold in found if fold]
    train_s = sum(fold.time_s["train"] for fold in folds)
    report = dataclasses.replace(
        _pooled(chosen, folder, folds),
        time_s={"total": time.monotonic() - start, "train": train_s},
    )
    writer.write(report, folder)
    runs_folder.write_status(folder, "finished")
    print(*terminal.verdict_lines(report), sep="\n")
    print(f"{'folds':<10} {report.folds_text}")
    print(f"{'together':<10} {terminal.score_text(_metrics(report))}")
    print(f"{'report':<10} {folder / layout.REPORT_HTML}")
    return report


def _recipe_of_fold(recipe: Recipe, number: int) -> Recipe:
    return dataclasses.replace(recipe, split=recipe.split.change(fold=number))


def _of_fold(chosen: Options, recipe: Recipe, folder: pathlib.Path, number: int) -> Options:
    """The options of one fold.

    Args:
        chosen: the options of all folds together.
        recipe: the recipe of the fold.
        folder: the run folder of all folds together.
        number: number of the fold.
    """
    resume = "auto" if chosen.output.resume == "never" else chosen.output.resume
    output = str(folder / layout.ROUNDS / str(number))
    return options.replace(chosen, split=str(recipe.split), output=output, resume=resume)


def _finished(
    given: Sequence[Options], recipes: Sequence[Recipe], output: OutputOptions
) -> list[int]:
    """The numbers of the folds that are finished and were trained on the present data.

    Args:
        given: the options of each fold.
        recipes: the recipe of each fold.
        output: the output options of all folds together.

    Raises:
        ModelError: finished folds were trained on other data, see `folder.require_allowed`.
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


def _fold(
    chosen: Options,
    recipe: Recipe,
    number: int,
    num_folds: int,
    is_finished: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Report | None:
    """The report of one fold, which is read if the fold is finished; None for all but the first worker."""
    if is_finished:
        if not runs_folder.is_chief():
            return None
        path = pathlib.Path(chosen.output.output) / layout.REPORT_JSON
        return Report.from_json(json.loads(path.read_text(encoding="utf-8")))
    print(f"fold {number + 1} of {num_folds}")
    return one_run.run(chosen, recipe, callbacks)


def _pooled(chosen: Options, folder: pathlib.Path, folds: Sequence[Report]) -> Report:
    """The report of the test predictions of all folds; writes these to predictions.csv."""
    tables = [
        prediction_table.read(folder / layout.ROUNDS / str(number) / layout.PREDICTIONS)
        for number in range(len(folds))
    ]
    _, columns = tables[0]
    whole = prediction_table.join_tables([table for table, _ in tables])
    head = call_strings.pick(HEADS, (folds[0].options or {})["head"], "head").build()
    prediction_table.write(folder / layout.PREDICTIONS, whole, columns, head.name)
    judge, names = evaluators.evaluator_for(head), _metrics(folds[0]).class_names
    labels, candidate = judge.parse(whole.truths or [], whole.answers, whole.values, names)
    test = judge.measure(labels, candidate, names, seed=chosen.runtime.seed)
    return _measured(chosen, folds, test)


def _measured(chosen: Options, folds: Sequence[Report], test: SplitMetrics) -> Report:
    said = evaluators.wording_for(test)
    each = [_metrics(fold).scores for fold in folds]
    scores = [_metrics(fold).score(said.metric) for fold in folds]
    text = ", ".join(map(said.value, scores))
    kept = dict.fromkeys((said.metric, "macro_recall", *said.columns))
    return Report(
        title=f"{len(folds)}-fold cross-validation",
        options=options.flag_values(chosen),
        run={"data": chosen.data.data, "folds": len(folds), f"{said.title} of each": text},
        test=test,
        folds=[{name: fold[name] for name in kept if name in fold} for fold in each],
        folds_text=f"{text}; mean {said.value(statistics.mean(scores))}, deviation "
        f"{said.value(statistics.stdev(scores))}",
        parameters=folds[0].parameters,
        versions=strategies.versions(),
        data=folds[0].data,
        baselines={
            name: _mean_baseline([(fold.baselines or {})[name] for fold in folds], said)
            for name in folds[0].baselines or {}
        },
    )


def _metrics(report: Report) -> SplitMetrics:
    """The test metrics of a fold's report.

    Raises:
        ModelError: the report has none.
    """
    if report.test is None:
        raise ModelError(
            "the report of a fold has no test metrics", fix="train all folds into a new --output"
        )
    return report.test


def _mean_baseline(rows: Sequence[BaselineRow], said: Wording) -> BaselineRow:
    """The mean of a baseline's rows over the folds; for the interval of its gain see `gain_interval`."""
    scores = {
        name: float(np.mean([row.test.score(name) for row in rows]))
        for name in (said.metric, *said.columns)
        if all(row.test.scores.get(name) is not None for row in rows)
    }
    gains = [row.gain.gains[said.metric].difference for row in rows if row.gain]
    gain = Gain(float(np.mean(gains)), gain_interval(gains))
    note = "mean of the folds; the interval is approximate, since folds share training rows"
    return BaselineRow(
        SplitMetrics({**scores}), note=note, gain=PairedDifference({said.metric: gain})
    )


def gain_interval(gains: Sequence[float]) -> list[float] | None:
    """`[low, high]`, about 95%, of the mean of the gains of K folds; None if all gains are equal.

    Folds share training rows, so Student's interval, which takes them as independent, is too narrow.
    Nadeau & Bengio 2003 widen it: they multiply the variance by 1 / K + test / training rows, which
    is 1 / K + 1 / (K - 1) here, in place of 1 / K. For two equally good models the interval leaves
    out 0 in 2 to 4 of 100 samples (Student's in 7 to 10).
    """
    count, mean = len(gains), float(np.mean(gains))
    factor = 1 / count + 1 / (count - 1)
    half = float(stats.t.ppf(0.975, count - 1) * np.std(gains, ddof=1) * np.sqrt(factor))
    return [mean - half, mean + half] if half > 1e-12 else None
