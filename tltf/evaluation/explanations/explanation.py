"""The explanation of one answer, as pages show it and JSON holds it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_CELLS = 28
"""Cells on a side of the grid on which JSON holds the values of pixels."""


@dataclasses.dataclass(frozen=True)
class ExplainedPart:
    """A word of a text, or what stands between two words.

    Args:
        text: its characters.
        value: what it adds to the output; None between words, and where the model does not see it.
        is_read: whether the model sees it.
    """

    text: str
    value: float | None = None
    is_read: bool = True


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What the parts of one input add to the output that its answer rests on.

    Args:
        method: the call string of the explainer.
        title: its name in headings.
        explained: what the output speaks for, such as a class.
        output: the explained output; for classes the logit, before softmax.
        baseline: the same output where nothing of the input is seen; None for a method without one.
        error: by how much the values fail to sum up to output - baseline, as a share of it; None for
            a method that does not promise it.
        steps: passes through the model, at least 1.
        is_signed: whether values below 0 speak against the output.
        parts: the words of a text, whose texts together are the example; None for an image.
        heat: float32[h, w] over the whole image; None for a text.
    """

    method: str
    title: str
    explained: str
    output: float
    baseline: float | None
    error: float | None
    steps: int
    is_signed: bool
    parts: tuple[ExplainedPart, ...] | None = None
    heat: np.ndarray | None = dataclasses.field(default=None, compare=False, repr=False)

    def strongest(self, count: int) -> list[ExplainedPart]:
        """The words with the largest values, for or against, the largest first."""
        words = [part for part in self.parts or () if part.value and part.text.strip()]
        return sorted(words, key=lambda part: -abs(part.value or 0.0))[:count]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: `words`, of `[text, value or null]`, or `grid`, rows of numbers over the image."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("parts", "heat") and getattr(self, field.name) is not None
        }
        if self.parts is not None:
            values["words"] = [
                [part.text, None if part.value is None else _rounded(part.value)]
                if part.is_read
                else [part.text, None, False]
                for part in self.parts
            ]
        if self.heat is not None:
            cells = grid_sums(self.heat, MOST_CELLS) if self.is_signed else self.heat
            values["grid"] = [[_rounded(value) for value in row] for row in cells.tolist()]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Explanation":
        """The explanation of plain JSON; its heat is the grid."""
        names = {field.name for field in dataclasses.fields(cls)} - {"parts", "heat"}
        known = {"baseline": None, "error": None} | {
            name: value for name, value in values.items() if name in names
        }
        words = values.get("words")
        parts = None if words is None else tuple(ExplainedPart(*word) for word in words)
        grid = values.get("grid")
        heat = None if grid is None else np.array(grid, np.float32)
        return cls(**known, parts=parts, heat=heat)


def grid_sums(values: np.ndarray, most_cells: int) -> np.ndarray:
    """float[h', w']: the sums of values float[h, w] over the cells of a grid.

    Args:
        values: of pixels.
        most_cells: on a side; h' and w' are no larger.
    """
    rows, columns = (_edges(side, most_cells) for side in values.shape)
    return np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)


def _edges(side: int, most_cells: int) -> np.ndarray:
    """int[cells]: where the cells of a side begin."""
    count = min(side, most_cells)
    return np.arange(count) * side // count


def cut_parts(parts: Sequence[ExplainedPart], most: int) -> tuple[ExplainedPart, ...]:
    """The first parts, with at most `most` characters together."""
    kept, length = list[ExplainedPart](), 0
    for part in parts:
        length += len(part.text)
        if length > most:
            break
        kept.append(part)
    return tuple(kept)


def _rounded(value: float) -> float:
    """A number with four digits."""
    return float(f"{value:.4g}")
