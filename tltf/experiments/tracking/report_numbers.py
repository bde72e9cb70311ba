"""The numbers of a report by name, as trackers take them."""

import math
from collections.abc import Iterator, Mapping, Sequence

from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics


def numbers_of(report: Report) -> dict[str, float]:
    """The numbers of report.json that are one number each.

    Names are `test/accuracy` with `test/accuracy_low` and `test/accuracy_high`, the bounds of its
    interval; `validation/...` likewise; `baseline/logistic/accuracy`, and `gain/logistic/accuracy`
    with its bounds; `folds/accuracy_deviation`; `seconds/total`; `parameters/trainable`. The headline metrics of a cross-validation are means
    over its folds, as on its page. Those of several tasks have the task before them, `stars/test/loss`.
    """
    role, main = report.main_split()
    splits = {"validation": report.validation, "test": report.test} | {role: main}
    found = dict[str, float]()
    for block in report.tasks or ():
        for name, metrics in (("validation", block.validation), ("test", block.test)):
            found |= dict(_of_split(f"{block.task}/{name}", metrics)) if metrics else {}
    for name, metrics in splits.items():
        found |= dict(_of_split(name, metrics)) if metrics else {}
    for name, row in (report.baselines or {}).items():
        found |= {f"baseline/{name}/{key}": value for key, value in _finite(row.test.scores)}
        for metric, gain in (row.gain.gains if row.gain else {}).items():
            key = f"gain/{name}/{metric}"
            found |= dict(_finite({key: gain.difference})) | _bounds(key, gain.interval)
    for name, mean in (report.fold_means or {}).items():
        found |= {f"folds/{name}_deviation": value for _, value in _finite({"": mean.deviation})}
    found |= {f"seconds/{stage}": value for stage, value in _finite(report.time_s)}
    if report.parameters:
        found |= {f"parameters/{key}": value for key, value in _finite(vars(report.parameters))}
    return found


def _of_split(role: str, metrics: SplitMetrics) -> Iterator[tuple[str, float]]:
    yield from ((f"{role}/{name}", value) for name, value in _finite(metrics.scores))
    for name, interval in metrics.intervals.items():
        yield from _bounds(f"{role}/{name}", interval).items()
    if metrics.num_examples is not None:
        yield f"{role}/num_examples", float(metrics.num_examples)


def _bounds(name: str, interval: Sequence[float] | None) -> dict[str, float]:
    """The bounds of an interval by name; {} without one."""
    low, high = interval or (None, None)
    return dict(_finite({f"{name}_low": low, f"{name}_high": high}))


def _finite(values: Mapping[str, float | None]) -> Iterator[tuple[str, float]]:
    """`(name, value)` of the values that are finite numbers."""
    for name, value in values.items():
        if value is not None and math.isfinite(value):
            yield name, float(value)
