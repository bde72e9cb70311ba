"""What a run leaves behind: metrics beside baselines, pictures, predictions, the export."""

import pathlib
import time

import numpy as np

from tltf import (
    baselines,
    checkpoints,
    data_report,
    evaluation,
    freezing,
    names,
    options,
    predictions,
    reports,
    runs,
    runtime,
    specs,
    summaries,
    training,
)
from tltf.catalogs import FORMATS

NUM_MISTAKES = 24


def run(options):
    """Trains, evaluates, reports and exports; returns the report as a dict.

    Args:
        options: Options; `data`, `backbone` and `output` must be given.

    Raises:
        TltfError: as the stages raise it.
    """
    start = time.monotonic()
    names.check(options)
    trained = training.train(options)
    if options.output.dry_run or not runs.is_chief():
        return {}
    return publish(trained, start)


def publish(trained, start):
    """Evaluates, reports, exports; returns the report.

    Args:
        trained: Trained with its options and splits.
        start: time.monotonic() when the run began.
    """
    run = pathlib.Path(trained.options.output.output)
    began = time.monotonic()
    report, stated = evaluate(trained)
    data_report.write(run, next(iter(trained.splits.values())).scan)
    _add_baselines(trained, report, stated)
    trained.times_s["evaluate"] = time.monotonic() - began
    if "test" in trained.splits:
        write_predictions(run / "predictions.csv", trained.splits["test"], stated["test"],
                          trained.class_names)  # fmt: skip
    worst = mistakes(trained, stated, trained.splits)
    _write(trained, report, run, worst, start)
    if trained.options.output.export:
        began = time.monotonic()
        _export(trained, run)
        trained.times_s["export"] = time.monotonic() - began
        _write(trained, report, run, worst, start)
    checkpoints.thin(run)
    runs.write_status(run, "finished")
    print(closing_text(report, run))
    return report


def _write(trained, report, run, worst, start):
    report["time_s"] = trained.times_s | {
        "total": time.monotonic() - start + trained.seconds_before
    }
    table = freezing.table(trained.plans[-1])
    reports.write(report, run, history=trained.history, mistakes=worst, table=table)


def evaluate(trained):
    """`(report, role -> probabilities)` on the validation and test splits."""
    chosen = trained.options
    stated, report = {}, {"command": _command(chosen), "options": options.flat(chosen),
                      "run": _headline(chosen, trained.history)}  # fmt: skip
    for role in ("validation", "test"):
        part = trained.splits.get(role)
        if part:
            stated[role] = trained.probabilities(part, chosen.train.eval_batch_size)
            report[role] = evaluation.measure(part.labels, stated[role], trained.class_names,
                                              seed=chosen.runtime.seed)  # fmt: skip
            if trained.core.head.has_order:
                report[role] |= evaluation.rank_metrics(part.labels, stated[role])
    plan = trained.plans[-1]
    report |= {
        "time_s": dict(trained.times_s),
        "parameters": {"total": plan.num_total, "trainable": plan.num_trainable},
        "versions": runtime.versions(),
        "data": data_summary(trained),
        "transfer": [list(row) for row in trained.core.backbone.transfer],
    }
    return report, stated


def data_summary(trained):
    """Counts of the scan and of each class by split."""
    parts, chosen = trained.splits, trained.options.data
    scan = next(iter(parts.values())).scan
    counts = {
        role: {
            "num_examples": len(part),
            "class_counts": dict(zip(trained.class_names, _class_counts(part), strict=True)),
        }
        for role, part in parts.items()
    }
    return {**scan, "source": chosen.data, "split": chosen.split, "splits": counts}


def _class_counts(part):
    return np.bincount(part.labels, minlength=len(part.class_names)).tolist()


def closing_text(report, run):
    """What a run prints last: the result beside its baselines, and where everything is."""
    split, metrics = summaries.main_split(report)
    lines = [f"{split:<10} " + (score_text(metrics) if metrics else "no examples")]
    for row in summaries.comparison(report)[1:]:
        gain = f", this model {summaries.points(row['gain']['difference'])}" if row["gain"] else ""
        lines.append(f"{'':<10} {summaries.percent(row['accuracy'])} {row['title']}{gain}")
    if "scratch" not in report.get("baselines", {}):
        lines.append(f"{'':<10} not measured: random weights (--baseline=scratch)")
    lines += [
        f"{'time':<10} {report['time_s']['total']:.0f} s, {report['time_s']['train']:.0f} s of it training",
        f"{'report':<10} {run / 'report.html'}",
        f"{'predict':<10} python -m tltf.predict --run={run} --input=FILE",
    ]
    if (run / "export").is_dir():
        lines.append(f"{'serve':<10} {run / 'export'}")
    return "\n".join(lines)


