"""The wrong answers of a report as trackers show them: pictures with captions, or rows of a table."""

from collections.abc import Iterator, Sequence

from PIL import Image

from tltf.evaluation.report import pictures
from tltf.evaluation.report.report import Mistake, Report

COLUMNS = ("id", "text", "true", "predicted", "probability", "detail")
"""Of `rows_of`."""
Cell = str | float | None


def caption_of(mistake: Mistake) -> str:
    """`true 3, predicted 8 (98.1%)`, or how far off an answer in numbers is."""
    said = f"true {mistake.label}, predicted {mistake.predicted}"
    how = mistake.detail or ("" if mistake.probability is None else f"{mistake.probability:.1%}")
    return f"{said} ({how})" if how else said


def pictures_of(report: Report) -> Iterator[tuple[str, Image.Image]]:
    """`(caption, picture)` of the worst mistakes that have one which can be read, the worst first."""
    for mistake in report.worst_mistakes:
        if mistake.image is None:
            continue
        image = pictures.small_picture(mistake.image)
        if image is not None:
            yield caption_of(mistake), image


def rows_of(report: Report) -> list[tuple[Cell, ...]]:
    """The worst mistakes as rows of COLUMNS, the worst first."""
    return [
        (row.id, row.text, row.label, row.predicted, row.probability, row.detail)
        for row in report.worst_mistakes
    ]


def markdown_of(rows: Sequence[Sequence[Cell]], columns: Sequence[str]) -> str:
    """A table in Markdown, without the columns that have no value."""
    used = [place for place, _ in enumerate(columns) if any(row[place] is not None for row in rows)]
    lines = [[columns[place] for place in used], ["---"] * len(used)]
    lines += [[_cell(row[place]) for place in used] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return " ".join((value or "").replace("|", "\\|").split())
