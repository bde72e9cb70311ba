"""What is known of each exported format: its size, its answers and its speed in its own runtime."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tltf.evaluation.baseline_row import Gain
from tltf.evaluation.report import markdown
from tltf.evaluation.report.run_facts import size_text
from tltf.evaluation.report.wording import NOTHING, Wording, number
from tltf.evaluation.split_metrics import from_known_keys

MODEL = "the model itself"
"""The name of the row that the others are compared with."""
MOST_LOST = 0.005
"""A loss of the headline metric, where it is a share, above which a format is warned of."""


@dataclasses.dataclass(frozen=True)
class FormatRow:
    """One exported format, as its own runtime computes it in a clean process.

    What was not measured is None.

    Args:
        name: the call string of the format, or MODEL.
        place: its folder, below that of the exports; empty for the model itself.
        runtime: name and version of what computed the answers.
        num_bytes: size of the files that the runtime loads.
        num_inputs: rows whose answers were compared with those of the model.
        largest_difference: of the scores from those of the model, in the head's unit.
        split: the split of these rows; empty for made-up inputs.
        score: the headline metric on these rows.
        gain: the format's headline metric minus the model's, paired.
        first_call_ms: from the file to the first answer for one row.
        latency_ms: batch size -> [median, 99th percentile] of one call.
        threads: of the runtime.
        note: what else must be known, in words.
    """

    name: str
    place: str = ""
    runtime: str = ""
    num_bytes: int | None = None
    num_inputs: int | None = None
    largest_difference: float | None = None
    split: str = ""
    score: float | None = None
    gain: Gain | None = None
    first_call_ms: float | None = None
    latency_ms: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    threads: int | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, without what is not known."""
        return {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if value not in (None, "", {})
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "FormatRow":
        """The row of plain JSON; every key but `name` may be missing."""
        gain = values.get("gain")
        read = {"gain": from_known_keys(Gain, gain)} if gain else {}
        return from_known_keys(cls, values | read)


def loss_text(row: FormatRow, said: Wording) -> str:
    """The warning that a format loses much of the headline metric; empty for little.

    Args:
        row: of the format.
        said: the wording of the model's kind of labels.
    """
    if row.gain is None or not said.is_share or row.gain.difference > -MOST_LOST - 1e-9:
        return ""
    return f"{row.name} loses {said.title}: {said.interval(row.gain)}"


def table(rows: Sequence[FormatRow], said: Wording) -> tuple[list[str], list[list[str]]]:
    """`(titles, cells)` of the table of formats; columns that no row fills are left out.

    Args:
        rows: the model itself first.
        said: the wording of the model's kind of labels.
    """
    sizes = sorted({int(size) for row in rows for size in row.latency_ms})
    whole = next((row.num_bytes for row in rows if row.name == MODEL), None)
    columns: dict[str, list[str]] = {
        "format": [row.name for row in rows],
        "runtime": [row.runtime or NOTHING for row in rows],
        "size": [size_text(row.num_bytes) if row.num_bytes else NOTHING for row in rows],
        "smaller by": [_smaller(whole, row) for row in rows],
        "inputs": [f"{row.num_inputs:,}" if row.num_inputs else NOTHING for row in rows],
        "largest difference": [_difference(row.largest_difference) for row in rows],
        said.title: [_score(row, said) for row in rows],
        "difference": [said.interval(row.gain) if row.gain else NOTHING for row in rows],
        "first call": [_ms(row.first_call_ms) for row in rows],
    }
    for size in sizes:
        columns[f"batch of {size}: median / p99"] = [_latency(row, size) for row in rows]
    columns["note"] = [row.note for row in rows]
    filled = {title: cells for title, cells in columns.items() if set(cells) - {NOTHING, ""}}
    return list(filled), [list(cells) for cells in zip(*filled.values(), strict=True)]


def page(rows: Sequence[FormatRow], said: Wording, machine: str) -> str:
    """The text of table.md.

    Args:
        rows: the model itself first.
        said: the wording of the model's kind of labels.
        machine: the processor, in words.
    """
    titles, cells = table(rows, said)
    lines = [
        "# Exported formats",
        "",
        markdown.row(titles),
        markdown.row(["---"] * len(titles), is_escaped=True),
        *(markdown.row(row) for row in cells),
        "",
        explanation(rows, machine),
        "",
    ]
    return "\n".join(lines)


def explanation(rows: Sequence[FormatRow], machine: str = "") -> str:
    """What the columns of the table mean, in words."""
    measured = next((row for row in rows if row.num_inputs), None)
    split = f"the {measured.split} split" if measured and measured.split else "made-up inputs"
    threads = next((row.threads for row in rows if row.threads), None)
    speed = f" with {threads} threads" if threads else ""
    return (
        f"Every format was loaded by its own runtime in a clean process{speed}"
        f"{f' on {machine}' if machine else ''} and answered {split}. The largest difference is "
        "between its scores and those of the model. The first call is the time from the file to the "
        "first answer; the times of later calls are of the network alone."
    )


def _smaller(whole: int | None, row: FormatRow) -> str:
    if not whole or not row.num_bytes or row.name == MODEL:
        return NOTHING
    return f"{whole / row.num_bytes:.2f}\N{MULTIPLICATION SIGN}"


def _difference(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1e}" if value else "0"


def _score(row: FormatRow, said: Wording) -> str:
    return NOTHING if row.score is None else said.text(said.metric, row.score, (2, 4))


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{number(value)} ms"


def _latency(row: FormatRow, size: int) -> str:
    found = row.latency_ms.get(str(size))
    return " / ".join(map(_ms, found)) if found else NOTHING
