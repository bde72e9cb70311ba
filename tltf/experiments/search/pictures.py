"""The pictures of a search: its history, which flags matter, and what each trial tried."""

import math
from collections.abc import Sequence
from typing import Any

from tltf.config.flag_fields import FlagValue
from tltf.config.search_space import Choice, Kind, kind_text
from tltf.evaluation.report import plots
from tltf.evaluation.report.sections import NAME, NUMBER, Column, Row, Table
from tltf.evaluation.report.wording import NOTHING, percent
from tltf.experiments.search.searching import Search
from tltf.experiments.search.trial import PRUNED, TrialRow, best_of
from tltf.experiments.search.wording import SHARES, number_text, value_text

LONGEST = 16
"""Letters of a value at an axis."""
TOP = 0.25
"""The share of trials that are drawn in colour."""


def draw(found: Search) -> list[str]:
    """The pictures as SVG, without those that too few trials have."""
    complete = [row for row in found.rows if row.score]
    if len(complete) < 2:
        return []
    made = [history(found), importance(found) if found.importances else ""]
    made.append(parallel_coordinates(found))
    return [picture for picture in made if picture]


def history(found: Search) -> str:
    """The score of each trial in their order, and the best so far."""
    complete = [(row, row.score) for row in found.rows if row.score]
    metric = complete[0][1].metric

    def fill(axes: Any) -> None:
        numbers = [row.number for row, _ in complete]
        values = [score.value for _, score in complete]
        best, line = -math.inf, []
        for _, score in complete:
            best = max(best, score.quality)
            line.append(-best if score.lower_is_better else best)
        axes.step(numbers, line, where="post", color=plots.FIRST, label="best so far")
        axes.plot(numbers, values, "o", color=plots.WARM, markersize=5, label="complete")
        given_up = [row for row in found.rows if row.status == PRUNED and row.curve]
        if given_up:
            sign = -1 if complete[0][1].lower_is_better else 1
            places = [row.number for row in given_up]
            ends = [sign * max(value for _, value in row.curve) for row in given_up]
            axes.plot(places, ends, "x", color=plots.MUTED, markersize=5, label="given up early")
        axes.set_xlabel("trial")
        axes.set_ylabel(metric.replace("_", " "))
        if metric in SHARES:
            axes.yaxis.set_major_formatter(lambda value, _: percent(value))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="best", labelcolor=plots.INK)

    return plots.draw("Score on validation by trial", fill, 5.4, 3.4)


def importance(found: Search) -> str:
    """How much of the differences between trials comes with each flag."""
    shares = sorted(found.importances.items(), key=lambda pair: pair[1])

    def fill(axes: Any) -> None:
        bars = axes.barh(
            [name for name, _ in shares],
            [share for _, share in shares],
            color=plots.FIRST,
            height=0.6,
        )
        axes.bar_label(
            bars, [percent(share) for _, share in shares], padding=4, color=plots.INK, fontsize=9
        )
        axes.set_xlim(0, 1.15 * max(share for _, share in shares))
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("share of the differences between trials")

    return plots.draw("Which flags matter", fill, 5.4, 1.4 + 0.35 * len(shares))


def parallel_coordinates(found: Search) -> str:
    """A line for each complete trial through its values to its score; the best ones are in colour."""
    complete = [row for row in found.rows if row.score]
    names = list(found.space)
    scores = [row.score.quality for row in complete if row.score]
    low, high = min(scores), max(scores)
    if len(complete) < 2 or high == low:
        return ""
    top = {row.number for row in best_of(complete, max(round(TOP * len(complete)), 1))}
    best = best_of(complete)[0].number

    def fill(axes: Any) -> None:
        for row, score in sorted(zip(complete, scores, strict=True), key=lambda pair: pair[1]):
            heights = [_height(found.space[name], row.values[name]) for name in names]
            colour = plots.FIRST if row.number in top else plots.MUTED
            axes.plot(
                range(len(names) + 1),
                [*heights, (score - low) / (high - low)],
                color=plots.WARM if row.number == best else colour,
                linewidth=2.4 if row.number == best else 1.2,
                alpha=1.0 if row.number in top else 0.45,
            )
        for place, name in enumerate(names):
            _mark(axes, place, _ticks(found.space[name]))
        _mark(axes, len(names), _score_ticks(complete, low, high))
        first = complete[0].score
        last = first.metric.replace("_", " ") if first else ""
        axes.set_xticks(range(len(names) + 1), [*names, last])
        axes.set_ylim(-0.06, 1.06)
        axes.set_xlim(-0.15, len(names) + 0.6)
        axes.yaxis.set_visible(False)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)

    title = "What the trials tried: the best in orange, the best quarter in blue"
    return plots.draw(title, fill, min(max(5.4, 1.5 * (len(names) + 1)), 8.2), 4.0)


def _mark(axes: Any, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    """Draws the axis of a flag."""
    axes.axvline(place, color=plots.GRID, linewidth=1.2, zorder=0)
    for height, text in ticks:
        axes.annotate(
            plots.shortened(text, LONGEST),
            (place, height),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=plots.INK,
            fontsize=9,
        )


def _height(kind: Kind, value: FlagValue) -> float:
    """Where a value stands on its axis, 0..1."""
    if isinstance(kind, Choice):
        place = list(kind.values).index(value)
        return place / (len(kind.values) - 1) if len(kind.values) > 1 else 0.5
    number = float(value or 0.0)
    if kind.is_log:
        return math.log(number / kind.low) / math.log(kind.high / kind.low)
    return (number - kind.low) / (kind.high - kind.low)


def _ticks(kind: Kind) -> list[tuple[float, str]]:
    if isinstance(kind, Choice):
        return [(_height(kind, value), value_text(value)) for value in kind.values]
    if kind.is_log:
        first, last = math.ceil(math.log10(kind.low)), math.floor(math.log10(kind.high))
        powers = [10.0**power for power in range(first, last + 1)]
        numbers = sorted({kind.low, *powers, kind.high})
    else:
        numbers = [kind.low, (kind.low + kind.high) / 2, kind.high]
    return [(_height(kind, number), f"{number:g}") for number in numbers]


def _score_ticks(rows: list[TrialRow], low: float, high: float) -> list[tuple[float, str]]:
    first = rows[0].score
    if first is None:
        return []
    sign = -1 if first.lower_is_better else 1
    ends = (low, (low + high) / 2, high)
    return [((end - low) / (high - low), number_text(sign * end, first.metric)) for end in ends]


def space_table(found: Search) -> Table:
    """What was searched, the value of the best trial, and how much each flag matters."""
    columns = [Column("flag", NAME), Column("searched"), Column("best"), Column("matters", NUMBER)]
    rows = []
    for name, kind in found.space.items():
        best = value_text(found.best.values[name]) if found.best else NOTHING
        share = found.importances.get(name)
        rows.append(
            Row([name, kind_text(kind), best, NOTHING if share is None else percent(share)])
        )
    return Table(columns, rows)
