"""Plots of probabilities: whether they can be believed, and what all thresholds on them come to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tltf.evaluation import bootstrap
from tltf.evaluation.reliability import ReliabilityBin
from tltf.evaluation.report import plots
from tltf.evaluation.report.plots import BAD, FIRST, INK, MUTED
from tltf.evaluation.report.wording import count_of, percent

PALEST = 0.25
"""Opacity of the bar of a group of hardly any examples; that of the largest group is 0.9."""


def reliability(groups: Sequence[ReliabilityBin], title: str) -> str:
    """The reliability diagram: the share that is right over the probability that is stated.

    Bars are paler where they stand for fewer examples, have Wilson's interval at the probability that
    is stated on average, and say their numbers on hover.

    Args:
        groups: with examples each, as `reliability.merged_bins` gives them.
        title: shown above, and to screen readers.

    Returns:
        str: an `<svg>` element.
    """
    most = max(row.count for row in groups)
    tips: dict[str, str] = {}

    def fill(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="ideal")
        for place, row in enumerate(groups):
            share, stated = row.accuracy or 0.0, row.confidence or 0.0
            right = round(share * row.count)
            low, high = bootstrap.share_interval(right, row.count, bootstrap.CONFIDENCE)
            strength = PALEST + (0.9 - PALEST) * (row.count / most) ** 0.5
            width = row.high - row.low
            bar = axes.bar(row.low, share, width * 0.94, align="edge", color=FIRST, alpha=strength)
            axes.plot([stated, stated], [low, high], color=INK, linewidth=1.4)
            tips[f"bar-{place}"] = (
                f"{count_of(row.count, 'answer')} with a stated probability of {percent(stated)} on "
                f"average: {percent(share)} right ({percent(low)} to {percent(high)})"
            )
            bar.patches[0].set_gid(f"bar-{place}")
        axes.set(xlabel="stated probability", ylabel="share that is right")
        axes.set(xlim=(0, 1), ylim=(0, 1.03))

    return plots.draw(title, fill, tips=tips)


def coverage_accuracy(
    points: Sequence[Sequence[float]], title: str, mark: tuple[float, float] | None
) -> str:
    """How often the answers are right over the share of the examples that are answered.

    Args:
        points: [coverage, accuracy], each 0..1, rising coverage.
        title: shown above, and to screen readers.
        mark: (coverage, accuracy) that the model has, which is marked; None for none.
    """
    x, y = np.array(points, float).T

    def fill(axes: Any) -> None:
        axes.plot(x, y, color=FIRST)
        lowest = min([*y.tolist(), *([mark[1]] if mark else [])])
        if mark:
            axes.plot(*mark, color=BAD, marker="o", markersize=7, linestyle="")
        axes.set(xlabel="share of the examples that are answered", ylabel="share that is right")
        room = max(0.02, (1 - lowest) * 0.15)
        axes.set(xlim=(-0.01, 1.02), ylim=(max(0.0, lowest - room), 1 + room / 3))

    return plots.draw(title, fill, 5.4, 4.2)


def roc(points: Sequence[Sequence[float]], title: str) -> str:
    """The ROC curve: how many positive rows are found at each rate of false alarms.

    Args:
        points: [false positive rate, true positive rate], rising.
        title: shown above, and to screen readers.
    """
    x, y = np.array(points, float).T

    def fill(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
        axes.plot(x, y, color=FIRST)
        axes.set(xlabel="share of negative rows with a false alarm", ylabel="recall")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))

    return plots.draw(title, fill, 5.4, 4.2)


def precision_recall(points: Sequence[Sequence[float]], title: str, share: float) -> str:
    """Precision over recall; a dashed line is the precision of answering positive always.

    Args:
        points: [recall, precision], recall falling.
        title: shown above, and to screen readers.
        share: of the rows that are positive, 0..1.
    """
    x, y = np.array(points, float).T

    def fill(axes: Any) -> None:
        axes.axhline(share, color=MUTED, linestyle="--", linewidth=1)
        axes.step(x, y, where="post", color=FIRST)
        axes.set(xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))

    return plots.draw(title, fill, 5.4, 4.2)


def precision_recall_of_each(
    curves: Mapping[str, Sequence[Sequence[float]]],
    marks: Mapping[str, tuple[float, float]],
    title: str,
) -> str:
    """Precision over recall of several labels, a small plot for each.

    Args:
        curves: label -> [recall, precision], recall falling.
        marks: label -> (recall, precision) of its threshold, which is marked.
        title: to screen readers.
    """
    names = list(curves)
    num_columns = min(4, len(names))
    num_rows = -(-len(names) // num_columns)

    def fill(grid: Sequence[Any]) -> None:
        for axes, name in zip(grid, names, strict=False):
            x, y = np.array(curves[name], float).T
            axes.step(x, y, where="post", color=FIRST, linewidth=1.5)
            axes.plot(*marks[name], color=BAD, marker="o", markersize=4, linestyle="")
            axes.set_title(plots.shortened(name, 20), loc="left", fontsize=9)
            axes.tick_params(labelsize=7)
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.06), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        for place, axes in enumerate(grid):
            axes.set_visible(place < len(names))
            if place % num_columns == 0:
                axes.set_ylabel("precision", fontsize=8)
            if place + num_columns >= len(names):
                axes.set_xlabel("recall", fontsize=8)

    return plots.draw_grid(title, fill, num_rows, num_columns)
