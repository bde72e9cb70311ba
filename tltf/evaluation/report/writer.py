"""Writes the report of a run: report.json for scripts, report.md and report.html for people."""

import contextlib
import dataclasses
import functools
import html
import json
import math
import numbers
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import jinja2
import numpy as np

from tltf.console.progress import seconds_text
from tltf.evaluation import evaluators
from tltf.evaluation.report import learning, next_steps, pictures, sentences, verdict, wording
from tltf.evaluation.report.report import DataSummary, Mistake, Report
from tltf.evaluation.report.sections import NUMBER_COLUMNS, Column, Section
from tltf.evaluation.report.wording import Wording
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.files import atomic_files
from tltf.runs import layout

MAX_TEXT = 2000
MAX_ROWS = 50
"""Skipped and excluded rows that a report names; the others are counted."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~])")


@dataclasses.dataclass(frozen=True)
class Tile:
    """One headline number at the top of the page.

    Args:
        name: what it is.
        value: as text.
        detail: its interval, or what else belongs to it; may be empty.
    """

    name: str
    value: str
    detail: str = ""


def write(
    report: Report, folder: pathlib.Path | str, *, history: Sequence[dict[str, Any]] = ()
) -> None:
    """Writes `report.html`, `report.md` and, last, `report.json` into `folder`.

    Everything is drawn before the first file is written, and each file is written whole.

    Args:
        report: what is written; numpy values are taken, and what is not finite becomes null.
        folder: made where missing.
        history: list of dict, one per epoch, as `metrics_log.read` gives them.

    Raises:
        StorageError: a file cannot be written.
    """
    shown = [_picture(row) for row in report.worst_mistakes]
    content = plain(_shortened_report(report).to_json())
    values = _values(Report.from_json(content), plain(list(history)), shown)
    environment = _environment()
    page = environment.get_template("report.html.jinja").render(values)
    markdown = environment.get_template("report.md.jinja").render(values)
    _write_together(
        folder,
        {
            layout.REPORT_JSON: json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
            + "\n",
            layout.REPORT_MARKDOWN: re.sub(r"\n{3,}", "\n\n", markdown),
            layout.REPORT_HTML: page,
        },
    )


def _shortened_report(report: Report) -> Report:
    """The report with the first of the rows that were not used, and with the starts of texts."""
    mistakes = [
        row if row.text is None else dataclasses.replace(row, text=_shortened(row.text, MAX_TEXT))
        for row in report.worst_mistakes
    ]
    data = report.data and report.data.shortened(MAX_ROWS)
    return dataclasses.replace(report, data=data, worst_mistakes=mistakes)


def _picture(row: Mistake) -> str:
    """The image of a mistake as a data URI; empty without one."""
    return "" if row.image is None else pictures.data_uri(row.image)


def _write_together(folder: pathlib.Path | str, files: dict[str, str]) -> None:
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


def _values(
    report: Report, history: Sequence[dict[str, Any]], shown: Sequence[str]
) -> dict[str, Any]:
    """The values that fill both templates, by name."""
    split, found = report.main_split()
    metrics, said = found or SplitMetrics({}), evaluators.wording_for(found)
    own = evaluators.evaluator_of(metrics).sections(metrics, split)
    values = {
        "report": report,
        "data": report.data,
        "title": report.title or _title(report.run),
        "split": split,
        "has_metrics": found is not None,
        "tiles": _tiles(report),
        "verdict": verdict.verdict(report),
        "sentences": sentences.sentences(report),
        "said": said,
        "comparison": sentences.comparison(report),
        "balance": sentences.balance(report.data or DataSummary()),
        "scalars": _scalars(metrics, said),
        "curves": learning.curves(report, history),
        "next_steps": next_steps.next_steps(report, history),
        "learning_sentences": list(learning.sentences(report, history)),
        "page_sections": [section for section in own if section.blocks],
        "text_sections": [section for section in own if section.table],
        "histories": _histories(history),
        "mistakes": list(zip(report.worst_mistakes, shown, strict=True)),
        "table": report.trainable_table,
        "has_run": bool(report.command or report.time_s or report.versions),
    }
    return values | {"links": _links(values)}


def _histories(
    history: Sequence[dict[str, Any]],
) -> list[tuple[str, list[dict[str, Any]], list[str]]]:
    """`(title, rows, keys)` of the tables of penalties and of epochs."""
    tables = ("Penalties", learning.penalties_of(history)), ("Epochs", learning.epochs_of(history))
    return [
        (title, rows, list(dict.fromkeys(key for row in rows for key in row)))
        for title, rows in tables
        if rows
    ]


def _scalars(metrics: SplitMetrics, said: Wording) -> list[tuple[str, str]]:
    """`(key, text)` of each number that is listed."""
    found = dict(metrics.scores)
    if metrics.num_examples is not None:
        found["num_examples"] = metrics.num_examples
    return [
        (name, said.text(name, found[name], digits=(2, 4)))
        for name in said.scalars
        if name in found
    ]


def _title(run: dict[str, Any]) -> str:
    parts = [str(run[key]) for key in ("data", "backbone", "method") if run.get(key)]
    return " \N{MIDDLE DOT} ".join(parts) or "Evaluation"


def _links(values: dict[str, Any]) -> list[tuple[str, str]]:
    """`(key, text)` of the sections of the page, in their order."""
    own: list[Section] = values["page_sections"]
    every = [
        ("next", "Next", values["next_steps"]),
        ("comparison", "Baselines", values["has_metrics"]),
        ("curves", "Curves", values["curves"]),
        *((part.key, part.link, not part.is_after_mistakes) for part in own),
        ("mistakes", "Mistakes", values["mistakes"]),
        *((part.key, part.link, part.is_after_mistakes) for part in own),
        ("trained", "Trained", values["table"]),
        ("data", "Data", values["data"]),
        ("run", "Run", values["has_run"]),
    ]
    return [(key, text) for key, text, is_there in every if is_there]


def _tiles(report: Report) -> list[Tile]:
    """The headline numbers."""
    split, metrics = report.main_split()
    said, tiles = evaluators.wording_for(metrics), list[Tile]()
    if metrics:
        bounds = metrics.intervals.get(said.metric)
        value = said.value(metrics.scores.get(said.metric))
        tiles.append(Tile(f"{split} {said.title}", value, _interval(bounds, said.value)))
    found = sentences.transfer_gain(report)
    gain = found.gains.get(said.metric) if found else None
    if gain:
        unit = "points " if said.is_share else ""
        interval = _interval(gain.interval, said.change) or "no interval"
        tiles.append(Tile("transfer gain", said.change(gain.difference), f"{unit}({interval})"))
    tiles += _more_tiles(metrics or SplitMetrics({}), said)
    total_s, train_s = report.time_s.get("total"), report.time_s.get("train")
    if total_s is not None:
        training = f"training {seconds_text(train_s)}" if train_s else ""
        tiles.append(Tile("time", seconds_text(total_s), training))
    return tiles


def _more_tiles(metrics: SplitMetrics, said: Wording) -> list[Tile]:
    tiles = []
    for tile in said.tiles:
        value = metrics.scores.get(tile.metric)
        if value is not None and tile.is_shown(metrics):
            text = functools.partial(said.text, tile.metric)
            bounds = _interval(metrics.intervals.get(tile.metric), text)
            tiles.append(
                Tile(tile.title, text(value), tile.detail.format(**metrics.scores) or bounds)
            )
    return tiles


def _interval(bounds: Sequence[float] | None, text: Callable[[float], str]) -> str:
    return f"{text(bounds[0])} to {text(bounds[1])}" if bounds else ""


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tltf.evaluation.report", "templates"),
        autoescape=lambda name: (name or "").endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
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
        "data_facts": _data_facts,
        "row_text": _row_text,
        "shortened": _shortened,
        "md": _markdown,
        "row": _markdown_row,
        "rules": _markdown_rules,
        "picked": lambda row, keys: [row.get(key) for key in keys],
    }
    return environment


def _data_facts(data: DataSummary) -> list[tuple[str, str]]:
    """`(name, text)`: where the data come from, and how their rows were counted."""
    facts = [("source", data.source), ("split", data.split or "")]
    counts = [(name, getattr(data.scan, name)) for name in ("found", "used", "skipped", "excluded")]
    return [
        *((name, text) for name, text in facts if text),
        *((name, _cell_text(count)) for name, count in counts),
    ]


def _cell_text(value: object) -> str:
    if value is None:
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


def _markdown_rules(columns: Sequence[Column]) -> list[str]:
    """The line below the titles of columns, by which numbers are flush right."""
    return ["---:" if column.holds in NUMBER_COLUMNS else "---" for column in columns]


def _markdown_row(cells: Sequence[object], escape: bool = True) -> str:
    texts = map(_cell_text, cells)
    return f"| {' | '.join(map(_markdown, texts) if escape else texts)} |"
