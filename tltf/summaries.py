"""A report's numbers in words and rows: what report.md and report.html both say."""

import statistics

BASELINE_TITLES = {
    "majority": "majority class",
    "logistic_regression": "logistic regression on frozen features",
    "scratch": "same network from random weights",
}
NUM_CONFUSIONS = 12
NOTHING = "\N{EN DASH}"


def percent(value, digits=1):
    """`97.3%`; a dash for None."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}%"


def number(value, digits=3):
    """`0.123`; a dash for None."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def points(value):
    """`+3.1`, percentage points with sign; the minus is the typographic one."""
    return NOTHING if value is None else f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def points_interval(gain):
    """`+3.1 points (+1.9 to +4.2)` of an entry of `evaluation.paired_difference`."""
    low, high = gain["interval"]
    return f"{points(gain['difference'])} points ({points(low)} to {points(high)})"


def words(name):
    """A key as words: `macro_f1` is `macro f1`."""
    return str(name).replace("_", " ")


def count_of(value, singular, plural=None):
    """`1 example`, `1,200 examples`."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def main_split(report):
    """`(name, metrics)` of the split that the report is about: test, else validation."""
    name = "test" if report.get("test") else "validation"
    return name, report.get(name) or {}


def transfer_gain(report):
    """The paired difference to random weights, or None."""
    scratch = report.get("baselines", {}).get("scratch", {})
    return report.get("transfer_gain") or scratch.get("gain")


def comparison(report):
    """Rows `title name accuracy interval macro_f1 loss gain note is_model`, model first.

    Baselines follow by falling accuracy; `gain` is the model's paired difference to them.
    """
    _, metrics = main_split(report)
    rows = [_comparison_row("model", "this model", metrics, {}) | {"is_model": True}]
    others = []
    for name, entry in report.get("baselines", {}).items():
        entry = entry if "test" in entry else {"test": entry}
        gain = entry.get("gain") or (transfer_gain(report) if name == "scratch" else None)
        title = BASELINE_TITLES.get(name, words(name))
        others.append(_comparison_row(name, title, entry["test"], entry | {"gain": gain}))
    return rows + sorted(others, key=lambda row: -(row["accuracy"] or 0))


def _comparison_row(name, title, metrics, entry):
    return {
        "name": name,
        "title": title,
        "accuracy": metrics.get("accuracy"),
        "interval": metrics.get("intervals", {}).get("accuracy"),
        "macro_f1": metrics.get("macro_f1"),
        "loss": metrics.get("loss"),
        "gain": (entry.get("gain") or {}).get("accuracy"),
        "note": entry.get("note", ""),
        "is_model": False,
    }


def sentences(report):
    """What the numbers say, as plain sentences, most important first."""
    split, metrics = main_split(report)
    if not metrics:
        return []
    return [
        _accuracy_sentence(split, metrics),
        *_baseline_sentences(report),
        *_transfer_sentences(report),
        *_calibration_sentences(metrics),
        *_weakest_sentences(metrics),
    ]


def _accuracy_sentence(split, metrics):
    text = (
        f"The model is right on {percent(metrics['accuracy'])} of "
        f"{count_of(metrics['num_examples'], split + ' example')}"
    )
    interval = metrics.get("intervals", {}).get("accuracy")
    if not interval:
        return text + "."
    confidence = percent(metrics.get("interval_confidence", 0.95), 0)
    return text + f" ({confidence} interval {percent(interval[0])} to {percent(interval[1])})."


def _baseline_sentences(report):
    for row in comparison(report)[1:]:
        if row["name"] == "scratch" or row["accuracy"] is None:
            continue
        text = f"{row['title'].capitalize()}: {percent(row['accuracy'])}"
        if row["gain"]:
            text += f"; the model's difference is {points_interval(row['gain'])}"
            text += _unclear(row["gain"])
        yield text + "."


def _transfer_sentences(report):
    gain = (transfer_gain(report) or {}).get("accuracy")
    if not gain:
        return
    low, high = gain["interval"]
    if low > 0:
        verb = "Pretraining helped"
    elif high < 0:
        verb = "Pretraining did harm"
    else:
        verb = "Whether pretraining helped cannot be told from this split"
    yield f"{verb}: {points_interval(gain)} over the same network from random weights."


def _unclear(gain):
    low, high = gain["interval"]
    return ", which this split cannot tell from none" if low <= 0 <= high else ""


def _calibration_sentences(metrics):
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


def _weakest_sentences(metrics):
    rows = [row for row in metrics.get("per_class", []) if row["support"]]
    if len(rows) < 2:
        return
    weakest = min(rows, key=lambda row: row["f1"])
    text = (
        f"Weakest class: {weakest['name']} (F1 {number(weakest['f1'])}, "
        f"{count_of(weakest['support'], 'example')})"
    )
    for row in confusions(metrics, limit=None):
        if row["label"] == weakest["name"]:
            text += f", most often taken for {row['predicted']} ({row['count']:,} times)"
            break
    yield text + "."


def confusions(metrics, limit=NUM_CONFUSIONS):
    """Rows `label predicted count share`: pairs confused most often; share of the true class."""
    names, matrix = metrics.get("class_names", []), metrics.get("confusion", [])
    rows = [
        {"label": names[i], "predicted": names[j], "count": count, "share": count / sum(row)}
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(rows, key=lambda row: (-row["count"], -row["share"]))[:limit]


def classes_by_f1(metrics):
    """The rows of `per_class`, weakest first; classes without examples last."""
    rows = metrics.get("per_class", [])
    return sorted(rows, key=lambda row: (row["support"] == 0, row["f1"]))


def balance(data):
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
