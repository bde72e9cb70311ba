"""An advice as a page for people, as JSON, as a flagfile for each run of its plan, and as the lines of a terminal."""

import json
import pathlib
import shlex
from typing import Any

import numpy as np

from tltf.config import flagfiles
from tltf.config.options import Options, flag_values
from tltf.console import lines
from tltf.console.progress import seconds_text
from tltf.evaluation.report import plots, templating, writer
from tltf.evaluation.report.sections import NAME, NUMBER, Column, Row, Table
from tltf.evaluation.report.wording import NOTHING, count_of, percent, points
from tltf.experiments.advice import plan
from tltf.experiments.advice.advising import Advice, curve_text
from tltf.experiments.advice.trials import TriedNetwork
from tltf.files import atomic_files
from tltf.runs import layout

JUDGED = (
    "Accuracies are those of a light head (ridge regression) on rows that it was neither fitted nor chosen on, "
    "in five folds of training rows. No test and no validation row was looked at. Fine-tuning moves them: whether "
    "it keeps the first place was measured on four sets of pictures, with the tuned head of tltf.rank."
)
MOST_CLASSES = 12


def write(found: Advice, folder: pathlib.Path) -> pathlib.Path:
    """Writes advice.html, advice.json and a flagfile for each run of the plan; returns the page's path.

    Raises:
        StorageError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, run in enumerate(found.plan, 1):
        name = layout.planned_flags(number)
        head = [
            f"python -m tltf.train --flagfile={name} --output=NEW",
            *run.why,
            f"Expected time here: {seconds_text(run.expected_s)}.",
        ]
        flagfiles.write_given(folder / name, run.options(found.options), head)
    page = templating.render("advice.html.jinja", _values(found, folder))
    write_json(folder / layout.ADVICE_JSON, writer.plain(found.to_json()))
    with atomic_files.replace_file(folder / layout.ADVICE_HTML) as file:
        file.write(page)
    return folder / layout.ADVICE_HTML


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes advice.json, whole or not at all."""
    with atomic_files.replace_file(path) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def _values(found: Advice, folder: pathlib.Path) -> dict[str, Any]:
    """The values that fill the template, by name."""
    return {
        "title": f"Advice for {found.data}",
        "facts": facts_table(found),
        "warnings": found.warnings,
        "plan": plan_table(found),
        "reasons": [(number, run.why) for number, run in enumerate(found.plan, 1)],
        "time_text": plan.TIME_TEXT,
        "command": command(found, 1, folder),
        "networks": networks_table(found),
        "opponents": opponents_table(found) if found.opponents else None,
        "judged": JUDGED,
        "looked_at": count_of(found.num_looked_at, "training row"),
        "has_distance": any(one.distance is not None for one in found.networks),
        "curve": curve_picture(found),
        "curve_text": curve_text(found),
        "notes": found.notes,
        "seconds": found.seconds,
    }


def facts_table(found: Advice) -> Table:
    """What is known of the data without a network."""
    return Table(
        [Column("what", NAME), Column("")], [Row(list(line)) for line in found.facts.lines]
    )


def plan_table(found: Advice) -> Table:
    """A row per run of the plan."""
    columns = [
        Column("#", NAME),
        Column("network"),
        Column("method"),
        Column("expected time", NUMBER),
    ]
    rows = [
        Row([str(number), run.network.name, run.method, seconds_text(run.expected_s)])
        for number, run in enumerate(found.plan, 1)
    ]
    return Table(
        [*columns, Column("flags")],
        [Row([*row.cells, layout.planned_flags(number)]) for number, row in enumerate(rows, 1)],
    )


def networks_table(found: Advice) -> Table:
    """A row per network that was tried."""
    titles = ("light head", "below the best", "ms an example", "numbers", "features", "distance")
    columns = [Column("network", NAME), *(Column(title, NUMBER) for title in titles)]
    rows = [Row([*_cells(one), one.licence or NOTHING]) for one in found.networks]
    return Table([*columns, Column("licence")], rows)


def _cells(one: TriedNetwork) -> list[str]:
    gap = one.below_best
    below = (
        NOTHING if gap is None else f"{points(gap.value)} ({points(gap.low)} to {points(gap.high)})"
    )
    return [
        one.name,
        percent(one.accuracy),
        below,
        f"{one.ms_per_example:.2g}",
        lines.amount_text(one.num_parameters),
        f"{one.num_features:,}",
        NOTHING if one.distance is None else f"{one.distance:.2f}",
    ]


