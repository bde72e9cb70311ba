"""The look of plots: of those in reports, whose colours are the page's, and of pictures of their own."""

from typing import Any


def plot_style(ink: str, muted: str, grid: str) -> dict[str, Any]:
    """Settings of matplotlib.

    Args:
        ink: colour of texts.
        muted: colour of what stands at the axes.
        grid: colour of lines behind the curves.
    """
    return {
        "font.size": 10,
        "text.color": ink,
        "axes.edgecolor": grid,
        "axes.labelcolor": muted,
        "axes.formatter.useoffset": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": grid,
        "grid.linewidth": 0.6,
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "lines.linewidth": 2,
        "legend.frameon": False,
    }
