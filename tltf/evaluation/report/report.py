"""The report of a run as types, which report.json holds."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tltf.data.source import ScanCounts
from tltf.evaluation.baseline_row import BaselineRow
from tltf.evaluation.explanations.explanation import Explanation
from tltf.evaluation.report import folds as fold_rows
from tltf.evaluation.report.ensemble_block import EnsembleBlock
from tltf.evaluation.report.folds import Fold, FoldMean
from tltf.evaluation.report.format_rows import FormatRow
from tltf.evaluation.report.run_facts import RunFacts
from tltf.evaluation.report.samples import SampleGroup
from tltf.evaluation.report.task_blocks import TaskBlock
from tltf.evaluation.report.tried_block import TriedBlock
from tltf.evaluation.split_metrics import SplitMetrics, from_known_keys
from tltf.runs import layout

OF_AN_EVALUATION = ("title", "command", "test", "run", "data", "versions", "baselines", "time_s")
OF_FOLDS = (
    "test",
    "folds",
    "fold_means",
    "folds_text",
    "baselines",
    "parameters",
    "versions",
    "options",
    "run",
    "title",
    "data",
    "time_s",
)
"""The first keys of report.json of folds, in their order; the report of a run has the order of the
fields of Report."""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """How many numbers the network has.

    Args:
        total: all of them, at least 0.
        trainable: those that the last phase trained, 0..total.
    """

    total: int
    trainable: int


@dataclasses.dataclass(frozen=True)
class SplitCounts:
    """Counts of the rows of one split and of their labels.

    What a kind of labels does not count is None.

    Args:
        num_examples: rows; None where an old report does not say.
        class_counts: class or label -> rows that have it.
        mean: of the numbers, in their unit.
        deviation: of the numbers, in their unit, at least 0.
        least: the smallest number.
        most: the largest number.
        percentiles: 101 numbers, rising, from the smallest to the largest.
        details: what else an evaluator counts, plain JSON by name. Names that this version does not
            know are kept here when a report is read.
    """

    num_examples: int | None = None
    class_counts: dict[str, int] | None = None
    mean: float | None = None
    deviation: float | None = None
    least: float | None = None
    most: float | None = None
    percentiles: list[float] | None = None
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, without what was not counted."""
        values = dataclasses.asdict(self)
        details = values.pop("details")
        return _present(values | details)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "SplitCounts":
        """The counts of plain JSON; every key may be missing."""
        known = {field.name for field in dataclasses.fields(cls)} - {"details"}
        details = {name: value for name, value in values.items() if name not in known}
        return cls(
            details=details, **{name: value for name, value in values.items() if name in known}
        )


@dataclasses.dataclass(frozen=True)
class DataSummary:
    """The data of a report.

    Args:
        scan: how the rows were counted.
        source: the call string of the data.
        split: the call string of the split; None in an evaluation.
        splits: role -> SplitCounts, in the order train, validation, test.
    """

    scan: ScanCounts = dataclasses.field(default_factory=ScanCounts)
    source: str = ""
    split: str | None = None
    splits: dict[str, SplitCounts] = dataclasses.field(default_factory=dict)

    def shortened(self, most: int) -> "DataSummary":
        """The summary that names at most `most` rows that are skipped, excluded or near another."""
        scan, near = self.scan, self.scan.near_rows
        scan = dataclasses.replace(
            scan,
            skipped_rows=scan.skipped_rows[:most],
            excluded_rows=scan.excluded_rows[:most],
            near_rows=None if near is None else near[:most],
        )
        return dataclasses.replace(self, scan=scan)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the counts of the scan stand beside the other keys."""
        splits = {role: counts.to_json() for role, counts in self.splits.items()}
        return _present(
            {**self.scan.to_json(), "source": self.source, "split": self.split, "splits": splits}
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "DataSummary":
        """The summary of plain JSON; every key may be missing."""
        return cls(
            from_known_keys(ScanCounts, values),
            values.get("source", ""),
            values.get("split"),
            {
                role: SplitCounts.from_json(counts)
                for role, counts in values.get("splits", {}).items()
            },
        )


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A wrong answer, or a large error, with the example that it was given to.

    Args:
        index: the example's row in its split, from 0.
        id: of the example.
        label: the true answer, as text; empty for none.
        predicted: the model's answer, as text; empty for none.
        probability: of the predicted class, 0..1; None for labels that are not one class per row.
        label_probability: of the true class, 0..1; None likewise.
        detail: how far off the answer is, in words; None where probabilities say it.
        text: the example, if it is one.
        unread: [start, end] of each part of the text that the model did not see because texts are
            cut; None for none, and where it is not known.
        fold: of a cross-validation, or the draw, from 1; None without them.
        explanation: what the parts of the example add to the answer; None where it was not explained.
        image: the example, if it is one: uint8[H, W, C], an encoded image's bytes, or its path. It
            is shown in report.html and is not in the JSON.
    """

    index: int
    id: str
    label: str
    predicted: str
    probability: float | None = None
    label_probability: float | None = None
    detail: str | None = None
    text: str | None = None
    unread: list[list[int]] | None = None
    fold: int | None = None
    explanation: Explanation | None = None
    image: np.ndarray | bytes | str | pathlib.Path | None = dataclasses.field(
        default=None, compare=False, repr=False
    )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, without what is None."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del values["image"]
        values["explanation"] = self.explanation and self.explanation.to_json()
        return _present(values)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Mistake":
        """The mistake of plain JSON, without its image."""
        found = values.get("explanation")
        explanation = None if found is None else Explanation.from_json(found)
        return from_known_keys(cls, values | {"explanation": explanation})


