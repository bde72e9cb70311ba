"""The confusion matrix of many classes as an SVG whose cells say on hover what they stand for."""

import html
from collections.abc import Iterator, Sequence

import numpy as np

from tltf.evaluation.report.wording import percent

SIDE, LEFT, TOP = 560.0, 48.0, 34.0
"""Side of the matrix, and the room on its left and above it, in units of the picture."""
MOST_TIPS = 2000
"""Cells that say what they stand for; of more cells those with the highest counts do."""


def confusion_heatmap(
    confusion: Sequence[Sequence[int]] | np.ndarray, names: Sequence[str], title: str
) -> str:
    """A large confusion matrix as a picture; each row is divided by its number of examples.

    Args:
        confusion: C lists of C counts, rows are the truth.
        names: of the C classes, which are numbered from 1 at the axes.
        title: shown above, and to screen readers.

    Returns:
        str: an `<svg>` element. Right answers and errors have a colour each, stronger for a
        larger share of the row.
    """
    counts = np.asarray(confusion)
    width, height = LEFT + SIDE + 12, TOP + SIDE + 44
    shown = html.escape(title)
    parts = [
        f'<svg role="img" aria-label="{shown}" viewBox="0 0 {width:g} {height:g}" '
        'xmlns="http://www.w3.org/2000/svg" font-size="12" fill="var(--muted)">',
        f'<text x="{LEFT:g}" y="18" font-size="14" font-weight="bold" fill="var(--ink)">{shown}</text>',
        f'<rect x="{LEFT:g}" y="{TOP:g}" width="{SIDE:g}" height="{SIDE:g}" fill="none" '
        'stroke="var(--line)"/>',
        *_axes(len(counts)),
        *_cells(counts, names),
        "</svg>",
    ]
    return "".join(parts)


def _axes(num_classes: int) -> Iterator[str]:
    """Numbers of about ten classes at both axes, and what the axes are."""
    cell, bottom = SIDE / num_classes, TOP + SIDE
    step = next(size for size in (5, 10, 20, 50, 100, 200, 500, 10**9) if size * 12 >= num_classes)
    for number in [1, *range(step, num_classes + 1, step)]:
        middle = (number - 0.5) * cell
        yield (
            f'<text x="{LEFT + middle:.1f}" y="{bottom + 15:g}" text-anchor="middle">{number}</text>'
            f'<text x="{LEFT - 5:g}" y="{TOP + middle + 4:.1f}" text-anchor="end">{number}</text>'
        )
    middle = SIDE / 2
    yield (
        f'<text x="{LEFT + middle:g}" y="{bottom + 34:g}" text-anchor="middle">answer (number of the '
        f'class)</text><text transform="translate(12 {TOP + middle:g}) rotate(-90)" '
        'text-anchor="middle">truth (number of the class)</text>'
    )


def _cells(counts: np.ndarray, names: Sequence[str]) -> Iterator[str]:
    """Cells with their names, and all others of a colour and a strength as one path."""
    totals, cell = counts.sum(axis=1), SIDE / len(counts)
    rows, columns = np.nonzero(counts)
    order = np.argsort(-counts[rows, columns], kind="stable")
    plain: dict[tuple[str, float], list[str]] = {}
    for place, (row, column) in enumerate(zip(rows[order], columns[order], strict=True)):
        count, total = int(counts[row, column]), int(totals[row])
        strength = float(np.ceil(5 * (count / total) ** 0.5) / 5)
        colour = "accent" if row == column else "bad"
        x, y = LEFT + column * cell, TOP + row * cell
        if place >= MOST_TIPS:
            corner = f"M{x:.2f} {y:.2f}h{cell:.2f}v{cell:.2f}h-{cell:.2f}z"
            plain.setdefault((colour, strength), []).append(corner)
            continue
        tip = f"{names[row]} → {names[column]}: {count:,} of {total:,}, {percent(count / total)}"
        yield (
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{cell:.2f}" height="{cell:.2f}" '
            f'fill="var(--{colour})" opacity="{strength:g}"><title>{html.escape(tip)}</title></rect>'
        )
    for (colour, strength), corners in plain.items():
        yield f'<path d="{"".join(corners)}" fill="var(--{colour})" opacity="{strength:g}"/>'
