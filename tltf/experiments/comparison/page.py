"""Runs beside each other, as a page for people and as the lines of a terminal."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from tltf.console import lines
from tltf.console.progress import seconds_text
from tltf.evaluation.report import learning, naming, pictures, plots, sentences, templating, writer
from tltf.evaluation.report.learning import CurveGroup
from tltf.evaluation.report.plots import Series
from tltf.evaluation.report.report import Report
from tltf.evaluation.report.run_facts import RunFacts, size_text
from tltf.evaluation.report.sections import NAME, NUMBER, Column, Row, Table
from tltf.evaluation.report.wording import NOTHING, Wording, count_of, number, percent
from tltf.experiments.comparison.comparison import ComparedRun, Comparison
from tltf.experiments.comparison.disagreements import DisagreedRow, Disagreement
from tltf.files import atomic_files
from tltf.runs import layout

PICTURE_PX = 112
"""The longer side of the picture of a row on which runs disagree, at most."""
MOST_TEXT = 1000
"""Characters that are shown of a text."""


def write(found: Comparison, folder: pathlib.Path) -> pathlib.Path:
    """Writes `comparison.html` and `comparison.json` into a folder, and returns the page's path.

    Raises:
        StorageError: a file cannot be written.
    """
    content = writer.plain(found.to_json())
    page = templating.render("comparison.html.jinja", _values(found))
    path = folder / layout.COMPARISON_HTML
    with atomic_files.replace_file(folder / layout.COMPARISON_JSON) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    with atomic_files.replace_file(path) as file:
        file.write(page)
    return path


def _values(found: Comparison) -> dict[str, Any]:
    """The values that fill the template, by name."""
    shown = [(part, _with_pictures(part)) for part in found.disagreements if part.rows]
    titles = [naming.title(row.run.report) for row in found.runs]
    return {
        "title": _joined([row.run.name for row in found.runs]),
        "run_titles": list(zip([row.run.name for row in found.runs], titles, strict=True)),
        "notes": found.notes,
        "first": found.runs[0].run.name,
        "rows": comparison_rows(found),
        "said": found.wording,
        "metrics": metrics_table(found),
        "curves": curves(found),
        "flags": _flags_table(found),
        "costs": costs_table(found),
        "disagreements": shown,
        "most_text": MOST_TEXT,
    }


def _joined(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return f"{', '.join(names[:-1])} and {names[-1]}"


def comparison_rows(found: Comparison) -> list[sentences.ComparisonRow]:
    """A row per run with the headline metric and its difference from the first run."""
    said, rows = found.wording, []
    for place, row in enumerate(found.runs):
        name = "model" if place == 0 else row.run.name
        gain = row.gain.gains.get(said.metric) if row.gain else None
        rows.append(sentences.comparison_row(name, row.run.name, row.metrics, said, gain=gain))
    return sentences.with_bars(rows, said)


def metrics_table(found: Comparison) -> Table:
    """Every metric of each run, with its paired difference from the first one."""
    said, rows = found.wording, []
    for name in said.scalars:
        values = [row.metrics.scores.get(name) for row in found.runs]
        if name == "num_examples" or all(value is None for value in values):
            continue
        cells = [
            _cell(said, name, value, row) for value, row in zip(values, found.runs, strict=True)
        ]
        rows.append(Row([sentences.words(name), *cells]))
    return Table([Column("metric", NAME), *_run_columns(found)], rows)


def _run_columns(found: Comparison) -> list[Column]:
    return [Column(row.run.name, NUMBER) for row in found.runs]


def _cell(said: Wording, name: str, value: float | None, row: ComparedRun) -> str:
    """`81.2%, +1.4 (+0.2 to +2.6)`: a metric and its difference."""
    text = said.text(name, value)
    gain = row.gain.gains.get(name) if row.gain else None
    if gain is None:
        return text
    return f"{text}, {said.difference(name, gain)}"


def curves(found: Comparison) -> list[CurveGroup]:
    """The learning curves of all runs laid over each other: over penalties, and over epochs."""
    said, groups = found.wording, []
    for rows_of, axis, title in (
        (learning.penalties_of, "penalty", "Choosing the penalty of the solved head"),
        (learning.epochs_of, "epoch", "Training in epochs"),
    ):
        histories = [rows_of(row.run.history) for row in found.runs]
        if all(len(history) < 2 for history in histories):
            continue
        every = {line["penalty"] for rows in histories for line in rows if "penalty" in line}
        penalties = sorted(every)
        metric = next(filter(None, (learning.metric_name(rows, said) for rows in histories)), "")
        svgs = []
        for name in filter(None, ["loss", metric]):
            series = list(_series(found, histories, name, penalties))
            if series:
                title_of = f"Validation {sentences.words(name)} by {axis}"
                names = [f"{penalty:g}" for penalty in penalties]
                svgs.append(plots.overlay(series, title_of, axis, names))
        groups.append(CurveGroup(title, svgs))
    return [group for group in groups if group.svgs]


def _series(
    found: Comparison,
    histories: Sequence[Sequence[dict[str, Any]]],
    name: str,
    penalties: Sequence[float],
) -> Iterator[Series]:
    """The curve of each run that has values; of training rows where it has no validation.

    It is over the places of its penalties among all, and over the numbers of its epochs without them.
    """
    for place, (row, history) in enumerate(zip(found.runs, histories, strict=True)):
        for key, note in ((f"val_{name}", ""), (name, " (training)")):
            known = [
                (float(penalties.index(line["penalty"]) if penalties else index), float(line[key]))
                for index, line in enumerate(history, 1)
                if line.get(key) is not None
            ]
            if known:
                yield Series(row.run.name + note, sorted(known), place)
                break


def _flags_table(found: Comparison) -> Table | None:
    rows = [Row([f"--{name}", *texts]) for name, texts in found.flags.items()]
    columns = [Column("flag", NAME), *(Column(row.run.name) for row in found.runs)]
    return Table(columns, rows) if rows else None


def costs_table(found: Comparison) -> Table:
    """Time, size and trained share of each run; what no run says is left out."""
    columns = [list(_costs(row.run.report)) for row in found.runs]
    rows = []
    for cells in zip(*columns, strict=True):
        texts = [text or NOTHING for _, text in cells]
        if set(texts) != {NOTHING}:
            rows.append(Row([cells[0][0], *texts]))
    return Table([Column("", NAME), *_run_columns(found)], rows)


def _costs(report: Report) -> Iterator[tuple[str, str]]:
    facts, parameters = report.facts or RunFacts(), report.parameters
    for stage in ("total", "train", "evaluate", "export"):
        seconds = report.time_s.get(stage)
        yield f"{stage} time", "" if seconds is None else seconds_text(seconds)
    speed = facts.speed
    yield "time per example", f"{number(speed.ms_per_example)} ms" if speed else ""
    yield "measured on", speed.device if speed else ""
    yield "precision", speed.precision if speed else ""
    yield "numbers in the network", lines.amount_text(parameters.total) if parameters else ""
    share = percent(parameters.trainable / parameters.total, 2) if parameters else ""
    trained = lines.amount_text(parameters.trainable) if parameters else ""
    yield "trained numbers", f"{trained} ({share})" if parameters else ""
    for name, size in (
        ("model size", facts.model_bytes),
        ("export size", facts.export_bytes),
        ("peak memory", facts.peak_memory_bytes),
    ):
        yield name, size_text(size) if size else ""
    yield "processor", f"{facts.machine.cpu}, {facts.machine.cores} cores" if facts.machine else ""


def _with_pictures(part: Disagreement) -> list[tuple[DisagreedRow, str]]:
    """Each row with its picture as a data URI, which is empty without one."""
    return [
        (row, "" if row.image is None else pictures.data_uri(row.image, PICTURE_PX))
        for row in part.rows
    ]


def terminal_text(found: Comparison, page: pathlib.Path) -> str:
    """What the command prints: the table of the runs, what differs, and where the page is."""
    said, text = found.wording, list[str]()
    for note in found.notes:
        text += lines.wrap("rows" if not text else "", note)
    text += ["", *lines.align(_terminal_rows(found)), ""]
    for name, texts in list(found.flags.items()):
        told = "; ".join(
            f"{row.run.name} {value or 'empty'}"
            for row, value in zip(found.runs, texts, strict=True)
        )
        text += lines.wrap("flags" if name == next(iter(found.flags)) else "", f"--{name}: {told}")
    for place, part in enumerate(found.disagreements):
        verb = "is closer than" if said.is_error else "is right and not"
        told = f"{part.better} {verb} {part.other} on {count_of(part.count, 'row')}"
        text += lines.wrap("disagree" if place == 0 else "", told)
    return "\n".join([*text, f"{'page':<{lines.NAME}} {page}"])


def _terminal_rows(found: Comparison) -> list[list[str]]:
    said = found.wording
    has_gains = any(row.gain for row in found.runs)
    head = ["run", said.title, *map(sentences.words, said.columns), "time", "trained"]
    if has_gains:
        head.insert(2, f"from {found.runs[0].run.name}")
    rows = [head]
    for shown, row in zip(comparison_rows(found), found.runs, strict=True):
        bounds = shown.interval
        interval = f" ({said.value(bounds[0])} to {said.value(bounds[1])})" if bounds else ""
        cells = [row.run.name, said.value(shown.value) + interval]
        if has_gains:
            cells.append(said.interval(shown.gain) if shown.gain else "")
        report = row.run.report
        total, parameters = report.time_s.get("total"), report.parameters
        cells += [*shown.cells, seconds_text(total) if total is not None else NOTHING]
        cells.append(lines.amount_text(parameters.trainable) if parameters else NOTHING)
        rows.append(cells)
    return rows
