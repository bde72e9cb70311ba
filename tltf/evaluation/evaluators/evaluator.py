"""What judges the answers of one kind of labels: the base of all evaluators."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tltf.evaluation.report.wording import Wording


class Evaluator:
    """Judges answers; see `tltf.evaluation.evaluators`.

    A *candidate* is what a model states for the rows of a split, in the form that the kind of labels
    is judged in. Rows that reports hold are plain JSON.

    Args:
        head: whose answers are judged.
    """

    constant_name: ClassVar[str]
    """In reports, the baseline that looks at no input."""
    linear_name: ClassVar[str]
    """In reports, the linear model on frozen features."""
    wording: ClassVar[Wording]

    def __init__(self, head: Any) -> None:
        self.head = head

    def candidate(self, head: Any, stated: Any) -> Any:
        """What is judged of what a head states."""
        raise NotImplementedError

    def measure(
        self, labels: np.ndarray, candidate: Any, class_names: Sequence[str], *, seed: int = 0
    ) -> dict:
        """Every metric of one candidate on one split, with intervals."""
        raise NotImplementedError

    def difference(self, labels: np.ndarray, first: Any, second: Any, *, seed: int = 0) -> dict:
        """How much better the first candidate is: metric -> difference and interval."""
        raise NotImplementedError

    def worst(
        self,
        labels: np.ndarray,
        candidate: Any,
        class_names: Sequence[str],
        ids: Sequence[str],
        limit: int,
    ) -> list[dict]:
        """The worst mistakes, of which there are at most `limit`."""
        raise NotImplementedError

    def constant(
        self,
        train_labels: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str],
        *,
        seed: int = 0,
    ) -> tuple[dict, Any]:
        """`(row, candidate)` of the answer that looks at no input."""
        raise NotImplementedError

    def linear(
        self,
        train: tuple,
        validation: tuple | None,
        test: tuple,
        class_names: Sequence[str],
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> tuple[dict, Any]:
        """`(row, candidate)` of a linear model on `(features, labels)` of each split."""
        raise NotImplementedError

    def counts(self, part: Any) -> dict:
        """What a report says of the labels of a split, a Source."""
        raise NotImplementedError

    def training_labels(self, report: dict, part: Any) -> np.ndarray | None:
        """Labels like those that a report's training split had; None where it does not say."""
        raise NotImplementedError

    def truths(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """The labels as texts for tables."""
        raise NotImplementedError

    def answers(self, candidate: Any, class_names: Sequence[str]) -> list[str]:
        """The answers as texts for tables."""
        raise NotImplementedError

    def values(self, candidate: Any) -> np.ndarray:
        """float[N, K]: what the head stated, for tables."""
        raise NotImplementedError

    def parse(
        self,
        truths: Sequence[str],
        answers: Sequence[str],
        values: np.ndarray,
        class_names: Sequence[str],
    ) -> tuple[np.ndarray, Any]:
        """`(labels, candidate)` of the rows of a table."""
        raise NotImplementedError
