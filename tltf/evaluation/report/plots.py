"""Plots as inline SVG whose colours are the page's: they follow its light and dark mode.

matplotlib draws with marker colours, which become CSS variables in the text of the SVG. Letters
stay text, so that the page's font shows every script that the reader's machine has.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tltf.console import lazy_imports
from tltf.evaluation.reliability import ReliabilityBin

mpl, drawn = lazy_imports.Module("matplotlib"), lazy_imports.Module("matplotlib.figure")
svg = lazy_imports.Module("matplotlib.backends.backend_svg")

INK, MUTED, GRID = "#010201", "#010202", "#010203"
FIRST, SECOND, WARM, BAD = "#010204", "#010205", "#010206", "#010207"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    FIRST: "var(--accent)",
    SECOND: "var(--second)",
    WARM: "var(--warm)",
    BAD: "var(--bad)",
}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tltf",
    "font.size": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 2,
    "legend.frameon": False,
}


_TITLE: dict[str, Any] = {"loc": "left", "fontsize": 11, "fontweight": "bold"}


def draw(title: str, fill: Callable[[Any], None], width: float = 5.4, height: float = 4.6) -> str:
    """A plot that a function draws, in the style and the colours of the page.

    Args:
        title: shown above, and to screen readers.
        fill: draws on matplotlib's Axes, with the colours INK to BAD.
        width: in inches.
        height: in inches.

    Returns:
        str: an `<svg>` element.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(width, height, title)
        fill(axes)
        return _svg(figure, title)


