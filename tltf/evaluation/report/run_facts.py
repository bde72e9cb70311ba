"""The facts of a run in its report: how it was started, on which machine, from what, and its sizes."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tltf.evaluation.report.wording import number
from tltf.evaluation.split_metrics import from_known_keys
from tltf.runs.machine import Machine

_UNITS = ("bytes", "KB", "MB", "GB", "TB")


@dataclasses.dataclass(frozen=True)
class Speed:
    """How long the network takes per example, measured while a split was evaluated.

    Reading and preparing the examples is not part of it, nor is building the graph.

    Args:
        ms_per_example: milliseconds.
        num_examples: over which it was measured.
        batch_size: examples per step.
        device: what computed it.
        precision: number format of the computation.
    """

    ms_per_example: float
    num_examples: int
    batch_size: int
    device: str
    precision: str


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """How a run was started, on which machine, from what, and how large its results are.

    What is not known is empty or None.

    Args:
        typed: the command or call, as it was written.
        started: date and time, ISO 8601.
        finished: date and time when the report was written.
        machine: the Machine.
        gpus: names of the graphics processors.
        peak_memory_bytes: most memory of the process.
        peak_gpu_bytes: most memory on the first of the graphics processors.
        commit: of tltf's repository.
        licences: part -> licence, of the backbone's weights and of the data.
        data_digest: `train split` and the like -> rows and a digest of their contents and labels.
        model_bytes: size of the model's files.
        export_bytes: size of the export.
        speed: of the evaluation.
    """

    typed: str = ""
    started: str = ""
    finished: str = ""
    machine: Machine | None = None
    gpus: list[str] = dataclasses.field(default_factory=list)
    peak_memory_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    commit: str = ""
    licences: dict[str, str] = dataclasses.field(default_factory=dict)
    data_digest: dict[str, str] = dataclasses.field(default_factory=dict)
    model_bytes: int | None = None
    export_bytes: int | None = None
    speed: Speed | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, without what is not known."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RunFacts":
        """The facts of plain JSON; every key may be missing."""
        read: dict[str, Any] = dict(values)
        if values.get("machine"):
            read["machine"] = from_known_keys(Machine, values["machine"])
        if values.get("speed"):
            read["speed"] = from_known_keys(Speed, values["speed"])
        return from_known_keys(cls, read)


def size_text(num_bytes: int) -> str:
    """`86.7 MB`, in units of 1000."""
    size, place = float(num_bytes), 0
    while size >= 999.95 and place < len(_UNITS) - 1:
        size, place = size / 1000, place + 1
    return f"{size:.1f} {_UNITS[place]}" if place else f"{num_bytes} bytes"


def facts_rows(facts: RunFacts | None) -> list[tuple[str, str]]:
    """`(name, text)` of each fact that is known, but for the command, which stands by itself."""
    return [(name, text) for name, text in _rows(facts) if text] if facts else []


def _rows(facts: RunFacts) -> Iterator[tuple[str, str]]:
    yield "started", _time_text(facts.started)
    yield "finished", _time_text(facts.finished)
    if facts.machine:
        memory = facts.machine.memory_bytes
        yield "processor", f"{facts.machine.cpu}, {facts.machine.cores} cores"
        yield "memory", size_text(memory) if memory else ""
        yield "system", facts.machine.system
    yield "GPUs", ", ".join(facts.gpus) or "none"
    for name, peak in (
        ("peak memory", facts.peak_memory_bytes),
        ("peak GPU memory", facts.peak_gpu_bytes),
        ("model size", facts.model_bytes),
        ("export size", facts.export_bytes),
    ):
        yield name, size_text(peak) if peak else ""
    if facts.speed:
        yield "time per example", speed_text(facts.speed)
    for part, licence in facts.licences.items():
        yield f"licence of the {part}", licence
    yield "commit of tltf", facts.commit
    for part, digest in facts.data_digest.items():
        yield part, "" if digest.startswith("0 ") else digest


def _time_text(time: str) -> str:
    """`2026-11-29 16:48:55 UTC` of a time in ISO 8601."""
    return time.replace("T", " ").replace("+00:00", " UTC")


def speed_text(speed: Speed) -> str:
    """`1.250 ms for the network alone, in batches of ...`."""
    return (
        f"{number(speed.ms_per_example)} ms for the network alone, in batches of up to "
        f"{speed.batch_size}, over {speed.num_examples:,} examples, {speed.precision}, "
        f"on {speed.device}"
    )
