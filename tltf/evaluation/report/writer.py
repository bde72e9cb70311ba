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
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.console.progress import seconds_text
from tltf.evaluation import evaluators
from tltf.evaluation.report import (
    ensemble_block,
    examples,
    folds,
    format_rows,
    learning,
    naming,
    next_steps,
    run_facts,
    sentences,
    shown_tasks,
    templating,
    tried_block,
    verdict,
)
from tltf.evaluation.report.report import DataSummary, Report
from tltf.evaluation.report.sections import Section
from tltf.evaluation.report.wording import Wording, count_of
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.files import atomic_files
from tltf.runs import layout

MAX_TEXT = 2000
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


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The plots of a report and the images in it; they take most of the time of writing it.

    Args:
        curves: the learning curves.
        sections: those of the members of an ensemble, and of the evaluator of the report's metrics.
        mistakes: the worst mistakes.
        borderline: the right answers of which the model was least sure.
        confused: pairs of confused classes with examples.
        samples: groups of training examples.
    """

    curves: Sequence[learning.CurveGroup]
    sections: Sequence[Section]
    mistakes: Sequence[examples.Shown]
    borderline: Sequence[examples.Shown]
    confused: Sequence[examples.ShownPair]
    samples: Sequence[examples.ShownGroup]


def draw(report: Report, history: Sequence[dict[str, Any]] = ()) -> Pictures:
    """The pictures of a report, for `write`; they do not depend on its `time_s` and `facts`."""
    return _draw(report, _public(_content(report)), plain(list(history)))


def write(
    report: Report,
    folder: pathlib.Path | str,
    *,
    history: Sequence[dict[str, Any]] = (),
    pictures: Pictures | None = None,
) -> None:
    """Writes `report.html`, `report.md` and, last, `report.json` into `folder`.

    Everything is drawn before the first file is written, and each file is written whole.

    Args:
        report: what is written; numpy values are taken, and what is not finite becomes null.
        folder: made where missing.
        history: list of dict, one per epoch, as `metrics_log.read` gives them.
        pictures: what `draw` gave for this report, perhaps with other `time_s` and `facts`; None
            draws them.

    Raises:
        StorageError: a file cannot be written.
    """
    content, epochs = _content(report), plain(list(history))
    public = _public(content)
    values = _values(public, epochs, pictures or _draw(report, public, epochs))
    page, text = (templating.render(f"report.{kind}.jinja", values) for kind in ("html", "md"))
    _write_together(
        folder,
        {
            layout.REPORT_JSON: json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
            + "\n",
            layout.REPORT_MARKDOWN: re.sub(r"\n{3,}", "\n\n", text),
            layout.REPORT_HTML: page,
        },
    )


def _content(report: Report) -> dict[str, Any]:
    """What report.json holds."""
    return plain(_shortened_report(report).to_json())


def _public(content: dict[str, Any]) -> Report:
    """The report of a content, as pages show it: without the folders of the machine."""
    return Report.from_json(naming.hide_folders(content))


def _draw(report: Report, public: Report, history: Sequence[dict[str, Any]]) -> Pictures:
    """The pictures of a report, of which `public` is what pages show."""
    split, found = public.main_split()
    metrics = found or SplitMetrics({})
    return Pictures(
        curves=learning.curves(public, history),
        sections=[
            *_ensemble_sections(public),
            *(tried_block.sections(public.tried) if public.tried else []),
            *evaluators.evaluator_of(metrics).sections(metrics, split),
        ],
        mistakes=examples.with_pictures(public.worst_mistakes, report.worst_mistakes),
        borderline=examples.with_pictures(public.borderline, report.borderline, examples.SMALL_PX),
        confused=examples.shown_pairs(public.confused, report.confused),
        samples=examples.shown_groups(report.samples),
    )


def _ensemble_sections(report: Report) -> list[Section]:
    """The sections about the members of an ensemble; [] for other models."""
    if report.ensemble is None:
        return []
    said = evaluators.wording_for(report.main_split()[1])
    return ensemble_block.sections(report.ensemble, said, is_error=said.is_error)


def _shortened_report(report: Report) -> Report:
    """The report with the first of the rows that were not used, and with the starts of texts."""
    data = report.data and report.data.shortened(MAX_ROWS)
    return examples.shorten(dataclasses.replace(report, data=data), MAX_TEXT, templating.shortened)


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
    report: Report, history: Sequence[dict[str, Any]], pictures: Pictures
) -> dict[str, Any]:
    """The values that fill both templates, by name.

    Args:
        report: as report.json holds it, without the folders of the machine.
        history: a dict per epoch.
        pictures: of this report.
    """
    split, found = report.main_split()
    metrics, said = found or SplitMetrics({}), evaluators.wording_for(found)
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
        "curves": pictures.curves,
        "next_steps": next_steps.next_steps(report, history),
        "learning_sentences": list(learning.sentences(report, history)),
        "page_sections": [section for section in pictures.sections if section.blocks],
        "text_sections": [section for section in pictures.sections if section.table],
        "histories": _histories(history),
        "mistakes": pictures.mistakes,
        "borderline": pictures.borderline,
        "confused": pictures.confused,
        "sample_groups": pictures.samples,
        "fold_rows": folds.rows(report.folds or (), said, layout.REPORT_HTML),
        "round_kind": folds.kind_of(report.round_kind),
        "tasks": shown_tasks.shown(report.tasks, layout.REPORT_HTML),
        "typed": report.facts.typed if report.facts else "",
        "fact_rows": run_facts.facts_rows(report.facts),
        "table": report.trainable_table,
        "formats": format_rows.table(report.formats, said) if report.formats else None,
        "formats_text": format_rows.explanation(report.formats),
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
        ("folds", values["round_kind"].plural.capitalize(), values["fold_rows"]),
        ("tasks", "Tasks", values["tasks"]),
        ("comparison", "Baselines", values["has_metrics"]),
        ("curves", "Curves", values["curves"]),
        *((part.key, part.link, not part.is_after_mistakes) for part in own),
        ("pairs", "Pairs", values["confused"]),
        ("mistakes", "Mistakes", values["mistakes"]),
        ("borderline", "Borderline", values["borderline"]),
        *((part.key, part.link, part.is_after_mistakes) for part in own),
        ("seen", "Samples", values["sample_groups"]),
        ("trained", "Trained", values["table"]),
        ("formats", "Formats", values["formats"]),
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
        name, detail = f"{split} {said.title}", templating.interval_text(bounds, said.value)
        if report.folds:
            name = f"mean {said.title} of {count_of(len(report.folds), folds.kind_of(report.round_kind).noun)}"
            detail = f"{folds.deviation_text(report.folds, said)} (standard deviation)"
        tiles.append(Tile(name, value, detail))
    found = sentences.transfer_gain(report)
    gain = found.gains.get(said.metric) if found else None
    if gain:
        unit = "points " if said.is_share else ""
        interval = templating.interval_text(gain.interval, said.change) or "no interval"
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
            bounds = templating.interval_text(metrics.intervals.get(tile.metric), text)
            tiles.append(
                Tile(tile.title, text(value), tile.detail.format(**metrics.scores) or bounds)
            )
    return tiles
