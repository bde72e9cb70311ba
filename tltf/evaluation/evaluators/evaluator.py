"""The base of all evaluators, which judge the answers of one kind of labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from tltf.data.source import Source
from tltf.evaluation.baseline_row import BaselineRow, PairedDifference
from tltf.evaluation.baselines import Examples
from tltf.evaluation.report.report import Mistake, SplitCounts
from tltf.evaluation.report.sections import Section
from tltf.evaluation.report.wording import Wording
from tltf.evaluation.split_metrics import SplitMetrics

if TYPE_CHECKING:
    from tltf.heads.head import Head

Candidate = TypeVar("Candidate")
"""What a model states for the rows of a split, in the form that a kind of labels is judged in."""


class Evaluator(Generic[Candidate]):
    """Judges the answers of one kind of labels; see `tltf.evaluation.evaluators`.

    Args:
        head: whose answers are judged.
    """

    constant_name: ClassVar[str]
    """Name in reports of the baseline that does not look at the input."""
    linear_name: ClassVar[str]
    """Name in reports of the linear model on frozen features."""
    wording: ClassVar[Wording]
    """How reports name and print the metrics."""

    def __init__(self, head: "Head") -> None:
        self.head = head

    def candidate(self, head: "Head", stated: np.ndarray) -> Candidate:
        """What is judged of what a head states, float[N, K]."""
        raise NotImplementedError

    def measure(
        self,
        labels: np.ndarray,
        candidate: Candidate,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
    ) -> SplitMetrics:
        """Every metric of one candidate on one split, with intervals."""
        raise NotImplementedError

    def details(
        self,
        labels: np.ndarray,
        candidate: Candidate,
        class_names: Sequence[str] = (),
        *,
        validation: SplitMetrics | None = None,
    ) -> dict[str, Any]:
        """What a report shows of the judged model alone, beside what `measure` gives of any model.

        Args:
            labels: as `measure` takes them.
            candidate: of the judged model, whose head is the evaluator's.
            class_names: of the classes or labels.
            validation: the metrics of the validation split with their details, on which thresholds
                were chosen; None where they are chosen on these rows.

        Returns:
            Plain JSON by name, for `SplitMetrics.details`.
        """
        return {}

    def difference(
        self, labels: np.ndarray, first: Candidate, second: Candidate, *, seed: int = 0
    ) -> PairedDifference:
        """How much better the first candidate is: first minus second."""
        raise NotImplementedError

    def row_errors(self, labels: np.ndarray, candidate: Candidate) -> np.ndarray:
        """float64[N]: how wrong each answer is, at least 0; two candidates are compared by it row by row."""
        raise NotImplementedError

    def worst(
        self,
        labels: np.ndarray,
        candidate: Candidate,
        class_names: Sequence[str],
        ids: Sequence[str],
        limit: int,
    ) -> list[Mistake]:
        """The worst mistakes, of which there are at most `limit`."""
        raise NotImplementedError

    def constant(
        self,
        train_labels: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
    ) -> tuple[BaselineRow, Candidate]:
        """`(row, candidate)` of a constant answer, which does not look at the input."""
        raise NotImplementedError

    def linear(
        self,
        train: Examples,
        validation: Examples | None,
        test: Examples,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> tuple[BaselineRow, Candidate]:
        """`(row, candidate)` of a linear model on `(features, labels)` of each split."""
        raise NotImplementedError

    def counts(self, part: Source) -> SplitCounts:
        """What a report says of the rows of a split and their labels."""
        raise NotImplementedError

    def training_labels(self, counts: SplitCounts, part: Source) -> np.ndarray | None:
        """Labels like those that a training split of these counts had; None where they do not say."""
        raise NotImplementedError

    def truths(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The labels as texts for tables."""
        raise NotImplementedError

    def answers(self, candidate: Candidate, class_names: Sequence[str]) -> list[str]:
        """The answers as texts for tables."""
        raise NotImplementedError

    def values(self, candidate: Candidate) -> np.ndarray:
        """float[N, K]: what the head stated, for tables."""
        raise NotImplementedError

    def parse(
        self,
        truths: Sequence[str],
        answers: Sequence[str],
        values: np.ndarray,
        class_names: Sequence[str],
    ) -> tuple[np.ndarray, Candidate]:
        """`(labels, candidate)` of the rows of a table."""
        raise NotImplementedError

    @classmethod
    def linear_method(cls, options: Mapping[str, Any]) -> str:
        """The --method that trains the head alone on frozen features, as the linear model is.

        Args:
            options: flag -> value of the run, as `Report.options` has them.
        """
        return "linear_probe"

    @classmethod
    def sentences(cls, metrics: SplitMetrics) -> Iterator[str]:
        """What a report says of the metrics, after the sentences that all kinds of labels have."""
        return iter(())

    @classmethod
    def sections(cls, metrics: SplitMetrics, split: str) -> list[Section]:
        """What a report shows of the metrics, beside what all kinds of labels have.

        Args:
            metrics: as `measure` gives them, or as they are read from report.json.
            split: the name of the split.

        Returns:
            list of Section in their order; empty for metrics that have scores only.
        """
        return []


class ArrayEvaluator(Evaluator[np.ndarray]):
    """An evaluator whose candidates are float64[N, K], what a head states as it is.

    Args:
        head: whose answers are judged.
    """

    def candidate(self, head: "Head", stated: np.ndarray) -> np.ndarray:
        """What is judged of what a head states."""
        return np.asarray(stated, np.float64)

    def values(self, candidate: np.ndarray) -> np.ndarray:
        """float64[N, K]: what the head stated."""
        return candidate
