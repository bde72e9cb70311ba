"""A report's numbers in words and rows: what report.md and report.html both say."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from tltf.evaluation import evaluators
from tltf.evaluation.report import wording
from tltf.evaluation.report.wording import Wording, count_of, number, percent

BASELINE_TITLES = {
    "majority": "majority class",
    "logistic_regression": "logistic regression on frozen features",
    "scratch": "same network from random weights",
    "frequencies": "every label by its frequency",
    "training_quantiles": "the training numbers' quantiles",
    "ridge_regression": "ridge regression on frozen features",
}
NUM_CONFUSIONS = 12


def words(name: str) -> str:
    """A key as words: `macro_f1` is `macro f1`."""
    return str(name).replace("_", " ")


def main_split(report: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """`(name, metrics)` of the split that the report is about: test, else validation."""
    name = "test" if report.get("test") else "validation"
    return name, report.get(name) or {}


def transfer_gain(report: dict[str, Any]) -> dict[str, Any] | None:
    """The paired difference to random weights, or None."""
    scratch = report.get("baselines", {}).get("scratch", {})
    return report.get("transfer_gain") or scratch.get("gain")


def comparison(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows `title value interval cells gain note is_model bar`, model first.

    Baselines follow, the best first; `value` is the headline metric, `cells` the texts of the
    wording's other columns, `gain` the model's paired difference to them, `bar` a share of 1 and
    `bar_interval` its bounds.
    """
    _, metrics = main_split(report)
    said = evaluators.wording_for(metrics)
    rows = [_comparison_row("model", "this model", metrics, {}, said) | {"is_model": True}]
    others = []
    for name, entry in report.get("baselines", {}).items():
        entry = entry if "test" in entry else {"test": entry}
        gain = entry.get("gain") or (transfer_gain(report) if name == "scratch" else None)
        title = BASELINE_TITLES.get(name, words(name))
        others.append(_comparison_row(name, title, entry["test"], entry | {"gain": gain}, said))
    sign = 1 if said.is_error else -1
    return _with_bars(rows + sorted(others, key=lambda row: sign * (row["value"] or 0)), said)


def _with_bars(rows: Sequence[dict[str, Any]], said: Wording) -> Any:
    """Errors are drawn as parts of the largest."""
    whole = max([row["value"] or 0 for row in rows] + [1e-12]) if said.is_error else 1.0
    for row in rows:
        row["bar"] = max(0.0, row["value"] or 0) / whole
        row["bar_interval"] = [min(bound / whole, 1.0) for bound in row["interval"] or []]
    return rows


def _comparison_row(
    name: str, title: str, metrics: dict[str, Any], entry: dict[str, Any], said: Wording
) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "value": metrics.get(said.metric),
        "interval": metrics.get("intervals", {}).get(said.metric),
        "cells": [wording.metric(key, metrics.get(key)) for key in said.columns],
        "gain": (entry.get("gain") or {}).get(said.metric),
        "note": entry.get("note", ""),
        "is_model": False,
    }


def sentences(report: dict[str, Any]) -> list[str]:
    """What the numbers say, as plain sentences, most important first."""
    split, metrics = main_split(report)
    if not metrics:
        return []
    said = evaluators.wording_for(metrics)
    examples = count_of(metrics["num_examples"], split + " example")
    return [
        said.sentence(examples, metrics, _interval_text(metrics)),
        *choice_sentences(report),
        *_baseline_sentences(report),
        *_transfer_sentences(report),
        *_calibration_sentences(metrics),
        *_coverage_sentences(metrics),
        *_weakest_sentences(metrics),
    ]


def choice_sentences(report: dict[str, Any]) -> Iterator[Any]:
    """A warning where the split that is reported is the one that something was chosen on."""
    chosen = report.get("chosen_on_validation")
    if main_split(report)[0] == "validation" and chosen:
        what = were_chosen(chosen)
        yield f"{what[0].upper()}{what[1:]} on these rows, so new ones may be judged less well."


def were_chosen(names: Sequence[str]) -> str:
    """`the epoch and the thresholds were chosen`, of one name or more."""
    what = f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]
    verb = "were" if names[1:] or names[0].endswith("s") else "was"
    return f"{what} {verb} chosen"


def _interval_text(metrics: dict[str, Any]) -> str:
    """` (95% interval .7 to .8)` of the headline metric."""
    said = evaluators.wording_for(metrics)
    bounds = metrics.get("intervals", {}).get(said.metric)
    if not bounds:
        return ""
    confidence = percent(metrics.get("interval_confidence", 0.95), 0)
    return f" ({confidence} interval {said.value(bounds[0])} to {said.value(bounds[1])})"


