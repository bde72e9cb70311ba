"""The metrics of one model on one split, as evaluators measure them and reports hold them."""

import dataclasses
from typing import Any, TypeVar

from tltf.data import label_kinds
from tltf.evaluation.reliability import ReliabilityBin

T = TypeVar("T")

LAST_SCORES = ("mean_rank_error", "within_one_class", "quadratic_kappa")
"""Scores of classes that are ranks, which are the last keys in JSON."""
LABEL_NAME = "label_name"
"""In details, the column or field that the labels are read from, where the data names it."""


def from_known_keys(kind: type[T], values: dict[str, Any]) -> T:
    """An instance of a dataclass, made of the keys of plain JSON that are its fields.

    Other keys are passed over, so that reports of other versions can be read.

    Args:
        kind: the dataclass.
        values: plain JSON.

    Raises:
        TypeError: a field without a default is missing.
    """
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in names})


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """How well one class is predicted.

    Args:
        name: of the class.
        precision: share of the answers with this class that are right, 0..1; 0 without any.
        recall: share of the examples of this class that are answered right, 0..1; 0 without any.
        f1: harmonic mean of the two, 0..1.
        support: examples of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `support` is its last key."""
        values = dataclasses.asdict(self)
        return values | {"support": values.pop("support")}


@dataclasses.dataclass(frozen=True)
class LabelRow(ClassRow):
    """How well one label is predicted where rows have several.

    Args:
        average_precision: area under the curve of precision over recall, 0..1; None for a label that
            no example has.
    """

    average_precision: float | None = None


@dataclasses.dataclass(frozen=True)
class MajorityAnswer:
    """The most frequent class of the split itself as the answer to every example.

    Args:
        label: the class.
        accuracy: 0..1.
        macro_f1: 0..1.
    """

    label: str
    accuracy: float
    macro_f1: float


@dataclasses.dataclass(frozen=True)
class QuantileLevel:
    """One quantile that a head of numbers states.

    Args:
        level: 0..1, what the share below should be.
        share_below: share of the true numbers that are at most the quantile, 0..1.
    """

    level: float
    share_below: float


@dataclasses.dataclass(frozen=True)
class SplitMetrics:
    """The metrics of one model on one split.

    What is not measured for a kind of labels is empty or None, and is not in the JSON. A mean over
    folds has `scores` only.

    Args:
        scores: metric -> value, in the order of the report; None where the split does not define
            it. Each evaluator's `measure` lists its metrics with their ranges.
        num_examples: rows of the split.
        target: the kind of labels, a name of label_kinds.KINDS.
        class_names: C names of classes or labels.
        absent_classes: those of them without an example in the split.
        per_class: C rows, in the order of the names.
        confusion: C lists of C counts; rows are the true classes.
        reliability: bins of the stated probability, rising.
        levels: quantiles of a head of numbers, rising.
        points: lists of a true number, its median, its lowest and its highest quantile.
        intervals: metric -> [low, high], for metrics that have an interval.
        interval_confidence: coverage of the intervals, 0..1.
        majority: of the split, for one class per row.
        details: what else an evaluator measures or shows, plain JSON by name. Names that this
            version does not know are kept here when a report is read.
    """

    scores: dict[str, float | None]
    num_examples: int | None = None
    target: str = label_kinds.CLASS
    class_names: list[str] = dataclasses.field(default_factory=list)
    absent_classes: list[str] = dataclasses.field(default_factory=list)
    per_class: list[ClassRow] = dataclasses.field(default_factory=list)
    confusion: list[list[int]] = dataclasses.field(default_factory=list)
    reliability: list[ReliabilityBin] = dataclasses.field(default_factory=list)
    levels: list[QuantileLevel] = dataclasses.field(default_factory=list)
    points: list[list[float]] = dataclasses.field(default_factory=list)
    intervals: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    interval_confidence: float | None = None
    majority: MajorityAnswer | None = None
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    def score(self, name: str) -> float:
        """The value of a score that the split defines.

        Raises:
            KeyError: it was not measured, or is None.
        """
        value = self.scores.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the scores stand beside the other keys."""
        first: dict[str, Any] = {}
        if self.target != label_kinds.CLASS:
            first["target"] = self.target
        if self.num_examples is not None:
            first["num_examples"] = self.num_examples
        scores = {name: value for name, value in self.scores.items() if name not in LAST_SCORES}
        last = {name: self.scores[name] for name in LAST_SCORES if name in self.scores}
        return first | scores | self._parts() | self.details | self._intervals() | last

    def _parts(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.class_names:
            found["class_names"] = self.class_names
            found["absent_classes"] = self.absent_classes
        if self.per_class:
            found["per_class"] = [row.to_json() for row in self.per_class]
        if self.confusion:
            found["confusion"] = self.confusion
        if self.reliability:
            found["reliability"] = [dataclasses.asdict(row) for row in self.reliability]
        if self.levels:
            found["levels"] = [dataclasses.asdict(row) for row in self.levels]
        if self.points:
            found["points"] = self.points
        return found

    def _intervals(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.intervals or self.interval_confidence is not None:
            found["intervals"] = self.intervals
        if self.interval_confidence is not None:
            found["interval_confidence"] = self.interval_confidence
        if self.majority:
            found["majority"] = dataclasses.asdict(self.majority)
        return found

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "SplitMetrics":
        """The metrics of plain JSON; every key may be missing."""
        known = {field.name for field in dataclasses.fields(cls)} - {"scores", "details"}
        parts = {name: value for name, value in values.items() if name in known}
        others = {name: value for name, value in values.items() if name not in known}
        scores = {
            name: value
            for name, value in others.items()
            if value is None or isinstance(value, (int, float))
        }
        details = {name: value for name, value in others.items() if name not in scores}
        kinds = {"reliability": ReliabilityBin, "levels": QuantileLevel}
        for name, kind in kinds.items():
            parts[name] = [from_known_keys(kind, row) for row in parts.get(name, [])]
        parts["per_class"] = [_class_row(row) for row in parts.get("per_class", [])]
        if "majority" in parts:
            parts["majority"] = from_known_keys(MajorityAnswer, parts["majority"])
        return cls(scores, details=details, **parts)


def _class_row(values: dict[str, Any]) -> ClassRow:
    return from_known_keys(LabelRow if "average_precision" in values else ClassRow, values)
