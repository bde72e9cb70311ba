"""A finished run judged again: on its own test split, or on other labelled examples."""

import dataclasses
import pathlib
import time

import numpy as np

from tltf import (
    baselines,
    evaluation,
    folders,
    loading,
    publishing,
    reports,
    runs,
    runtime,
)
from tltf.data import sources, splits
from tltf.errors import DataError, FlagError, choices_text


def run(options):
    """Evaluates as EvaluateOptions say, writes a report and returns it.

    Raises:
        FlagError: no run there, or a run without a test split and no --data.
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
        "data": {**part.scan, "source": options.data},
        "versions": runtime.versions(),
        "baselines": {},
        "time_s": {"total": time.monotonic() - start},
    }
    row, _ = baselines.majority(part.labels, part.labels, trained.class_names, seed=seed)
    report["baselines"]["majority"] = row
    found = publishing.mistakes(trained, {"test": stated}, {"test": part})
    reports.write(report, folder, mistakes=found)
    publishing.write_predictions(folder / "predictions.csv", part, stated, trained.class_names)
    print(f"test       {publishing.score_text(report['test'])}")
    print(f"report     {folder / 'report.html'}")
    return report


def test_part(trained, options):
    """The Source to judge on, its labels in the order of the trained classes."""
    if options.data:
        source = sources.load(options.data, max_bad_fraction=options.max_bad_fraction)
        is_test = source.roles is not None and np.any(source.roles == "test")
        part = source.take(np.flatnonzero(source.roles == "test")) if is_test else source
        return in_classes(part, trained.class_names)
    chosen = runs.read_options(options.run)
    source = sources.load(
        chosen.data.data,
        seed=chosen.runtime.seed,
        max_bad_fraction=chosen.data.max_bad_fraction,
    )
    parts = splits.split(source, chosen.data.split, chosen.runtime.seed)
    if "test" not in parts:
        raise FlagError("the run has no test split of its own", flag="data", fix="--data=...")
    return parts["test"]


def in_classes(source, class_names):
    """`source` with its labels as places in `class_names`, matched by name.

    Raises:
        DataError: a class that is not among `class_names`.
    """
    places = {name: place for place, name in enumerate(class_names)}
    unknown = [name for name in source.class_names if name not in places]
    if unknown:
        what = f"class {unknown[0]!r} was not trained (trained: {choices_text(unknown[0], places)})"
        raise DataError(what, flag="data")
    order = np.array([places[name] for name in source.class_names], np.int32)
    return dataclasses.replace(source, labels=order[source.labels], class_names=class_names)


def next_folder(run):
    """RUN/evaluations/<next integer>."""
    return folders.new_version(pathlib.Path(run) / "evaluations")
