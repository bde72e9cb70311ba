"""A search as a page for people, as JSON, and as the lines of a terminal."""

import dataclasses
import json
import pathlib
import shlex
from typing import Any

from tltf.config.search_space import kind_text
from tltf.console import lines
from tltf.console.progress import seconds_text
from tltf.evaluation.report import templating, writer
from tltf.evaluation.report.sections import NAME, NUMBER, Column, Row, Table
from tltf.evaluation.report.wording import NOTHING, count_of
from tltf.experiments.search import pictures
from tltf.experiments.search.searching import Search
from tltf.experiments.search.study import SearchPlan
from tltf.experiments.search.trial import COMPLETE, FAILED, PRUNED, UNFINISHED, TrialRow, best_of
from tltf.experiments.search.wording import number_text, score_text, value_text, values_text
from tltf.files import atomic_files
from tltf.runs import layout

SHOWN = 100
"""Trials in the table of the page, the best ones."""


def write(found: Search) -> pathlib.Path:
    """Writes `report.html` and `search.json` into the folder of a search, and returns the page's path.

    Raises:
        StorageError: a file cannot be written.
    """
    page = templating.render("search.html.jinja", _values(found))
    path = found.folder / layout.REPORT_HTML
    with atomic_files.replace_file(found.folder / layout.SEARCH_JSON) as file:
        content = writer.plain(_json(found))
        file.write(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    with atomic_files.replace_file(path) as file:
        file.write(page)
    return path


def _json(found: Search) -> dict[str, Any]:
    return {
        "sampler": found.plan.sampler,
        "pruner": found.plan.pruner,
        "seed": found.plan.seed,
        "best": found.best.number if found.best else None,
        "is_time_spent": found.is_time_spent,
        "importances": found.importances,
        "trials": [dataclasses.asdict(row) for row in found.rows],
    }


def _values(found: Search) -> dict[str, Any]:
    """The values that fill the template, by name."""
    return {
        "title": f"Search on {found.options.data.data}",
        "about": about(found),
        "notes": notes(found),
        "table": table(found),
        "pictures": pictures.draw(found),
        "best": best_text(found),
        "report": report_link(found),
        "command": train_command(found),
        "space": pictures.space_table(found),
    }


def plan_text(plan: SearchPlan) -> str:
    """What a search would do, for --dry_run."""
    rows = [["flag", "searched"], *([name, kind_text(kind)] for name, kind in plan.space.items())]
    what = f"{count_of(plan.num_trials, 'trial')} by {plan.sampler}, pruner {plan.pruner}"
    return "\n".join([*lines.wrap("search", what), "", *lines.align(rows)])


def about(found: Search) -> str:
    """How many trials there were, how they ended, and how long they took, in a sentence or two."""
    counts = {status: sum(row.status == status for row in found.rows) for status in _SAID}
    parts = [f"{count} {_SAID[status]}" for status, count in counts.items() if count]
    total = sum(row.seconds for row in found.rows)
    text = f"{count_of(len(found.rows), 'trial')} by {found.plan.sampler.replace('_', '-').upper()}"
    ended = f": {', '.join(parts)}" if parts else ""
    return f"{text}{ended}. Together they ran for {seconds_text(total)}."


_SAID = {
    COMPLETE: "complete",
    PRUNED: "given up early",
    FAILED: "failed",
    UNFINISHED: "not finished",
}


def best_text(found: Search) -> str:
    """Which trial is the best, and on how many rows that rests."""
    best = found.best
    if best is None or best.score is None:
        return "No trial is complete."
    rows = count_of(best.score.num_rows, "validation row")
    return (
        f"Trial {best.number} is the best: {score_text(best.score)} on {rows}, with "
        f"{values_text(best.values)}."
    )


def notes(found: Search) -> list[str]:
    """What a reader must know beside the numbers."""
    said = list(found.notes)
    if found.is_time_spent:
        said.append("The time was spent; the same command with more --budget_minutes goes on.")
    if found.are_others_at_work:
        said.append(
            "Other processes still run trials; the last of them writes the report of the best."
        )
    complete = sum(row.is_trained for row in found.rows)
    if repeated := sum(row.same_as is not None for row in found.rows):
        said.append(
            f"{count_of(repeated, 'trial')} would have trained what an earlier one had, with other values of flags that "
            "its method does not look at; its score was taken without a training."
        )
    if complete > 1:
        said.append(
            "The score of the best was chosen among many on the same rows, so it flatters; its report "
            "has the test rows, which no trial was chosen by."
        )
    if 1 < complete < 10 and found.importances:
        said.append(f"Importance rests on {complete} complete trials, which is few.")
    return said


def table(found: Search) -> Table:
    """A row per trial, the best first, then those without a score."""
    names = list(found.space)
    metric = next((row.score.metric for row in found.rows if row.score), "score")
    columns = [Column("trial", NAME), Column(metric.replace("_", " "), NUMBER)]
    columns += [Column(name) for name in names]
    columns += [Column("steps", NUMBER), Column("time", NUMBER), Column("how it ended")]
    ordered = best_of(found.rows, len(found.rows))
    ordered += [row for row in found.rows if not row.is_trained]
    return Table(columns, [Row(_cells(row, names)) for row in ordered[:SHOWN]])


def _cells(row: TrialRow, names: list[str]) -> list[str]:
    score = number_text(row.score.value, row.score.metric) if row.score else NOTHING
    values = [value_text(row.values[name]) if name in row.values else NOTHING for name in names]
    ended = row.reason or _SAID[row.status]
    if row.same_as is not None:
        ended = f"the same training as trial {row.same_as}"
    steps = str(len(row.curve)) if row.curve else NOTHING
    return [str(row.number), score, *values, steps, seconds_text(row.seconds), ended]


def report_link(found: Search) -> str:
    """The path of the best trial's report from the page; empty where there is none."""
    if found.best is None:
        return ""
    path = layout.trial_folder(found.folder, found.best.number) / layout.REPORT_HTML
    return str(path.relative_to(found.folder)) if path.exists() else ""


def train_command(found: Search) -> str:
    """The command that trains the best configuration; empty where there is none."""
    if found.best is None:
        return ""
    flags = found.folder / layout.BEST_FLAGS
    return shlex.join(["python", "-m", "tltf.train", f"--flagfile={flags}", "--output=NEW"])


def terminal_text(found: Search, path: pathlib.Path) -> str:
    """What the command prints last."""
    text = [*lines.wrap("searched", about(found)), *lines.wrap("best", best_text(found))]
    for note in notes(found):
        text += lines.wrap("note", note)
    if found.best is not None:
        text.append(f"{'train':<{lines.NAME}} {train_command(found)}")
    if link := report_link(found):
        text.append(f"{'report':<{lines.NAME}} {found.folder / link}")
    if (found.folder / layout.RETRAINED / layout.REPORT_HTML).exists():
        text.append(f"{'retrained':<{lines.NAME}} {found.folder / layout.RETRAINED}")
    text.append(f"{'page':<{lines.NAME}} {path}")
    return "\n".join(text)
