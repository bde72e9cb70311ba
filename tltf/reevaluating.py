"""A finished run judged again: on its own test split, or on other labelled examples."""

import json
import pathlib
import time

import numpy as np

from tltf import (
    data_report,
    folders,
    judging,
    loading,
    own_data,
    publishing,
    reports,
    runtime,
)
from tltf.data import checks, sources
from tltf.data.source import require_labels
from tltf.errors import FlagError


def run(options):
    """Evaluates as EvaluateOptions say, writes a report and returns it.

    Raises:
        FlagError: no run there, a run without a test split and no --data, or no labels.
        DataError: examples of a class that the run does not know.
        ModelError: model files that are refused, or data of the run's own that is code.
    """
    start = time.monotonic()
    trained = loading.load(options.run)
    folder = pathlib.Path(options.output or next_folder(options.run))
    with data_report.when_it_fails(options.output):
        part = test_part(trained, options)
    head, judge = trained.core.head, judging.of(trained.core.head)
    stated = judge.candidate(head, trained.stated(part, options.eval_batch_size))
    seed = trained.options.runtime.seed if trained.options else 0
    report = {
        "title": "Evaluation",
        "command": f"python -m tltf.evaluate --run={options.run} --data='{options.data}'",
        "test": judge.measure(part.labels, stated, trained.class_names, seed=seed),
        "run": {"run": str(options.run), "data": options.data or "the run's own test split"},
        "data": data_summary(judge, part, options.data or trained.options.data.data),
        "versions": runtime.versions(),
        "baselines": {},
        "time_s": {"total": time.monotonic() - start},
    }
    report["baselines"][judge.constant_name] = constant(judge, options.run, part, seed)
    found = publishing.mistakes(trained, {"test": stated}, {"test": part})
    reports.write(report, folder, mistakes=found)
    data_report.write(folder, part.scan)
    publishing.write_predictions(
        folder / "predictions.csv", part, head, stated, trained.class_names
    )
    print(f"test       {publishing.score_text(report['test'])}")
    print(f"report     {folder / 'report.html'}")
    return report


def test_part(trained, options):
    """The Source to judge on, its labels in the order of the trained classes."""
    if options.data:
        source = sources.load(
            options.data,
            scan=options.scan,
            least_classes=1,
            target=trained.core.head.target,
        )
        require_labels(source)
        if options.scan.unknown_classes == "skip":
            source = source.of_classes(trained.class_names, "was not trained")
            found = source.scan["skipped_rows"], source.scan["found"]
            with checks.telling(source.scan):
                checks.require_few(*found, options.scan.max_bad_fraction)
        is_test = source.roles is not None and np.any(source.roles == "test")
        part = source.take(np.flatnonzero(source.roles == "test")) if is_test else source
        return part.in_classes(trained.class_names)
    parts = own_data.parts(options.run)
    if "test" not in parts:
        raise FlagError("the run has no test split of its own", flag="data", fix="--data=...")
    return parts["test"]


def data_summary(judge, part, text):
    """Counts of the scan, and what the judge says of the labels that are judged on."""
    row = {"num_examples": len(part), **judge.counts(part)}
    return {**part.scan, "source": text, "splits": {"test": row}}


def constant(judge, run, part, seed):
    """The row of the baseline that looks at no input, from what the run's report.json counts.

    Args:
        judge: of `tltf.judging`.
        run: the run folder.
        part: Source with the classes of the run.
        seed: of the bootstrap.
    """
    labels = training_labels(judge, run, part)
    if labels is not None:
        return judge.constant(labels, part.labels, part.class_names, seed=seed)[0]
    row, _ = judge.constant(part.labels, part.labels, part.class_names, seed=seed)
    what = "of these very examples: the run has no report.json that counts its training split"
    return row | {"note": f"{row['note'].split(' of the training')[0]}, {what}"}


def training_labels(judge, run, part):
    """Labels like those of the run's training split, from RUN/report.json; None without it."""
    try:
        report = json.loads((pathlib.Path(run) / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return judge.training_labels(report, part)


def next_folder(run):
    """RUN/evaluations/<next integer>."""
    return folders.new_version(pathlib.Path(run) / "evaluations")