def curve(
    history: Sequence[dict[str, Any]],
    name: str,
    title: str,
    *,
    kept: int | None = None,
    solved: float | None = None,
) -> str:
    """One metric over the epochs: training and, where recorded, validation and test.

    Args:
        history: list of dict, one per epoch or penalty in their order, as `metrics_log.read` gives them.
        name: the metric's name; validation's is `val_` + name, test's `test_`.
        title: shown above, and to screen readers.
        kept: place in `history` of the row that was kept, which is marked; None marks none.
        solved: validation's value of the solved head that the epochs start from, drawn as a level
            line; None draws none.

    Returns:
        str: an `<svg>` element; a line separates the phases, with their names above.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(5.4, 3.4, title)
        epochs = np.arange(1, len(history) + 1)
        styles = [
            (name, "training", WARM, "o"),
            (f"val_{name}", "validation", FIRST, "s"),
            (f"test_{name}", "test", INK, "^"),
        ]
        for key, label, colour, marker in styles:
            values = np.array([_number(row.get(key)) for row in history])
            if np.isfinite(values).any():
                axes.plot(epochs, values, color=colour, label=label, marker=marker, markersize=4)
        if solved is not None:
            axes.axhline(solved, color=SECOND, linewidth=1.2, linestyle="--", label="solved head")
        if kept is not None:
            axes.axvline(epochs[kept], color=FIRST, linewidth=1.2, linestyle="--", label="kept")
        _label_rows(axes, epochs, history)
        _mark_phases(axes, [row.get("phase") for row in history])
        axes.legend(loc="best", labelcolor=INK)
        return _svg(figure, title)


def _label_rows(axes: Any, places: np.ndarray, history: Sequence[dict[str, Any]]) -> None:
    """The rows of a history are epochs, or the penalties of a solver."""
    penalties = [row.get("penalty") for row in history]
    if None in penalties:
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        return
    axes.set_xlabel("penalty")
    axes.set_xticks(places, [f"{penalty:g}" for penalty in penalties])


def reliability(bins: Sequence[ReliabilityBin], title: str) -> str:
    """The reliability diagram above the share of examples a bin holds.

    Args:
        bins: of `reliability.reliability_bins`.
        title: shown above, and to screen readers.

    Returns:
        str: an `<svg>` element.
    """
    used = [row for row in bins if row.count]
    total = sum(row.count for row in used)
    middles = [(row.low + row.high) / 2 for row in used]
    width = 0.9 / len(bins)
    with mpl.rc_context(_STYLE):
        figure = drawn.Figure(figsize=(5.4, 4.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.set_title(title, **_TITLE)
        upper.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="ideal")
        upper.bar(
            middles, [row.accuracy for row in used], width, color=FIRST, alpha=0.75, label="right"
        )
        edges = (np.array(middles) - width / 2, np.array(middles) + width / 2)
        upper.hlines(
            [row.confidence for row in used], *edges, color=BAD, linewidth=3, label="stated"
        )
        upper.set(ylabel="share right", ylim=(0, 1.03), xlim=(0, 1))
        place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0}
        upper.legend(**place, ncols=3, columnspacing=1, handlelength=1.4, labelcolor=INK)
        lower.bar(middles, [row.count / total for row in used], width, color=SECOND, alpha=0.75)
        lower.set(xlabel="stated probability of the answer", ylabel="share of\nexamples")
        lower.grid(axis="x", visible=False)
        return _svg(figure, title)


def scatter(points: Sequence[Sequence[float]], title: str) -> str:
    """Answers against true numbers, each with its range.

    Args:
        points: list of [number, median, lowest quantile, highest quantile].
        title: shown above, and to screen readers.

    Returns:
        str: an `<svg>` element.
    """
    true, median, low, high = np.array(points, float).T

    def fill(axes: Any) -> None:
        ends = [min(true.min(), median.min()), max(true.max(), median.max())]
        axes.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1)
        axes.vlines(true, low, high, color=SECOND, linewidth=0.8, alpha=0.2)
        axes.scatter(true, median, s=12, color=FIRST, alpha=0.75, linewidths=0)
        axes.set(xlabel="true number", ylabel="answer, with its quantiles")

    return draw(title, fill)


def confusion_heatmap(confusion: Sequence[list[int]] | np.ndarray, title: str) -> str:
    """A large confusion matrix as a picture; each row is divided by its number of examples.

    Args:
        confusion: C lists of C counts, rows are the truth.
        title: shown above, and to screen readers.

    Returns:
        str: an `<svg>` element. Right answers and errors have a colour each, stronger for a
        larger share of the row; the axes count the classes in their saved order from 0.
    """
    counts = np.asarray(confusion, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def fill(axes: Any) -> None:
        axes.grid(visible=False)
        rows, columns = np.nonzero(shares)
        size = (330 / len(counts)) ** 2
        for colour, chosen in ((BAD, rows != columns), (FIRST, rows == columns)):
            alphas = np.sqrt(shares[rows[chosen], columns[chosen]])
            for level in np.unique(np.ceil(alphas * 5)):
                here = np.ceil(alphas * 5) == level
                place = columns[chosen][here], rows[chosen][here]
                axes.scatter(
                    *place, s=size, marker="s", color=colour, alpha=level / 5, linewidths=0
                )
        limit = len(counts) - 0.5
        axes.set(xlim=(-0.5, limit), ylim=(limit, -0.5), aspect="equal")
        axes.set(xlabel="predicted class (number)", ylabel="true class (number)")

    return draw(title, fill, 6.4, 6.2)


def _figure(width: float, height: float, title: str) -> tuple[Any, Any]:
    figure = drawn.Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, **_TITLE)
    return figure, axes


def _mark_phases(axes: Any, phases: Sequence[str | None]) -> None:
    starts = [i for i, name in enumerate(phases) if i == 0 or phases[i - 1] != name]
    if len(starts) < 2:
        return
    axes.set_title(axes.get_title(loc="left"), **_TITLE, pad=20 if len(starts) <= 3 else 60)
    for start in starts:
        axes.axvline(start + 0.5, color=MUTED, linewidth=1, linestyle=":")
        axes.annotate(
            str(phases[start]),
            (start + 0.5, 1.01),
            xycoords=("data", "axes fraction"),
            color=MUTED,
            fontsize=9,
            rotation=60 if len(starts) > 3 else 0,
            va="bottom",
        )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _svg(figure: Any, title: str) -> str:
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The page's font shows letters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        svg.FigureCanvasSVG(figure).print_svg(
            buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