def score_text(metrics):
    """One line: accuracy with its interval, macro F1, loss, number of examples."""
    low, high = metrics["intervals"]["accuracy"]
    return (
        f"{summaries.percent(metrics['accuracy'])} accuracy ({summaries.percent(low)} to "
        f"{summaries.percent(high)}), macro F1 {summaries.number(metrics['macro_f1'])}, "
        f"loss {summaries.number(metrics['loss'])}, {metrics['num_examples']:,} examples"
    )


def write_predictions(path, part, probabilities, class_names):
    """Writes predictions.csv of one split."""
    column = "text" if part.modality == "text" else "path"
    contents = part.column.values if part.column.kind in ("text", "path") else part.ids
    predictions.write_predictions(path, part.ids, part.labels, probabilities, class_names, column,
                                  contents)  # fmt: skip


def mistakes(trained, stated, parts):
    """The worst mistakes on the test split, else validation, each with its picture or text."""
    role = "test" if "test" in stated else "validation"
    if role not in stated:
        return []
    part = parts[role]
    rows = evaluation.worst_mistakes(part.labels, stated[role], trained.class_names, part.ids,
                                     limit=NUM_MISTAKES)  # fmt: skip
    for row in rows:
        value = part.column.values[row["index"]]
        if part.column.kind == "text":
            row["text"] = value
        else:
            row["image"] = value
    return rows


def _add_baselines(trained, report, stated):
    """Majority always; logistic regression and random weights where they were asked for."""
    parts, seed = trained.splits, trained.options.runtime.seed
    if "test" not in parts:
        return
    class_names, test = trained.class_names, parts["test"]
    report["baselines"] = {}
    row, other = baselines.majority(parts["train"].labels, test.labels, class_names, seed=seed)
    report["baselines"]["majority"] = row | {
        "gain": evaluation.paired_difference(test.labels, stated["test"], other, seed=seed)
    }
    if trained.frozen_features:
        pairs = {role: (trained.frozen_features[role], part.labels) for role, part in parts.items()}
        row, other = baselines.logistic_regression(
            pairs["train"], pairs.get("validation"), pairs["test"], class_names, seed=seed
        )
        report["baselines"]["logistic_regression"] = row | {
            "gain": evaluation.paired_difference(test.labels, stated["test"], other, seed=seed)
        }
    if "scratch" in names.wanted_baselines(trained.options.output.baseline):
        report["baselines"]["scratch"] = _scratch(trained, stated["test"])


def _scratch(trained, probabilities):
    """The same run from random weights, everything trained, on the same splits."""
    sizes = {name: options.flat(trained.options)[name] for name in ("image_size_px", "text_length")}
    given = options.replace(trained.given, **sizes)
    chosen = options.replace(given, method="scratch", output="", baseline="")
    other = training.fit_parts(chosen, trained.splits)
    used = other.options.train
    stated = other.probabilities(trained.splits["test"], used.eval_batch_size)
    labels, seed = trained.splits["test"].labels, chosen.runtime.seed
    return {
        "test": evaluation.measure(labels, stated, trained.class_names, seed=seed),
        "gain": evaluation.paired_difference(labels, probabilities, stated, seed=seed),
        "note": f"the same flags from random weights, everything trained: {used.train_epochs} "
        f"epochs, {used.optimizer} at {used.learning_rate:g}",
        "time_s": other.times_s["train"],
    }


def _export(trained, run):
    call = specs.pick(FORMATS, "saved_model", "format")
    call.build(trained, run / "export", None, True)


def _command(chosen):
    return f"python -m tltf.train --flagfile={pathlib.Path(chosen.output.output) / runs.FLAGS} --output=NEW"


def _headline(chosen, history):
    train = chosen.train
    steps = {
        "epochs": train.train_epochs,
        "batch size": train.batch_size,
        "optimizer": f"{train.optimizer}, peak rate {train.learning_rate:g}, {train.schedule}",
    }
    is_solved = bool(history) and all("penalty" in row for row in history)
    return {
        "data": chosen.data.data,
        "backbone": chosen.model.backbone,
        "head": chosen.model.head,
        "method": train.method,
        **({} if is_solved else steps),
        "seed": chosen.runtime.seed,
    }
