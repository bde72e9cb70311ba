"""Writes the report of a run: report.json for scripts, report.md and report.html for people."""

import contextlib
import dataclasses
import functools
import json
import math
import numbers
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import jinja2
import markupsafe
import numpy as np

from tltf.console.progress import seconds_text
from tltf.evaluation import evaluators
from tltf.evaluation.report import (
    examples,
    folds,
    learning,
    markdown,
    naming,
    next_steps,
    run_facts,
    sentences,
    verdict,
    wording,
)
from tltf.evaluation.report.report import DataSummary, Report
from tltf.evaluation.report.sections import Section
from tltf.evaluation.report.wording import Wording
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.files import atomic_files
from tltf.runs import layout

MAX_TEXT = 2000
LINE = 48
"""Letters of a line of a text in its card, about."""
MAX_ROWS = 50
"""Skipped and excluded rows that a report names; the others are counted."""


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
    content = plain(_shortened_report(report).to_json())
    public = Report.from_json(naming.hide_folders(content))
    values = _values(public, plain(list(history)), report)
    page, text = (render(f"report.{kind}.jinja", values) for kind in ("html", "md"))
    _write_together(
        folder,
        {
            layout.REPORT_JSON: json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
            + "\n",
            layout.REPORT_MARKDOWN: re.sub(r"\n{3,}", "\n\n", text),
            layout.REPORT_HTML: page,
        },
    )


def render(template: str, values: dict[str, Any]) -> str:
    """The text of a template.

    Args:
        template: its file, among the templates of reports.
        values: by name, all that it uses.
    """
    return _environment().get_template(template).render(values)


def _shortened_report(report: Report) -> Report:
    """The report with the first of the rows that were not used, and with the starts of texts."""
    data = report.data and report.data.shortened(MAX_ROWS)
    return examples.shorten(dataclasses.replace(report, data=data), MAX_TEXT, _shortened)


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


def _values(report: Report, history: Sequence[dict[str, Any]], pictured: Report) -> dict[str, Any]:
    """The values that fill both templates, by name.

    Args:
        report: as report.json holds it.
        history: a dict per epoch.
        pictured: the same report, with the images of its examples.
    """
    split, found = report.main_split()
    metrics, said = found or SplitMetrics({}), evaluators.wording_for(found)
    own = evaluators.evaluator_of(metrics).sections(metrics, split)
    values = {
        "report": report,
        "data": report.data,
        "title": naming.title(report),
        "chips": naming.chips(report),
        "split": split,
        "has_metrics": found is not None,
        "tiles": _tiles(report),
        "verdict": verdict.verdict(report),
        "sentences": sentences.sentences(report),
        "said": said,
        "comparison": sentences.comparison(report),
        "comparison_title": sentences.comparison_title(report),
        "balance": sentences.balance(report.data or DataSummary()),
        "scalars": _scalars(metrics, said),
        "curves": learning.curves(report, history),
        "next_steps": next_steps.next_steps(report, history),
        "learning_sentences": list(learning.sentences(report, history)),
        "page_sections": [section for section in own if section.blocks],
        "text_sections": [section for section in own if section.table],
        "histories": _histories(history),
        "mistakes": examples.with_pictures(report.worst_mistakes, pictured.worst_mistakes),
        "borderline": examples.with_pictures(
            report.borderline, pictured.borderline, examples.SMALL_PX
        ),
        "confused": examples.shown_pairs(report.confused, pictured.confused),
        "sample_groups": examples.shown_groups(pictured.samples),
        "fold_rows": folds.rows(report.folds or (), said, layout.REPORT_HTML),
        "interval_note": folds.INTERVAL_NOTE,
        "typed": report.facts.typed if report.facts else "",
        "fact_rows": run_facts.facts_rows(report.facts),
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


def _links(values: dict[str, Any]) -> list[tuple[str, str]]:
    """`(key, text)` of the sections of the page, in their order."""
    own: list[Section] = values["page_sections"]
    every = [
        ("next", "Next", values["next_steps"]),
        ("folds", "Folds", values["fold_rows"]),
        ("comparison", "Baselines", values["has_metrics"]),
        ("curves", "Curves", values["curves"]),
        *((part.key, part.link, not part.is_after_mistakes) for part in own),
        ("pairs", "Pairs", values["confused"]),
        ("mistakes", "Mistakes", values["mistakes"]),
        ("borderline", "Borderline", values["borderline"]),
        *((part.key, part.link, part.is_after_mistakes) for part in own),
        ("seen", "Samples", values["sample_groups"]),
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
        name, detail = f"{split} {said.title}", _interval(bounds, said.value)
        if report.folds:
            name = f"mean {said.title} of {len(report.folds)} folds"
            detail = f"{folds.deviation_text(report.folds, said)} (standard deviation)"
        tiles.append(Tile(name, value, detail))
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
        "cell_text": wording.cell_text,
        "data_facts": _data_facts,
        "row_text": _row_text,
        "shortened": _shortened,
        "marked_text": examples.marked_text,
        "md": markdown.escape,
        "row": markdown.row,
        "rules": markdown.rules_of_columns,
        "rules_of_values": markdown.rules_of_values,
        "picked": lambda rows, keys: [[row.get(key) for key in keys] for row in rows],
        "trained_text": sentences.trained_text,
        "file_name": naming.file_name,
        "breakable": _breakable,
        "command": _command,
        "taller_than": _is_taller,
    }
    return environment


def _data_facts(data: DataSummary) -> list[tuple[str, str]]:
    """`(name, text)`: where the data come from, and how their rows were counted."""
    facts = [("source", data.source), ("split", data.split or "")]
    counts = [(name, getattr(data.scan, name)) for name in ("found", "used", "skipped", "excluded")]
    return [
        *((name, text) for name, text in facts if text),
        *((name, wording.cell_text(count)) for name, count in counts),
    ]


def _row_text(row: dict[str, str]) -> str:
    if not isinstance(row, dict):
        return str(row)
    return "; ".join(f"{key}: {wording.cell_text(value)}" for key, value in row.items())


def _is_taller(text: str, num_lines: int) -> bool:
    """Whether a text of a card takes more lines; a line is taken to hold LINE letters."""
    return sum(1 + len(line) // LINE for line in text.splitlines()) > num_lines


def _breakable(name: str) -> markupsafe.Markup:
    """HTML of a name that may be broken behind its marks, and nowhere else."""
    return markupsafe.Markup(re.sub(r"(?<=[_\- ])(?=\w)", "<wbr>", str(markupsafe.escape(name))))


def _command(text: str) -> markupsafe.Markup:
    """HTML of a command, of which no flag is broken behind a hyphen."""
    flag = re.compile(r"(?<=\s)((?:&#39;)?--\S+)")
    return markupsafe.Markup(flag.sub(r"<span>\1</span>", str(markupsafe.escape(text))))


def _shortened(text: str, length: int) -> str:
    text = str(text)
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
