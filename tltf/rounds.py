"""Several fits as one run: K-fold cross-validation, each fold in RUN/rounds/<n>."""

import csv
import json
import pathlib
import statistics
import time

import numpy as np

from tltf import (
    evaluation,
    lazy,
    options,
    predictions,
    publishing,
    reports,
    runs,
    runtime,
    specs,
    summaries,
)
from tltf.catalogs import SPLITS

stats = lazy.Module("scipy.stats")

EVERY_FOLD = -1


def run(chosen):
    """One run, or with `--split='kfold(folds=K, fold=-1)'` one a fold; returns the report.

    The report of a cross-validation measures the test predictions of all folds together, each
    example judged once by a model that never saw it, and has every fold's own score.

    Args:
        chosen: Options.

    Raises:
        TltfError: as the stages raise it.
    """
    call = specs.pick(SPLITS, chosen.data.split, "split")
    if call.name != "kfold" or call.kwargs["fold"] != EVERY_FOLD or chosen.output.dry_run:
        return publishing.run(_first_fold(chosen, call))
    start = time.monotonic()
    folder = runs.claim(chosen.output)
    runs.begin(folder, chosen, "python -m tltf.train --flagfile=run.flags --output=NEW")
    folds = [_fold(chosen, call, folder, number) for number in range(call.kwargs["folds"])]
    report = _pooled(chosen, folder, folds)
    report["time_s"] = {
        "total": time.monotonic() - start,
        "train": sum(fold["time_s"]["train"] for fold in folds),
    }
    reports.write(report, folder)
    runs.write_status(folder, "finished")
    print(f"{'folds':<10} {report['folds_text']}")
    print(f"{'together':<10} {publishing.score_text(report['test'])}")
    print(f"{'report':<10} {folder / 'report.html'}")
    return report


def _first_fold(chosen, call):
    """A dry run of every fold shows the plan of the first."""
    if call.name != "kfold" or call.kwargs["fold"] != EVERY_FOLD:
        return chosen
    return options.replace(chosen, split=_split(call, 0))


def _split(call, number):
    return specs.render(call.name, call.kwargs | {"fold": number})


def _fold(chosen, call, folder, number):
    """The report of one fold; a fold that is finished is read."""
    output = folder / "rounds" / str(number)
    if runs.read_status(output) == "finished":
        return json.loads((output / "report.json").read_text(encoding="utf-8"))
    print(f"fold {number + 1} of {call.kwargs['folds']}")
    return publishing.run(
        options.replace(
            chosen, split=_split(call, number), output=str(output), overwrite=False, resume="auto"
        )
    )


def _pooled(chosen, folder, folds):
    """The report over the test predictions of all folds; writes them to predictions.csv."""
    tables = [_read(folder / "rounds" / str(number)) for number in range(len(folds))]
    column, names = tables[0][0], tables[0][1]
    rows = [row for table in tables for row in table[2]]
    places = {name: place for place, name in enumerate(names)}
    labels = np.array([places[row[2]] for row in rows])
    probabilities = np.array([row[4:] for row in rows], dtype=float)
    predictions.write_predictions(
        folder / "predictions.csv",
        [row[0] for row in rows],
        labels,
        probabilities,
        names,
        column,
        [row[1] for row in rows],
    )
    report = _measured(chosen, folds, labels, probabilities, names)
    return report | {
        "title": f"{len(folds)}-fold cross-validation",
        "data": folds[0].get("data", {}),
    }


def _measured(chosen, folds, labels, probabilities, names):
    scores = [fold["test"]["accuracy"] for fold in folds]
    baselines = {
        name: _mean_baseline([fold["baselines"][name] for fold in folds])
        for name in folds[0].get("baselines", {})
    }
    spread = statistics.stdev(scores)
    text = ", ".join(map(summaries.percent, scores))
    return {
        "test": evaluation.measure(labels, probabilities, names, seed=chosen.runtime.seed),
        "folds": [
            {key: fold["test"][key] for key in ("accuracy", "macro_recall", "macro_f1", "loss")}
            for fold in folds
        ],
        "folds_text": f"{text}; mean {summaries.percent(statistics.mean(scores))}, deviation "
        f"{summaries.percent(spread)}",
        "baselines": baselines,
        "parameters": folds[0]["parameters"],
        "versions": runtime.versions(),
        "options": options.flat(chosen),
        "run": {"data": chosen.data.data, "folds": len(folds), "accuracy of each": text},
    }


def _mean_baseline(entries):
    """The mean over the folds; the gain's interval is Student's t over them."""
    keys = ("accuracy", "loss", "macro_f1")
    test = {key: float(np.mean([entry["test"][key] for entry in entries])) for key in keys}
    gains = [entry["gain"]["accuracy"]["difference"] for entry in entries]
    half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
    mean = float(np.mean(gains))
    gain = {"difference": mean, "interval": [mean - float(half), mean + float(half)]}
    return {"test": test, "gain": {"accuracy": gain}, "note": "mean of the folds"}


def _read(folder):
    """`(column, class names, rows)` of a fold's predictions.csv."""
    with open(pathlib.Path(folder) / "predictions.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header[1], [name.removeprefix("probability_") for name in header[4:]], rows