def opponents_table(found: Advice) -> Table:
    """What the best network must beat."""
    columns = [
        Column("opponent", NAME),
        Column("accuracy", NUMBER),
        Column("the best network beside it", NUMBER),
    ]
    rows = []
    for one in found.opponents:
        gain = (
            f"{points(one.gain.value)} points ({points(one.gain.low)} to {points(one.gain.high)})"
        )
        rows.append(Row([one.title, percent(one.accuracy), gain]))
    return Table(columns, rows)


def curve_picture(found: Advice) -> str:
    """The measured points with the fitted law, up to twice the training rows, as SVG; empty without points."""
    curve, num_train = found.curve, found.facts.num_train
    if not curve.points:
        return ""
    sizes = [point.num_rows for point in curve.points]

    def fill(axes: Any) -> None:
        if curve.law is not None:
            reach = np.geomspace(sizes[0], 2 * num_train, 60)
            expected = [curve.accuracy(size) for size in reach]
            known = [one for one in expected if one is not None]
            low, high = ([100 * getattr(one, end) for one in known] for end in ("low", "high"))
            axes.fill_between(reach, low, high, color=plots.FIRST, alpha=0.15, linewidth=0)
            is_in = reach <= sizes[-1]
            values = np.array([100 * one.value for one in known])
            axes.plot(reach[is_in], values[is_in], color=plots.FIRST)
            axes.plot(reach[~is_in], values[~is_in], color=plots.FIRST, linestyle="--")
            axes.axvline(num_train, color=plots.MUTED, linewidth=1)
            axes.annotate(
                f"all {num_train:,}",
                (num_train, axes.get_ylim()[0]),
                xytext=(-4, 6),
                textcoords="offset points",
                ha="right",
                color=plots.MUTED,
                fontsize=9,
            )
        means, errors = ([100 * value for value in column] for column in _columns(found))
        axes.errorbar(sizes, means, yerr=errors, fmt="o", color=plots.INK, markersize=5, capsize=3)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.set_xlabel("training rows")
        axes.set_ylabel("accuracy of a light head, %")

    return plots.draw(f"Learning curve of {found.networks[0].name}", fill, 7.2, 4.2)


def _columns(found: Advice) -> tuple[list[float], list[float]]:
    """The means of the points, and twice their standard errors."""
    shown = found.curve.points
    return [point.mean for point in shown], [2 * point.error for point in shown]


def command(found: Advice, number: int, folder: pathlib.Path | None) -> str:
    """The command that trains a run of the plan."""
    start = ["python", "-m", "tltf.train"]
    if folder:
        name = str(folder / layout.planned_flags(number))
        return shlex.join([*start, f"--flagfile={name}", "--output=NEW"])
    usual = flag_values(Options())
    given = flag_values(found.plan[number - 1].options(found.options))
    own = {n: v for n, v in given.items() if v != usual[n] and n not in ("output", "quiet")}
    return shlex.join([*start, *flagfiles.texts(own), "--output=NEW"])


def terminal_text(found: Advice, folder: pathlib.Path | None) -> str:
    """What the command prints: the data, the networks, what more labels are worth, and the plan."""
    text = [line for name, fact in found.facts.lines for line in lines.wrap(name, fact)]
    for table in (networks_table(found), *([opponents_table(found)] if found.opponents else [])):
        text += ["", *lines.align(_texts(table))]
    text += ["", *lines.wrap("labels", curve_text(found))]
    for warning in found.warnings:
        text += lines.wrap("warning", warning)
    for note in found.notes:
        text += lines.wrap("note", note)
    text += ["", *lines.align(_texts(plan_table(found) if folder else _without_flags(found)))]
    for number, run in enumerate(found.plan, 1):
        text += lines.wrap(f"plan {number}", " ".join(run.why))
    text += ["", f"{'train':<{lines.NAME}} {command(found, 1, folder)}"]
    if folder:
        text.append(f"{'page':<{lines.NAME}} {folder / layout.ADVICE_HTML}")
    return "\n".join(text)


def _without_flags(found: Advice) -> Table:
    table = plan_table(found)
    return Table(table.columns[:-1], [Row(row.cells[:-1]) for row in table.rows])


def _texts(table: Table) -> list[list[str]]:
    rows = [[column.title for column in table.columns]]
    return rows + [[str(cell) for cell in row.cells] for row in table.rows]
