"""The part of a report that is about the members of an ensemble."""

import dataclasses
from typing import Any

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
from tltf.evaluation.report.wording import NOTHING, Wording, percent
from tltf.evaluation.split_metrics import from_known_keys

RULE_TITLES = {
    "best": "the best candidate alone",
    "mean": "plain mean of all",
    "greedy": "greedy selection",
    "stacking": "stacking",
}
"""Name of a rule -> what it is, in words."""


@dataclasses.dataclass(frozen=True)
class MemberRow:
    """A candidate of an ensemble beside the others.

    Args:
        name: of the candidate.
        folder: of its run.
        method: its --method.
        weight: 0..1, its share in the mean of the probabilities; None where a regression combines them.
        validation: the headline metric on the validation rows; None without them.
        test: on the test rows; None without them.
        test_interval: [low, high] of it.
        disagreement: 0..1, the share of the judged rows that it answers otherwise than the ensemble;
            None for numbers.
        ms_per_example: that it takes by itself.
    """

    name: str
    folder: str
    method: str
    weight: float | None
    validation: float | None
    test: float | None
    test_interval: list[float] | None
    disagreement: float | None
    ms_per_example: float

    @property
    def is_member(self) -> bool:
        """Whether it is in the ensemble."""
        return self.weight is None or self.weight > 0


@dataclasses.dataclass(frozen=True)
class RuleRow:
    """A way to combine all candidates, judged by cross-validation on the validation rows.

    Args:
        rule: a key of RULE_TITLES.
        loss: on rows that it was not fitted on.
        score: the metric by which epochs are chosen, likewise.
    """

    rule: str
    loss: float
    score: float


@dataclasses.dataclass(frozen=True)
class EnsembleBlock:
    """The members of an ensemble, and what it costs.

    Args:
        rule: how their answers become one, a key of RULE_TITLES.
        command: makes the same ensemble again.
        members: all candidates, those with the largest weight first.
        rules: ways to combine them; [] where there are too few validation rows.
        best: name of the candidate that is best on the validation rows.
        ms_per_example: that the ensemble takes.
        cost: how many times as long as the best candidate alone.
        disagreement: 0..1, the share of rows on which two members differ, as the mean over all pairs;
            None for numbers, and for one member.
        shared: 0..1, the share of the members' numbers that several of them have and that are stored
            and computed once.
    """

    rule: str
    command: str
    members: list[MemberRow]
    rules: list[RuleRow]
    best: str
    ms_per_example: float
    cost: float
    disagreement: float | None = None
    shared: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "EnsembleBlock":
        """The block of plain JSON."""
        members = [from_known_keys(MemberRow, row) for row in values["members"]]
        rules = [from_known_keys(RuleRow, row) for row in values["rules"]]
        return from_known_keys(cls, values | {"members": members, "rules": rules})

    @property
    def num_members(self) -> int:
        """How many candidates are in the ensemble."""
        return sum(row.is_member for row in self.members)


def sections(block: EnsembleBlock, said: Wording, *, is_error: bool) -> list[Section]:
    """The sections of a report about the members and about the ways to combine them.

    Args:
        block: of the report.
        said: how the metrics are named.
        is_error: whether less of the metric by which epochs are chosen is better.
    """
    table = _members_table(block, said)
    blocks: list[Block] = [Paragraph(text, is_hint=True) for text in _sentences(block)]
    found = [Section("members", "Members", "Members", [*blocks, table], table)]
    if block.rules:
        hint = (
            "On validation rows that a rule was not fitted on, in turn. What was chosen on all of them "
            "looks better there than it is."
        )
        rules = _rules_table(block, said, is_error=is_error)
        own: list[Block] = [Paragraph(hint, is_hint=True), rules]
        found.append(Section("rules", "Combined", "Ways to combine them", own, rules))
    return found


def _sentences(block: EnsembleBlock) -> list[str]:
    names = block.num_members
    first = f"{names} of {len(block.members)} candidates are members, combined by {RULE_TITLES[block.rule]}."
    cost = f"An example takes {block.ms_per_example:.2g} ms, {block.cost:.1f} times as long as with {block.best} alone"
    if block.shared:
        cost += f"; {percent(block.shared, 0)} of the members' numbers are those of layers that several share, which are computed once"
    found = [first, f"{cost}."]
    if block.disagreement is not None:
        found.append(
            f"Two members differ on {percent(block.disagreement)} of the rows, on average."
        )
    return found


def _members_table(block: EnsembleBlock, said: Wording) -> Table:
    titles = ("weight", f"validation {said.title}", f"test {said.title}", "differs", "ms")
    columns = [Column("candidate", NAME), Column("method"), *(Column(t, NUMBER) for t in titles)]
    rows = []
    for row in block.members:
        test = said.value(row.test)
        if row.test_interval:
            low, high = map(said.value, row.test_interval)
            test += f" ({low} to {high})"
        weight = NOTHING if row.weight is None else f"{row.weight:.2f}"
        differs = NOTHING if row.disagreement is None else percent(row.disagreement)
        cells = [row.name, row.method, weight, said.value(row.validation), test, differs]
        rows.append(Row([*cells, f"{row.ms_per_example:.2g}"], is_absent=not row.is_member))
    return Table(columns, rows)


def _rules_table(block: EnsembleBlock, said: Wording, *, is_error: bool) -> Table:
    score = "mean error" if is_error else "score"
    columns = [
        Column("rule", NAME),
        Column("held-out loss", NUMBER),
        Column(f"held-out {score}", NUMBER),
    ]
    rows = [
        Row([RULE_TITLES[row.rule], f"{row.loss:.4f}", f"{row.score:.4f}"]) for row in block.rules
    ]
    return Table(columns, rows)