def _coverage_sentences(metrics: dict[str, Any]) -> Iterator[Any]:
    if metrics.get("coverage") is None:
        return
    yield (
        f"{percent(metrics['coverage'])} of the numbers are between its outermost quantiles; "
        f"{percent(metrics['wanted_coverage'], 0)} should be."
    )


def _baseline_sentences(report: dict[str, Any]) -> Iterator[Any]:
    said = evaluators.wording_for(main_split(report)[1])
    for row in comparison(report)[1:]:
        if row["name"] == "scratch" or row["value"] is None:
            continue
        text = f"{row['title'].capitalize()}: {said.value(row['value'])}"
        if row["gain"]:
            text += f"; the model's difference is {said.interval(row['gain'])}"
            text += _unclear(row["gain"])
        yield text + "."


def _transfer_sentences(report: dict[str, Any]) -> Iterator[Any]:
    said = evaluators.wording_for(main_split(report)[1])
    gain = (transfer_gain(report) or {}).get(said.metric)
    if not gain:
        return
    if not gain["interval"]:
        return
    low, high = (
        (-bound for bound in reversed(gain["interval"])) if said.is_error else gain["interval"]
    )
    if low > 0:
        verb = "Pretraining helped"
    elif high < 0:
        verb = "Pretraining did harm"
    else:
        verb = "Whether pretraining helped cannot be told from this split"
    yield f"{verb}: {said.interval(gain)} over the same network from random weights."


def _unclear(gain: dict[str, Any]) -> str:
    low, high = gain["interval"] or (0, 0)
    return ", which this split cannot tell from none" if low <= 0 <= high else ""


def _calibration_sentences(metrics: dict[str, Any]) -> Iterator[Any]:
    if metrics.get("mean_confidence") is None:
        return
    gap = metrics["mean_confidence"] - metrics["accuracy"]
    error = metrics["calibration_error"]
    text = f"Its answers carry a mean probability of {percent(metrics['mean_confidence'])}"
    if abs(gap) < 0.01:
        verdict = "on average as sure as it is right"
    else:
        verdict = f"{'too sure' if gap > 0 else 'not sure enough'} by {100 * abs(gap):.1f} points"
    yield f"{text}, so it is {verdict} (calibration error {percent(error)})."


def _weakest_sentences(metrics: dict[str, Any]) -> Iterator[Any]:
    rows = [row for row in metrics.get("per_class", []) if row["support"]]
    if len(rows) < 2:
        return
    what = evaluators.wording_for(metrics).noun
    weakest = min(rows, key=lambda row: row["f1"])
    text = (
        f"Weakest {what}: {weakest['name']} (F1 {number(weakest['f1'])}, "
        f"{count_of(weakest['support'], 'example')})"
    )
    for row in confusions(metrics, limit=None):
        if row["label"] == weakest["name"]:
            text += f", most often taken for {row['predicted']} ({row['count']:,} times)"
            break
    yield text + "."


def confusions(metrics: dict[str, Any], limit: int | None = NUM_CONFUSIONS) -> list[dict[str, Any]]:
    """Rows `label predicted count share`: pairs confused most often; share of the true class."""
    names, matrix = metrics.get("class_names", []), metrics.get("confusion", [])
    rows = [
        {"label": names[i], "predicted": names[j], "count": count, "share": count / sum(row)}
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(rows, key=lambda row: (-row["count"], -row["share"]))[:limit]


def classes_by_f1(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of `per_class`, weakest first; classes without examples last."""
    rows = metrics.get("per_class", [])
    return sorted(rows, key=lambda row: (row["support"] == 0, row["f1"]))


def balance(data: dict[str, Any]) -> dict[str, Any]:
    """Rows of class balance: name, a count for each split, and the share of the largest class.

    Args:
        data: `report["data"]`; its `splits` maps a role to `{num_examples, class_counts}`.

    Returns:
        dict: roles, rows (name, counts, share), smallest, median, largest (training counts);
        empty without splits.
    """
    splits = {k: v.get("class_counts", {}) for k, v in data.get("splits", {}).items()}
    names = list(dict.fromkeys(name for counts in splits.values() for name in counts))
    if not names:
        return {}
    first = next(iter(splits.values()))
    counts = [first.get(name, 0) for name in names]
    rows = [
        {
            "name": name,
            "counts": [split.get(name, 0) for split in splits.values()],
            "share": first.get(name, 0) / max(*counts, 1),
        }
        for name in names
    ]
    return {
        "roles": list(splits),
        "rows": rows,
        "smallest": min(counts),
        "median": statistics.median(counts),
        "largest": max(counts),
    }
