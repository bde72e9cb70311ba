"""A run's report: report.json for scripts, report.md and report.html for people."""

import contextlib
import functools
import html
import json
import math
import numbers
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np

from tltf.console.progress import seconds_text
from tltf.evaluation import evaluators
from tltf.evaluation.report import pictures, plots, sentences, wording
from tltf.files import atomic_files
from tltf.runs import layout

MAX_CONFUSION_TABLE = 20
MAX_TEXT = 2000
MAX_ROWS = 50
"""Skipped and excluded rows that a report names; the others are counted."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~])")


def write(
    report: dict[str, Any],
    folder: Any,
    *,
    history: Sequence[dict[str, Any]] = (),
    mistakes: Sequence[dict[str, Any]] = (),
    table: Sequence[dict[str, Any]] = (),
) -> None:
    """Writes `report.html`, `report.md` and, last, `report.json` into `folder`.

    Everything is drawn before the first file is written, and each file is written whole.

    Args:
        report: dict; every key may be missing, numpy values are taken, what is not finite
            becomes null. `test` and `validation`: `classification.measure`. `baselines`: name ->
            dict `test` (a measure), `gain` (`classification.paired_difference`, model minus
            baseline), `note`. `transfer_gain`: the paired difference to random weights.
            `run`: what is shown at the top (data, backbone, head, method, ...).
            `title`: made from `run` where missing.
            `data`: a source's scan with `source`, `split` and `splits` (role -> num_examples,
            class_counts). `parameters`: total, trainable. `time_s`, `versions`: name -> value.
            `command`: reproduces the run. `flags`: the text of run.flags.
        folder: made where missing.
        history: list of dict, one an epoch, as `metrics_log.read` gives them.
        mistakes: list of dict of `classification.worst_mistakes`, each with `text`, or with
            `image`: uint8[H, W, C], an encoded image's bytes, or its path.
        table: list of dict with the same keys: the trainable table.

    Raises:
        StorageError: a file cannot be written.
    """
    report = plain(dict(report) | {"data": _trimmed(report.get("data") or {})})
    history, table = plain(list(history)), plain(list(table))
    shown = [_mistake(row) for row in mistakes]
    values = _values(report, history, shown, table)
    environment = _environment()
    page = environment.get_template("report.html.jinja").render(values)
    markdown = environment.get_template("report.md.jinja").render(values)
    rows = [{k: v for k, v in row.items() if k != "picture"} for row in shown]
    complete = report | {"worst_mistakes": rows, "trainable_table": table}
    _write_together(
        folder,
        {
            layout.REPORT_JSON: json.dumps(complete, indent=2, allow_nan=False, ensure_ascii=False)
            + "\n",
            layout.REPORT_MARKDOWN: re.sub(r"\n{3,}", "\n\n", markdown),
            layout.REPORT_HTML: page,
        },
    )


def _trimmed(data: Any) -> dict[str, Any]:
    """`data` with the first rows only of those that were not used."""
    lists = {
        key: data[key][:MAX_ROWS]
        for key in ("skipped_rows", "excluded_rows", "near_rows")
        if key in data
    }
    return {**data, **lists}


def _write_together(folder: pathlib.Path, files: dict[str, str]) -> None:
    """All texts reach the disk under temporary names first; the first one is renamed last."""
    with contextlib.ExitStack() as stack:
        for name, text in files.items():
            file = stack.enter_context(atomic_files.replace_file(f"{folder}/{name}"))
            file.write(text)
            file.flush()


def plain(value: Any) -> Any:
    """`value` as what JSON holds: no numpy types, no NaN (null), keys as text, text as UTF-8.

    Raises:
        TypeError: a value that JSON has no form for.
    """
    if isinstance(value, dict):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value))
    raise TypeError(f"a report holds plain values (received {type(value).__name__})")


def _mistake(row: dict[str, Any]) -> dict[str, Any]:
    row = dict(row)
    if "image" in row:
        row["picture"] = pictures.data_uri(row.pop("image"))
    if "text" in row:
        row["text"] = _shortened(row["text"], MAX_TEXT)
    return plain(row)


def _values(
    report: dict[str, Any],
    history: Sequence[dict[str, Any]],
    mistakes: Sequence[dict[str, Any]],
    table: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """What both templates are filled with."""
    split, metrics = sentences.main_split(report)
    said = evaluators.wording_for(metrics)
    many = len(metrics.get("confusion", [])) > MAX_CONFUSION_TABLE
    values = {
        "report": report,
        "title": report.get("title") or _title(report.get("run", {})),
        "split": split,
        "metrics": metrics,
        "tiles": _tiles(report, split, metrics),
        "sentences": sentences.sentences(report),
        "said": said,
        "comparison": sentences.comparison(report),
        "confusions": sentences.confusions(metrics),
        "classes": sentences.classes_by_f1(metrics),
        "balance": sentences.balance(report.get("data", {})),
        "scalars": [(k, _scalar(k, metrics[k])) for k in said.scalars if k in metrics],
        "curves": _curves(history),
        "heatmap": many and plots.confusion_heatmap(metrics["confusion"], "Shares of each class"),
        "scatter": metrics.get("points")
        and plots.scatter(metrics["points"], "Answers and numbers"),
        "reliability": metrics.get("reliability")
        and plots.reliability(metrics["reliability"], "Reliability"),
        "history": history,
        "history_keys": list(dict.fromkeys(key for row in history for key in row)),
        "mistakes": mistakes,
        "table": table,
        "has_run": any(report.get(key) for key in ("command", "flags", "time_s", "versions")),
    }
    return values | {"sections": _sections(values)}


def _title(run: dict[str, Any]) -> str:
    parts = [str(run[key]) for key in ("data", "backbone", "method") if run.get(key)]
    return " \N{MIDDLE DOT} ".join(parts) or "Evaluation"


def _sections(values: dict[str, Any]) -> list[tuple[str, str]]:
    report, metrics, said = values["report"], values["metrics"], values["said"]
    every = [
        ("comparison", "Baselines", metrics),
        ("curves", "Curves", values["curves"]),
        ("numbers", "Numbers", values["scatter"]),
        ("confusion", "Confusions", metrics.get("confusion")),
        ("mistakes", "Mistakes", values["mistakes"]),
        (
            "classes",
            "Labels" if said.noun == "label" else "Classes",
            metrics.get("per_class"),
        ),
        ("calibration", "Calibration", values["reliability"]),
        ("trained", "Trained", values["table"]),
        ("data", "Data", report.get("data")),
        ("run", "Run", values["has_run"]),
    ]
    return [(name, title) for name, title, is_there in every if is_there]


def _tiles(report: dict[str, Any], split: str, metrics: dict[str, Any]) -> list[dict[str, str]]:
    """The headline numbers: dicts name, value, detail (texts)."""
    tiles, said = [], evaluators.wording_for(metrics)

    def tile(name: str, value: str, detail: str = "") -> None:
        tiles.append({"name": name, "value": value, "detail": detail})

    intervals = metrics.get("intervals", {})
    if metrics:
        tile(f"{split} {said.title}", said.value(metrics[said.metric]),
             _interval(intervals.get(said.metric), said.value))  # fmt: skip
    gain = (sentences.transfer_gain(report) or {}).get(said.metric)
    if gain:
        unit = "points " if said.is_share else ""
        tile("transfer gain", said.change(gain["difference"]),
             f"{unit}({_interval(gain['interval'], said.change) or 'no interval'})")  # fmt: skip
    for name, title, detail in _MORE_TILES:
        if metrics.get(name) is not None:
            bounds = _interval(intervals.get(name), functools.partial(wording.metric, name))
            tile(title, wording.metric(name, metrics[name]), detail.format(**metrics) or bounds)
    total_s = report.get("time_s", {}).get("total")
    if total_s is not None:
        train_s = report["time_s"].get("train")
        tile("time", seconds_text(total_s), f"training {seconds_text(train_s)}" if train_s else "")
    return tiles


_MORE_TILES = (
    ("macro_f1", "macro F1", ""),
    ("average_precision", "mean average precision", "over labels; takes no threshold"),
    ("r2", "R²", ""),
    ("loss", "loss", ""),
    ("calibration_error", "calibration error", "0 is best"),
    ("coverage", "coverage", "{wanted_coverage:.0%} is right"),
    (
        "quadratic_kappa",
        "quadratic kappa",
        "answers are {mean_rank_error:.3f} classes off on average",
    ),
)
"""Metric, title, and what stands below it where that is not an interval."""


def _interval(bounds: Sequence[float] | None, text: Any) -> str:
    return f"{text(bounds[0])} to {text(bounds[1])}" if bounds else ""


def _curves(history: Sequence[dict[str, Any]]) -> list[str]:
    """SVGs of the loss and of one more metric; a single epoch has no curve."""
    if len(history) < 2:
        return []
    names = [k[4:] for row in history for k in row if k.startswith("val_") and k[4:] != "loss"]
    names += [k for row in history for k in row if k.endswith(("accuracy", "absolute_error"))]
    return [
        plots.curve(history, name, sentences.words(name).capitalize())
        for name in ("loss", *names[:1])
    ]


def _scalar(name: str, value: float) -> str:
    is_share = name.endswith(wording.SHARES)
    return wording.metric(name, value, 2 if is_share else 4)


def _environment() -> Any:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tltf.evaluation.report", "templates"),
        autoescape=lambda name: (name or "").endswith(".html.jinja"),
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "number": wording.number,
        "points": wording.points,
        "bounds": lambda bounds, said: _interval(bounds, said.value) or wording.NOTHING,
        "gain": lambda gain, said: said.interval(gain) if gain else wording.NOTHING,
        "seconds": seconds_text,
        "words": sentences.words,
        "cell_text": _cell_text,
        "row_text": _row_text,
        "shortened": _shortened,
        "md": _markdown,
        "row": _markdown_row,
        "picked": lambda row, keys: [row.get(key) for key in keys],
    }
    return environment


def _cell_text(value: Sequence[float] | float | str) -> str:
    if value is None or isinstance(value, jinja2.Undefined):
        return wording.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_cell_text, value)) or wording.NOTHING
    return str(value)


def _row_text(row: dict[str, str]) -> str:
    if not isinstance(row, dict):
        return str(row)
    return "; ".join(f"{key}: {_cell_text(value)}" for key, value in row.items())


def _shortened(text: str, length: int) -> str:
    text = str(text)
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _markdown(text: int | str) -> str:
    """`text` on one line, with the marks of Markdown and HTML escaped."""
    flat = html.escape(" ".join(str(text).split()), quote=False)
    return _MARKDOWN.sub(r"\\\1", flat)


def _markdown_row(cells: Sequence[float | list[float] | str], escape: bool = True) -> str:
    texts = map(_cell_text, cells)
    return f"| {' | '.join(map(_markdown, texts) if escape else texts)} |"
