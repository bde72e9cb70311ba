"""A finished run judged again: on its own test split, or on other labelled examples."""

import json
import pathlib
import time

import numpy as np

from tltf import (
    baselines,
    data_report,
    evaluation,
    folders,
    loading,
    publishing,
    reports,
    runs,
    runtime,
    training,
)
from tltf.data import sources
from tltf.data.source import require_labels
from tltf.errors import FlagError


def run(options):
    """Evaluates as EvaluateOptions say, writes a report and returns it.

    Raises:
        FlagError: no run there, a run without a test split and no --data, or no labels.
        DataError: examples of a class that the run does not know.
        ModelError: model files that are refused.
    """
    start = time.monotonic()
    trained = loading.load(options.run)
    folder = pathlib.Path(options.output or next_folder(options.run))
    part = test_part(trained, options)
    stated = trained.probabilities(part, options.eval_batch_size)
    seed = trained.options.runtime.seed if trained.options else 0
    report = {
        "title": "Evaluation",
        "command": f"python -m tltf.evaluate --run={options.run} --data='{options.data}'",
        "test": evaluation.measure(part.labels, stated, trained.class_names, seed=seed),
        "run": {"run": str(options.run), "data": options.data or "the run's own test split"},
        "data": data_summary(part, options.data or trained.options.data.data),
        "versions": runtime.versions(),
        "baselines": {},
        "time_s": {"total": time.monotonic() - start},
    }
    report["baselines"]["majority"] = majority(options.run, part, seed)
    found = publishing.mistakes(trained, {"test": stated}, {"test": part})
    reports.write(report, folder, mistakes=found)
    data_report.write(folder, part.scan)
    publishing.write_predictions(folder / "predictions.csv", part, stated, trained.class_names)
    print(f"test       {publishing.score_text(report['test'])}")
    print(f"report     {folder / 'report.html'}")
    return report


def test_part(trained, options):
    """The Source to judge on, its labels in the order of the trained classes."""
    if options.data:
        source = sources.load(
            options.data, max_bad_fraction=options.max_bad_fraction, least_classes=1
        )
        require_labels(source)
        is_test = source.roles is not None and np.any(source.roles == "test")
        part = source.take(np.flatnonzero(source.roles == "test")) if is_test else source
        return part.in_classes(trained.class_names)
    parts = training.load_parts(runs.read_options(options.run))
    if "test" not in parts:
        raise FlagError("the run has no test split of its own", flag="data", fix="--data=...")
    return parts["test"]


def data_summary(part, text):
    """Counts of the scan, and of the classes that are judged on."""
    counts = np.bincount(part.labels, minlength=len(part.class_names)).tolist()
    row = {
        "num_examples": len(part),
        "class_counts": dict(zip(part.class_names, counts, strict=True)),
    }
    return {**part.scan, "source": text, "splits": {"test": row}}


def majority(run, part, seed):
    """The baseline's row, from the class counts that the run's report.json gives.

    Args:
        run: the run folder.
        part: Source with the classes of the run.
        seed: of the bootstrap.
    """
    counts = training_counts(run, part.class_names)
    if counts is None:
        row, _ = baselines.majority(part.labels, part.labels, part.class_names, seed=seed)
        what = "always the most frequent class of these very examples: the run has no report.json"
        return row | {"note": f"{what} that counts its training split"}
    labels = np.repeat(np.arange(len(counts)), counts)
    return baselines.majority(labels, part.labels, part.class_names, seed=seed)[0]


def training_counts(run, class_names):
    """int[C] training examples a class from RUN/report.json; None where it does not say."""
    try:
        report = json.loads((pathlib.Path(run) / "report.json").read_text(encoding="utf-8"))
        counts = report["data"]["splits"]["train"]["class_counts"]
        found = np.array([counts[name] for name in class_names])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.dtype.kind == "i" and found.min() >= 0 and found.any() else None


def next_folder(run):
    """RUN/evaluations/<next integer>."""
    return folders.new_version(pathlib.Path(run) / "evaluations")