@dataclasses.dataclass(frozen=True)
class ConfusedPair:
    """Two classes of which one is often taken for the other, with examples.

    Args:
        label: the true class.
        predicted: the answer.
        count: examples of the split, at least 1.
        examples: some of them, the most confident first.
    """

    label: str
    predicted: str
    count: int
    examples: list[Mistake]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        examples = [row.to_json() for row in self.examples]
        return {**vars(self), "examples": examples}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ConfusedPair":
        """The pair of plain JSON."""
        examples = [Mistake.from_json(row) for row in values.get("examples", [])]
        return from_known_keys(cls, values | {"examples": examples})


@dataclasses.dataclass(frozen=True)
class Report:
    """The report of a run, of an evaluation of a run, or of a cross-validation.

    What a kind of report does not have is None and not in the JSON.

    Args:
        command: makes the same report again.
        options: flag -> its value, `auto` replaced; None in an evaluation.
        run: what is shown at the top: data, backbone, head, method and more, by name.
        validation: metrics on the validation split; None without such rows.
        test: metrics on the test split, or on the rows that were judged; None without such rows.
        chosen_on_validation: what was chosen on the validation split, in words.
        time_s: stage -> seconds, with `total`.
        parameters: how many there are, and how many were trained.
        versions: package -> version.
        data: what the data hold.
        transfer: rows of name, shape and what was done, of weights taken by name from another
            network.
        baselines: name -> row of a simpler model; None without a test split.
        title: of the page; None: made from `run`.
        folds: of a cross-validation; None where there are none.
        fold_means: metric -> its mean over the folds; None without folds, and in old reports.
        round_kind: what each of the folds is, a key of `folds.KINDS`.
        folds_text: their headline metric in words, with mean and deviation.
        worst_mistakes: on `test`, else on `validation`, the worst first.
        trainable_table: a dict per group of layers, all with the same keys, as `freezing.table`
            gives them.
        borderline: right answers of the split with the lowest probabilities, the lowest first.
        confused: the most confused pairs of classes, the most frequent first.
        formats: the model itself and each format that it was exported in, with their answers and
            times; [] where none but a SavedModel was written.
        facts: of a run; None in an evaluation.
        explained: how the worst mistakes were explained, or why they were not; None where it was not
            asked for.
        tasks: of a run of several heads, a block for each; None where there is one.
        ensemble: the members of an ensemble; None for other models.
        tried: what was tried before this model was chosen; None where nothing was.
        samples: training examples as the network sees them. They are shown in report.html and are
            not in the JSON.
    """

    command: str | None = None
    options: dict[str, Any] | None = None
    run: dict[str, Any] = dataclasses.field(default_factory=dict)
    validation: SplitMetrics | None = None
    test: SplitMetrics | None = None
    chosen_on_validation: list[str] | None = None
    time_s: dict[str, float] = dataclasses.field(default_factory=dict)
    parameters: Parameters | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    data: DataSummary | None = None
    transfer: list[list[Any]] | None = None
    baselines: dict[str, BaselineRow] | None = None
    title: str | None = None
    folds: list[Fold] | None = None
    fold_means: dict[str, FoldMean] | None = None
    folds_text: str | None = None
    round_kind: str = fold_rows.FOLDS.name
    worst_mistakes: list[Mistake] = dataclasses.field(default_factory=list)
    trainable_table: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    borderline: list[Mistake] = dataclasses.field(default_factory=list)
    confused: list[ConfusedPair] = dataclasses.field(default_factory=list)
    formats: list[FormatRow] = dataclasses.field(default_factory=list)
    facts: RunFacts | None = None
    explained: str | None = None
    tasks: list[TaskBlock] | None = None
    ensemble: EnsembleBlock | None = None
    tried: TriedBlock | None = None
    samples: list[SampleGroup] = dataclasses.field(default_factory=list, compare=False, repr=False)

    def main_split(self) -> tuple[str, SplitMetrics | None]:
        """`(name, metrics)` of the split that the report is about: test, else validation.

        The headline metrics of a cross-validation are means over its folds. The metrics of several
        tasks are in their blocks.
        """
        if self.tasks:
            return ("test" if any(block.test for block in self.tasks) else "validation"), None
        if self.test and len(self.folds or ()) > 1:
            return "test", fold_rows.average(
                self.test, self.folds or (), fold_rows.kind_of(self.round_kind)
            )
        return ("test", self.test) if self.test else ("validation", self.validation)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as report.json holds it."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("validation", "test", "data"):
            values[name] = values[name] and values[name].to_json()
        values["parameters"] = self.parameters and dataclasses.asdict(self.parameters)
        if self.baselines is not None:
            values["baselines"] = {name: row.to_json() for name, row in self.baselines.items()}
        values["tasks"] = self.tasks and [block.to_json() for block in self.tasks]
        values["tried"] = self.tried and self.tried.to_json()
        values["ensemble"] = self.ensemble and self.ensemble.to_json()
        values["folds"] = self.folds and [fold.to_json() for fold in self.folds]
        if self.fold_means is not None:
            values["fold_means"] = {k: _present(vars(row)) for k, row in self.fold_means.items()}
        values["worst_mistakes"] = [row.to_json() for row in self.worst_mistakes]
        for name in ("borderline", "confused"):
            values[name] = [row.to_json() for row in values[name]] or None
        values["formats"] = [row.to_json() for row in self.formats] or None
        values["facts"] = self.facts and self.facts.to_json()
        del values["samples"]
        if self.round_kind == fold_rows.FOLDS.name:
            del values["round_kind"]
        return _present(
            {
                name: values[name]
                for name in dict.fromkeys([*self._order(), *values])
                if name in values
            }
        )

    def _order(self) -> tuple[str, ...]:
        if self.folds is not None:
            return OF_FOLDS
        return OF_AN_EVALUATION if self.options is None else ()

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Report":
        """The report of plain JSON; every key may be missing.

        Unknown keys of metrics and of the counts of a split are kept as their `details`; all others
        are passed over.

        Raises:
            KeyError, TypeError, AttributeError: values that are not those of a report.
        """
        readers: dict[str, Callable[[Any], Any]] = {
            "validation": SplitMetrics.from_json,
            "test": SplitMetrics.from_json,
            "parameters": lambda value: from_known_keys(Parameters, value),
            "data": DataSummary.from_json,
            "baselines": lambda rows: {k: BaselineRow.from_json(row) for k, row in rows.items()},
            "tasks": lambda rows: [TaskBlock.from_json(row) for row in rows],
            "ensemble": EnsembleBlock.from_json,
            "tried": TriedBlock.from_json,
            "folds": lambda rows: [Fold.from_json(row) for row in rows],
            "fold_means": lambda rows: {
                name: from_known_keys(FoldMean, row) for name, row in rows.items()
            },
            "worst_mistakes": lambda rows: [Mistake.from_json(row) for row in rows],
            "borderline": lambda rows: [Mistake.from_json(row) for row in rows],
            "confused": lambda rows: [ConfusedPair.from_json(row) for row in rows],
            "formats": lambda rows: [FormatRow.from_json(row) for row in rows],
            "facts": RunFacts.from_json,
        }
        found = {name: value for name, value in values.items() if value is not None}
        read = {name: reader(found[name]) for name, reader in readers.items() if name in found}
        return from_known_keys(cls, found | read)


def run_report(run: pathlib.Path | str) -> Report | None:
    """The report in RUN/report.json; None if it cannot be read or is not a report."""
    try:
        text = (pathlib.Path(run) / layout.REPORT_JSON).read_text(encoding="utf-8")
        return Report.from_json(json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _present(values: dict[str, Any]) -> dict[str, Any]:
    """The items whose value is not None."""
    return {name: value for name, value in values.items() if value is not None}
