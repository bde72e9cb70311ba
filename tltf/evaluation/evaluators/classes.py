"""The evaluator of one class per row; its candidates are float[N, C] probabilities."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tltf.data.source import Source
from tltf.evaluation import baselines, classification
from tltf.evaluation.baseline_row import BaselineRow, PairedDifference
from tltf.evaluation.baselines import Examples
from tltf.evaluation.evaluators import class_sections
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.report.report import Mistake, SplitCounts
from tltf.evaluation.report.sections import Section
from tltf.evaluation.report.wording import MetricTile, Wording, percent
from tltf.evaluation.split_metrics import SplitMetrics

if TYPE_CHECKING:
    from tltf.heads.head import Head


def _sentence(examples: str, metrics: SplitMetrics, interval: str) -> str:
    return f"The model is right on {percent(metrics.score('accuracy'))} of {examples}{interval}."


class ClassEvaluator(Evaluator[np.ndarray]):
    """Judges probabilities of one class per row; see `tltf.evaluation.evaluators`.

    Args:
        head: whose answers are judged.
    """

    constant_name, linear_name = "majority", "logistic_regression"
    wording = Wording(
        "accuracy",
        "accuracy",
        ("macro_f1", "loss"),
        (
            "num_examples",
            "accuracy",
            "balanced_accuracy",
            "top_5_accuracy",
            "roc_auc",
            "macro_f1",
            "macro_precision",
            "macro_recall",
            "weighted_f1",
            "loss",
            "calibration_error",
            "mean_confidence",
            "mean_rank_error",
            "quadratic_kappa",
        ),
        _sentence,
        (
            MetricTile("macro_f1", "macro F1"),
            MetricTile("loss", "loss"),
            MetricTile("calibration_error", "calibration error", "0 is best"),
            MetricTile(
                "quadratic_kappa",
                "quadratic kappa",
                "answers are {mean_rank_error:.3f} classes off on average",
            ),
        ),
        {
            "majority": "majority class",
            "logistic_regression": "logistic regression on frozen features",
        },
        constant_answer="always answering the most frequent class",
        linear_model="logistic regression",
    )

    def candidate(self, head: "Head", stated: np.ndarray) -> np.ndarray:
        """What is judged of what a head states."""
        return stated

    def measure(
        self,
        labels: np.ndarray,
        candidate: np.ndarray,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
    ) -> SplitMetrics:
        """Every metric, see `classification.measure`; with `rank_metrics` where classes are ranks."""
        found = classification.measure(labels, candidate, class_names, seed=seed)
        if not self.head.has_order:
            return found
        ranks = classification.rank_metrics(labels, candidate)
        return dataclasses.replace(found, scores=found.scores | ranks)

    def difference(
        self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0
    ) -> PairedDifference:
        """How much better the first candidate is, see `classification.paired_difference`."""
        return classification.paired_difference(labels, first, second, seed=seed)

    def worst(
        self,
        labels: np.ndarray,
        candidate: np.ndarray,
        class_names: Sequence[str],
        ids: Sequence[str],
        limit: int,
    ) -> list[Mistake]:
        """The worst mistakes, see `classification.worst_mistakes`."""
        return classification.worst_mistakes(labels, candidate, class_names, ids, limit=limit)

    def constant(
        self,
        train_labels: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
    ) -> tuple[BaselineRow, np.ndarray]:
        """`(row, candidate)` of the most frequent class of the training rows."""
        return baselines.majority(train_labels, labels, class_names, seed=seed)

    def linear(
        self,
        train: Examples,
        validation: Examples | None,
        test: Examples,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> tuple[BaselineRow, np.ndarray]:
        """`(row, candidate)` of logistic regression on frozen features."""
        return baselines.logistic_regression(
            train, validation, test, class_names, seed=seed, groups=groups
        )

    def counts(self, part: Source) -> SplitCounts:
        """What a report says of the labels of a split."""
        found = np.bincount(np.asarray(part.labels), minlength=len(part.class_names)).tolist()
        return SplitCounts(len(part), dict(zip(part.class_names, found, strict=True)))

    def training_labels(self, counts: SplitCounts, part: Source) -> np.ndarray | None:
        """Labels with the counts of a training split; None where it does not say."""
        try:
            found = np.array([(counts.class_counts or {})[name] for name in part.class_names])
        except (KeyError, TypeError):
            return None
        is_usable = found.dtype.kind == "i" and found.min() >= 0 and found.any()
        return np.repeat(np.arange(len(found)), found) if is_usable else None

    def truths(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """One str per row: its class."""
        return [class_names[place] for place in labels]

    def answers(self, candidate: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """One str per row: the class with the highest probability."""
        return [class_names[place] for place in np.argmax(candidate, axis=1)]

    def values(self, candidate: np.ndarray) -> np.ndarray:
        """float[N, C]: the probabilities."""
        return candidate

    def parse(
        self,
        truths: Sequence[str],
        answers: Sequence[str],
        values: np.ndarray,
        class_names: Sequence[str],
    ) -> tuple[np.ndarray, np.ndarray]:
        """`(labels, candidate)` of the rows of a table."""
        places = {name: place for place, name in enumerate(class_names)}
        return np.array([places[name] for name in truths]), values

    @classmethod
    def linear_method(cls, options: Mapping[str, Any]) -> str:
        """A linear probe, solved for where the head is one dense layer and has the plain loss."""
        head = str(options.get("head", "classify"))
        is_dense = head.startswith("classify") and not {"hidden", "dropout"} & set(
            re.findall(r"\w+", head)
        )
        is_solvable = is_dense and options.get("loss", "cross_entropy") == "cross_entropy"
        return "linear_probe(solver=lbfgs)" if is_solvable else "linear_probe"

    @classmethod
    def sentences(cls, metrics: SplitMetrics) -> Iterator[str]:
        """How sure the answers are, and which class is the weakest."""
        yield from _calibration_sentences(metrics)
        yield from class_sections.weakest_sentences(metrics, "class")

    @classmethod
    def sections(cls, metrics: SplitMetrics, split: str) -> list[Section]:
        """Confusions, classes and calibration."""
        what = (
            "Answers are grouped by the probability that the model states. The bar is the share "
            "that was right"
        )
        return [
            *class_sections.confusion_section(metrics),
            *class_sections.class_section(metrics, split),
            *class_sections.calibration_section(metrics, what),
        ]


def _calibration_sentences(metrics: SplitMetrics) -> Iterator[str]:
    confidence = metrics.scores.get("mean_confidence")
    if confidence is None:
        return
    gap = confidence - metrics.score("accuracy")
    name = "Overconfident" if gap > 0 else "Underconfident"
    name = "Well calibrated on average" if abs(gap) < 0.01 else name
    right, error = metrics.score("accuracy"), metrics.scores.get("calibration_error")
    yield (
        f"{name}: the model states a probability of {percent(confidence)} on average and is right "
        f"{percent(right)} of the time (calibration error {percent(error)})."
    )
