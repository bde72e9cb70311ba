"""Plots as inline SVG whose colours are the page's: they follow its light and dark mode.

matplotlib draws with marker colours, which become CSS variables in the text of the SVG. Letters
stay text, so that the page's font shows every script that the reader's machine has.
"""

import dataclasses
import html
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tltf.console import lazy_imports
from tltf.console.plot_style import plot_style

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
SERIES = tuple(f"#0103{place:02d}" for place in range(1, 9))
"""Colours of curves of several runs in one plot."""
_VARIABLES |= {colour: f"var(--series-{place})" for place, colour in enumerate(SERIES, 1)}
_DASHES, _MARKERS = ("-", "--", ":"), "osD^vPX*"
_STYLE: dict[str, Any] = plot_style(INK, MUTED, GRID) | {
    "svg.fonttype": "none",
    "svg.hashsalt": "tltf",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.parse_math": False,
}


_TITLE: dict[str, Any] = {"loc": "left", "fontsize": 11, "fontweight": "bold"}


@dataclasses.dataclass(frozen=True)
class Series:
    """A curve among others.

    Args:
        label: what it is.
        points: `(x, y)` of each point.
        place: its number among all curves, from 0, which decides its colour and its marks.
    """

    label: str
    points: Sequence[tuple[float, float]]
    place: int


def draw(
    title: str,
    fill: Callable[[Any], None],
    width: float = 5.4,
    height: float = 4.6,
    tips: Mapping[str, str] | None = None,
) -> str:
    """A plot that a function draws, in the style and the colours of the page.

    Args:
        title: shown above, and to screen readers.
        fill: draws on matplotlib's Axes, with the colours INK to BAD.
        width: in inches.
        height: in inches.
        tips: gid of what `fill` draws -> text that is shown when the mouse is over it.

    Returns:
        str: an `<svg>` element.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(width, height, title)
        fill(axes)
        return _svg(figure, title, tips)


def draw_grid(
    title: str, fill: Callable[[Sequence[Any]], None], num_rows: int, num_columns: int
) -> str:
    """Small plots in rows, which a function draws.

    Args:
        title: to screen readers.
        fill: draws on a list of num_rows * num_columns of matplotlib's Axes, row by row.
        num_rows: at least 1.
        num_columns: at least 1.
    """
    with mpl.rc_context(_STYLE):
        size = 1.75 * num_columns, 1.65 * num_rows
        figure = drawn.Figure(figsize=size, layout="constrained")
        grid = figure.subplots(num_rows, num_columns, squeeze=False)
        fill(list(grid.ravel()))
        return _svg(figure, title)


def shortened(name: str, length: int) -> str:
    """A name with its end cut off where it is longer than `length` letters."""
    return name if len(name) <= length else name[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


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


def overlay(series: Sequence[Series], title: str, x_title: str, x_names: Sequence[str] = ()) -> str:
    """Curves laid over each other, each with a colour and marks of its own.

    Args:
        series: at least one.
        title: shown above, and to screen readers.
        x_title: what is on the horizontal axis.
        x_names: names of the places 0, 1, ... on that axis; () where it has whole numbers.

    Returns:
        str: an `<svg>` element.
    """

    def fill(axes: Any) -> None:
        for curve in series:
            axes.plot(
                *zip(*curve.points, strict=True),
                color=SERIES[curve.place % len(SERIES)],
                linestyle=_DASHES[curve.place // len(SERIES) % len(_DASHES)],
                marker=_MARKERS[curve.place % len(_MARKERS)],
                markersize=4,
                label=curve.label,
            )
        axes.set_xlabel(x_title)
        if x_names:
            axes.set_xticks(range(len(x_names)), x_names)
        else:
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="best", labelcolor=INK)

    return draw(title, fill, 5.4, 3.4)


def _label_rows(axes: Any, places: np.ndarray, history: Sequence[dict[str, Any]]) -> None:
    """The rows of a history are epochs, or the penalties of a solver."""
    penalties = [row.get("penalty") for row in history]
    if None in penalties:
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        return
    axes.set_xlabel("penalty")
    axes.set_xticks(places, [f"{penalty:g}" for penalty in penalties])


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


def _svg(figure: Any, title: str, tips: Mapping[str, str] | None = None) -> str:
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
    for gid, tip in (tips or {}).items():
        text = text.replace(f'<g id="{gid}">', f"<g><title>{html.escape(tip)}</title>", 1)
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
