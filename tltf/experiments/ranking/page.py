"""A ranking of networks as a page for people, as JSON, and as the lines of a terminal."""

import json
import math
import pathlib
import shlex
from typing import Any

from tltf.console import lines
from tltf.evaluation.report import plots, templating, writer
from tltf.evaluation.report.sections import NAME, NUMBER, Column, Row, Table
from tltf.evaluation.report.wording import NOTHING, count_of, percent
from tltf.experiments.ranking.ranking import TITLES, Ranking, name_of
from tltf.files import atomic_files
from tltf.runs import layout

SHARES = ("probe", "nearest")
"""Scores that are accuracies."""
PREDICTS = (
    "Over seven networks on four sets of pictures, the mean of two seeds, the weighted Kendall tau between a score and the accuracy "
    "after fine-tuning was .63 for the light head, .68 for the nearest 5, .59 for LogME and .52 for the H-score; on one seed "
    "alone they were .3 to .6. All four named the best network on at least three of the sets. LEEP and NCE were below 0. Take "
    "the first two or three networks into full runs."
)
"""What tools/rank_gate.py has found; docs/measured.md has the table."""


def write(found: Ranking, folder: pathlib.Path) -> pathlib.Path:
    """Writes `ranking.html` and `ranking.json` into a folder, and returns the page's path.

    Raises:
        StorageError: a file cannot be written.
    """
    content = writer.plain(found.to_json())
    page = templating.render("ranking.html.jinja", _values(found))
    path = folder / layout.RANKING_HTML
    with atomic_files.replace_file(folder / layout.RANKING_JSON) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    with atomic_files.replace_file(path) as file:
        file.write(page)
    return path


def _values(found: Ranking) -> dict[str, Any]:
    """The values that fill the template, by name."""
    return {
        "title": f"Networks for {found.data}",
        "about": about(found),
        "table": table(found),
        "picture": picture(found),
        "notes": found.notes,
        "predicts": PREDICTS,
        "command": train_command(found),
        "sort_by": TITLES[found.sort_by],
    }


def about(found: Ranking) -> str:
    """What was looked at, in a sentence."""
    rows, networks = count_of(found.num_rows, "training row"), len(found.networks)
    places = f"{networks} networks or places in one" if networks > 1 else "1 network"
    return f"{places} on {rows} of {found.num_classes:,} classes, none of them trained."


def table(found: Ranking) -> Table:
    """A row per network with its scores and its cost."""
    columns = [Column("network", NAME), *(Column(title, NUMBER) for title in TITLES.values())]
    columns += [Column(title, NUMBER) for title in ("ms an example", "numbers", "features")]
    rows = [
        Row(
            [
                name_of(one.candidate),
                *(score_text(name, one.scores.get(name, math.nan)) for name in TITLES),
                f"{one.ms_per_example:.1f}",
                lines.amount_text(one.num_parameters),
                f"{one.num_features:,}",
                one.licence or NOTHING,
            ]
        )
        for one in found.networks
    ]
    return Table([*columns, Column("licence")], rows)


def score_text(name: str, value: float) -> str:
    """A score as text; accuracies in percent."""
    if math.isnan(value):
        return NOTHING
    return percent(value) if name in SHARES else f"{value:.3f}"


def picture(found: Ranking) -> str:
    """The score that orders the networks against their cost, as SVG; empty for one network."""
    if len(found.networks) < 2:
        return ""

    def fill(axes: Any) -> None:
        for place, one in enumerate(found.networks):
            at = one.ms_per_example, one.scores[found.sort_by]
            colour = plots.SERIES[place % len(plots.SERIES)]
            axes.plot(*at, "o", color=colour, markersize=7)
            axes.annotate(
                plots.shortened(name_of(one.candidate), 34),
                at,
                xytext=(6, 4),
                textcoords="offset points",
                color=plots.INK,
                fontsize=9,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.margins(x=0.35, y=0.15)
        axes.set_xlabel("milliseconds an example")
        axes.set_ylabel(TITLES[found.sort_by])

    return plots.draw(f"{TITLES[found.sort_by]} against cost", fill, 7.2, 4.2)


def train_command(found: Ranking) -> str:
    """The command that trains the first network."""
    flags = [f"--{name}={value}" for name, value in found.networks[0].candidate.flags.items()]
    data = f"--data={found.data}"
    return shlex.join(["python", "-m", "tltf.train", data, *flags, "--output=NEW"])


def terminal_text(found: Ranking, path: pathlib.Path | None) -> str:
    """What the command prints: the table, what other scores say, and how to go on."""
    shown = table(found)
    rows = [[column.title for column in shown.columns]]
    rows += [[str(cell) for cell in row.cells] for row in shown.rows]
    text = [*lines.wrap("ranked", about(found)), "", *lines.align(rows), ""]
    for note in found.notes:
        text += lines.wrap("note", note)
    text.append(f"{'train':<{lines.NAME}} {train_command(found)}")
    if path:
        text.append(f"{'page':<{lines.NAME}} {path}")
    return "\n".join(text)
