"""Plots of predicted numbers: answers, errors, and how errors are spread."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.evaluation.report import plots
from tltf.evaluation.report.plots import FIRST, INK, MUTED, SECOND

SMALL = 4.0, 3.4
"""Width and height in inches of a plot of which three stand side by side."""


def scatter(points: Sequence[Sequence[float]], title: str, name: str = "number") -> str:
    """Answers against true numbers, each with its range.

    Args:
        points: list of [number, median, lowest quantile, highest quantile].
        title: shown above, and to screen readers.
        name: what the number is.

    Returns:
        str: an `<svg>` element.
    """
    true, median, low, high = np.array(points, float).T

    def fill(axes: Any) -> None:
        ends = [min(true.min(), median.min()), max(true.max(), median.max())]
        axes.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1)
        strength = 0.55 if len(true) <= 200 else 0.35
        axes.vlines(true, low, high, color=SECOND, linewidth=1.3, alpha=strength)
        axes.scatter(true, median, s=14, color=FIRST, alpha=0.85, linewidths=0, zorder=3)
        axes.set(xlabel=f"true {name}", ylabel="answer, with its quantiles")

    return plots.draw(title, fill)


def residuals(points: Sequence[Sequence[float]], title: str, name: str = "number") -> str:
    """The error of each answer over the answer; see `scatter` for the arguments."""
    true, median = np.array(points, float).T[:2]

    def fill(axes: Any) -> None:
        axes.axhline(0, color=MUTED, linestyle="--", linewidth=1)
        axes.scatter(median, median - true, s=14, color=FIRST, alpha=0.7, linewidths=0)
        axes.set(xlabel=f"predicted {name}", ylabel="answer minus truth")

    return plots.draw(title, fill, *SMALL)


def histogram(edges: Sequence[float], counts: Sequence[int], title: str) -> str:
    """How many answers are off by how much.

    Args:
        edges: K + 1 rising ends of the bars.
        counts: of K bars.
        title: shown above, and to screen readers.
    """
    ends = np.array(edges, float)

    def fill(axes: Any) -> None:
        axes.bar(ends[:-1], counts, np.diff(ends), align="edge", color=FIRST, alpha=0.75)
        axes.axvline(0, color=MUTED, linestyle="--", linewidth=1)
        axes.set(xlabel="answer minus truth", ylabel="examples")
        axes.grid(axis="x", visible=False)

    return plots.draw(title, fill, *SMALL)


def errors_of_groups(
    places: Sequence[float],
    errors: Sequence[float],
    bounds: Sequence[Sequence[float] | None],
    title: str,
    name: str = "number",
) -> str:
    """The mean absolute error of groups of rows with similar true numbers.

    Args:
        places: the middle number of each group.
        errors: of each group.
        bounds: [low, high] of each error, or None.
        title: shown above, and to screen readers.
        name: what the number is.
    """

    def fill(axes: Any) -> None:
        axes.plot(places, errors, color=FIRST, marker="o", markersize=5)
        for place, pair in zip(places, bounds, strict=True):
            if pair:
                axes.plot([place, place], pair, color=INK, linewidth=1.4)
        axes.set(xlabel=f"true {name}", ylabel="mean absolute error")
        axes.set_ylim(bottom=0)

    return plots.draw(title, fill, *SMALL)
