"""The part of a report that is about what was tried, within a budget, before the model was chosen."""

import dataclasses
from typing import Any

from tltf.console.progress import seconds_text
from tltf.evaluation.report.sections import (
    NAME,
    NUMBER,
    Block,
    Column,
    Paragraph,
    Row,
    Section,
    Table,
)
from tltf.evaluation.report.wording import NOTHING, percent
from tltf.evaluation.split_metrics import from_known_keys


@dataclasses.dataclass(frozen=True)
class TriedRow:
    """Something that was tried.

    Args:
        what: in words.
        seconds: that it took.
        score: 0..1 on `judged` rows; None where there is none.
        judged: which rows these are, such as `validation`.
        note: how it ended, where that is not said by the score.
        is_chosen: whether the model is that one.
    """

    what: str
    seconds: float
    score: float | None = None
    judged: str = ""
    note: str = ""
    is_chosen: bool = False


@dataclasses.dataclass(frozen=True)
class TriedBlock:
    """How a model was chosen.

    Args:
        preset: of --preset.
        budget_s: seconds that it might take; 0 for no limit.
        seconds: that it took until the model was chosen.
        rows: what was tried, in its order.
        why: why this model was chosen, in sentences.
        warnings: of the advice.
    """

    preset: str
    budget_s: float
    seconds: float
    rows: list[TriedRow]
    why: list[str]
    warnings: list[str] = dataclasses.field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TriedBlock":
        """The block of plain JSON."""
        rows = [from_known_keys(TriedRow, row) for row in values["rows"]]
        return from_known_keys(cls, values | {"rows": rows})


def sections(block: TriedBlock) -> list[Section]:
    """The section of a report about what was tried."""
    budget = f", of a budget of {seconds_text(block.budget_s)}" if block.budget_s else ""
    took = f"It took {seconds_text(block.seconds)} to choose this model{budget}; --preset={block.preset}."
    blocks: list[Block] = [Paragraph(" ".join([*block.why, took]))]
    blocks += [Paragraph(f"Warning: {warning}", is_hint=True) for warning in block.warnings]
    hint = "No choice has looked at a test row. The score of the best of several on validation rows is too high by chance."
    columns = [
        Column("tried", NAME),
        Column("accuracy", NUMBER),
        Column("on"),
        Column("time", NUMBER),
        Column(""),
    ]
    rows = [
        Row(
            [
                row.what,
                NOTHING if row.score is None else percent(row.score),
                row.judged,
                seconds_text(row.seconds),
                "this model" if row.is_chosen else row.note,
            ]
        )
        for row in block.rows
    ]
    table = Table(columns, rows)
    blocks += [table, Paragraph(hint, is_hint=True)]
    return [Section("tried", "Tried", "What was tried, and why this model", blocks, table)]
