"""The accuracy matrix of a sequence of steps as an SVG: what was learned, and what was forgotten."""

import html
from collections.abc import Iterator

import numpy as np

from tltf.evaluation.report.wording import percent
from tltf.evaluation.step_accuracies import StepAccuracies

CELL, LEFT, TOP, BOTTOM = 64.0, 64.0, 40.0, 52.0
"""Side of a cell, and the room around the matrix, in units of the picture."""
MOST_WIDE = 720.0
"""The largest side of the matrix; the cells of many steps are smaller."""


def step_matrix(found: StepAccuracies, title: str) -> str:
    """The accuracy after each step (a row) on the test rows of each step (a column).

    Args:
        found: of T steps, which are numbered from 1 at the axes.
        title: shown above, and to screen readers.

    Returns:
        str: an `<svg>` element. The colour is stronger the higher the accuracy; a frame marks the step
        that was just learned, and an empty cell was not measured.
    """
    count = len(found.names)
    cell = min(CELL, MOST_WIDE / count)
    width, height = LEFT + count * cell + 12, TOP + count * cell + BOTTOM
    shown = html.escape(title)
    parts = [
        f'<svg role="img" aria-label="{shown}" viewBox="0 0 {width:g} {height:g}" '
        f'style="max-width:{width:g}px" xmlns="http://www.w3.org/2000/svg" font-size="13" '
        'fill="var(--muted)">',
        f'<text x="{LEFT:g}" y="20" font-size="14" font-weight="bold" fill="var(--ink)">{shown}</text>',
        *_cells(found, cell),
        *_axes(count, cell),
        "</svg>",
    ]
    return "".join(parts)


def _cells(found: StepAccuracies, cell: float) -> Iterator[str]:
    """A square for each accuracy, with its number where there is room."""
    for (row, column), value in np.ndenumerate(found.values):
        x, y = LEFT + column * cell, TOP + row * cell
        box = (
            f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2:.1f}" height="{cell - 2:.1f}" rx="4"'
        )
        frame = ' stroke="var(--ink)" stroke-width="1.5"' if row == column else ""
        if np.isnan(value):
            yield f'<rect {box} fill="none" stroke="var(--line)"/>'
            continue
        tip = (
            f"after step {row + 1} ({found.names[row]}), on step {column + 1} "
            f"({found.names[column]}): {percent(value)}"
        )
        yield (
            f'<rect {box} fill="rgb(var(--accent-rgb) / {0.08 + 0.82 * value:.2f})"{frame}>'
            f"<title>{html.escape(tip)}</title></rect>"
        )
        if cell >= 36:
            ink = "#fff" if value > 0.55 else "var(--ink)"
            yield (
                f'<text x="{x + cell / 2:.1f}" y="{y + cell / 2 + 5:.1f}" text-anchor="middle" '
                f'fill="{ink}" pointer-events="none">{100 * value:.0f}</text>'
            )


def _axes(count: int, cell: float) -> Iterator[str]:
    """Numbers of the steps at both axes, and what the axes are."""
    side = count * cell
    for number in range(1, count + 1):
        middle = (number - 0.5) * cell
        yield (
            f'<text x="{LEFT + middle:.1f}" y="{TOP + side + 18:.1f}" text-anchor="middle">{number}</text>'
            f'<text x="{LEFT - 8:g}" y="{TOP + middle + 5:.1f}" text-anchor="end">{number}</text>'
        )
    middle = side / 2
    yield (
        f'<text x="{LEFT + middle:.1f}" y="{TOP + side + 40:.1f}" text-anchor="middle">on the test rows '
        f'of step</text><text transform="translate(18 {TOP + middle:.1f}) rotate(-90)" '
        'text-anchor="middle">after step</text>'
    )
