"""Judges answers of one class per row; candidates are float[N, C] probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.data.source import Source
from tltf.evaluation import baselines, classification
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.report.wording import Wording, percent


class ClassEvaluator(Evaluator):
    """See `tltf.evaluation.evaluators`.

    Args:
        head: whose answers are judged.
    """

    constant_name, linear_name = "majority", "logistic_regression"
    """Names of the baselines in reports."""
    wording = Wording(
        "accuracy", "accuracy", ("macro_f1", "loss"),
        ("num_examples", "accuracy", "balanced_accuracy", "top_5_accuracy", "roc_auc", "macro_f1",
         "macro_precision", "macro_recall", "weighted_f1", "loss", "calibration_error",
         "mean_confidence", "mean_rank_error", "quadratic_kappa"),
        lambda examples, metrics, interval: (
            f"The model is right on {percent(metrics['accuracy'])} of {examples}{interval}."),
    )  # fmt: skip

    def candidate(self, head: Any, stated: np.ndarray) -> Any:
        """What is judged of what a head states."""
        return stated

    def measure(
        self, labels: Any, candidate: np.ndarray, class_names: Sequence[str], *, seed: int = 0
    ) -> Any:
        """Every metric, see `classification.measure`; with `rank_metrics` where classes are ranks."""
        found = classification.measure(labels, candidate, class_names, seed=seed)
        more = classification.rank_metrics(labels, candidate) if self.head.has_order else {}
        return found | more

    def difference(
        self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0
    ) -> dict[str, Any]:
        """How much better the first candidate is, see `classification.paired_difference`."""
        return classification.paired_difference(labels, first, second, seed=seed)

    def worst(self, labels: Any, candidate: Any, class_names: Any, ids: Any, limit: Any) -> Any:
        """The worst mistakes, see `classification.worst_mistakes`."""
        return classification.worst_mistakes(labels, candidate, class_names, ids, limit=limit)

    def constant(self, train_labels: Any, labels: Any, class_names: Any, *, seed: Any = 0) -> Any:
        """`(row, candidate)` of the answer that looks at no input."""
        return baselines.majority(train_labels, labels, class_names, seed=seed)

    def linear(
        self,
        train: Any,
        validation: Any,
        test: Any,
        class_names: Any,
        *,
        seed: Any = 0,
        groups: Any = None,
    ) -> Any:
        """`(row, candidate)` of a linear model on (features, labels) of each split."""
        return baselines.logistic_regression(
            train, validation, test, class_names, seed=seed, groups=groups
        )

    def counts(self, part: Any) -> Any:
        """What a report says of the labels of a split."""
        found = np.bincount(part.labels, minlength=len(part.class_names)).tolist()
        return {"class_counts": dict(zip(part.class_names, found, strict=True))}

    def training_labels(self, report: Any, part: Source) -> np.ndarray | None:
        """Labels with the counts of a report's training split; None where it does not say."""
        try:
            counts = report["data"]["splits"]["train"]["class_counts"]
            found = np.array([counts[name] for name in part.class_names])
        except (KeyError, TypeError):
            return None
        is_usable = found.dtype.kind == "i" and found.min() >= 0 and found.any()
        return np.repeat(np.arange(len(found)), found) if is_usable else None

    def truths(self, labels: Any, class_names: Any) -> Any:
        """str per row: the labels in tables."""
        return [class_names[place] for place in labels]

    def answers(self, candidate: Any, class_names: Any) -> Any:
        """str per row: the answers in tables."""
        return [class_names[place] for place in np.argmax(candidate, axis=1)]

    def values(self, candidate: np.ndarray) -> Any:
        """float[N, K]: what the head stated, for tables."""
        return candidate

    def parse(
        self, truths: Any, answers: Sequence[str], values: np.ndarray, class_names: Sequence[str]
    ) -> Any:
        """`(labels, candidate)` of the rows of a table."""
        places = {name: place for place, name in enumerate(class_names)}
        return np.array([places[name] for name in truths]), values
