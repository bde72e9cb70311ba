"""The evaluator of one class per row; its candidates are float[N, C] probabilities."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tltf.data.source import Source
from tltf.evaluation import baselines, binary_curves, bootstrap, classification
from tltf.evaluation.baseline_row import (
    CLASSICAL,
    LIGHT_HEAD,
    ORACLE,
    BaselineRow,
    Gain,
    PairedDifference,
)
from tltf.evaluation.baselines import Examples
from tltf.evaluation.evaluators import belief_sections, binary_sections, class_sections
from tltf.evaluation.evaluators.evaluator import ArrayEvaluator
from tltf.evaluation.report.report import Mistake, SplitCounts
from tltf.evaluation.report.sections import Section
from tltf.evaluation.report.wording import MetricTile, Wording, number, percent
from tltf.evaluation.split_metrics import SplitMetrics


def _sentence(examples: str, metrics: SplitMetrics, interval: str) -> str:
    return f"The model is right on {percent(metrics.score('accuracy'))} of {examples}{interval}."


class ClassEvaluator(ArrayEvaluator):
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
            "within_one_class",
            "quadratic_kappa",
        ),
        _sentence,
        (
            MetricTile("within_one_class", "right or one class off"),
            MetricTile("mean_rank_error", "mean distance, in classes"),
            MetricTile("quadratic_kappa", "quadratic kappa", "1 is best, 0 is chance"),
            MetricTile(
                "macro_f1", "macro F1", is_shown=lambda found: not class_sections.is_ordered(found)
            ),
            MetricTile("roc_auc", "ROC AUC"),
            MetricTile(
                "balanced_accuracy",
                "balanced accuracy",
                "mean recall of the classes",
                class_sections.is_uneven,
            ),
            MetricTile("calibration_error", "calibration error", "0 is best"),
        ),
        {
            "majority": "majority class",
            "logistic_regression": "logistic regression on frozen features",
            LIGHT_HEAD: "tuned light head on frozen features",
            ORACLE: "tuned light head on the labels of --target_data",
            CLASSICAL: "words, or edges and colours, without a pretrained network",
        },
        constant_answer="always answering the most frequent class",
        linear_model="logistic regression",
    )

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
        return self._completed(found, labels, candidate, seed)

    def _completed(
        self, found: SplitMetrics, labels: np.ndarray, candidate: np.ndarray, seed: int
    ) -> SplitMetrics:
        """The metrics with the interval of the area of two classes, and with those of ranks."""
        scores, intervals = dict(found.scores), dict(found.intervals)
        if "roc_auc" in scores:
            intervals["roc_auc"] = binary_curves.area_interval(labels, candidate[:, 1])
        if self.head.has_order:
            ranks = classification.rank_metrics(labels, candidate)
            known = bootstrap.intervals(
                classification.rank_terms(labels, candidate),
                lambda totals: classification.rank_means(totals, len(labels)),
                ("within_one_class",),
                seed=seed,
            )
            scores |= ranks
            intervals |= {name: bounds for name, bounds in known.items() if name in ranks}
        return dataclasses.replace(found, scores=scores, intervals=intervals)

    def details(
        self,
        labels: np.ndarray,
        candidate: np.ndarray,
        class_names: Sequence[str] = (),
        *,
        validation: SplitMetrics | None = None,
    ) -> dict[str, Any]:
        """The curves and thresholds of two classes, see `binary_curves`; {} of more classes."""
        if len(class_names) != 2:
            return {}
        chosen = binary_curves.BinaryCurves.from_details(validation.details if validation else {})
        found = binary_curves.measure(labels, candidate[:, 1], str(class_names[1]), chosen)
        return {binary_curves.DETAILS: dataclasses.asdict(found)} if found else {}

    def difference(
        self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0
    ) -> PairedDifference:
        """How much better the first candidate is, see `classification.paired_difference`.

        With the differences of the area under the ROC curve of two classes, and of the distances of
        classes that are ranks.
        """
        found = classification.paired_difference(labels, first, second, seed=seed)
        gains = dict(found.gains)
        if first.shape[1] == 2 and np.ptp(labels):
            gains["roc_auc"] = _gain_of_areas(np.asarray(labels), first, second, seed)
        if self.head.has_order:
            terms = [classification.rank_terms(labels, part) for part in (first, second)]
            gains |= bootstrap.differences(
                terms, lambda totals: classification.rank_means(totals, len(labels)), seed=seed
            ).gains
        return dataclasses.replace(found, gains=gains)

    def row_errors(self, labels: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """float64[N]: 0 for a right answer, else the probability of the answer, above 0."""
        is_wrong = candidate.argmax(axis=1) != labels
        return np.where(is_wrong, np.maximum(candidate.max(axis=1), 1e-9), 0.0)

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
        row, stated = baselines.majority(train_labels, labels, class_names, seed=seed)
        test = self._completed(row.test, np.asarray(labels), stated, seed)
        return dataclasses.replace(row, test=test), stated

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
        row, stated = baselines.logistic_regression(
            train, validation, test, class_names, seed=seed, groups=groups
        )
        completed = self._completed(row.test, np.asarray(test[1]), stated, seed)
        return dataclasses.replace(row, test=completed), stated

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
        """How sure the answers are, how far off, from which threshold on, and the weakest class."""
        yield from _calibration_sentences(metrics)
        yield from _rank_sentences(metrics)
        yield from binary_sections.sentences(metrics)
        yield from class_sections.weakest_sentences(metrics, "class")

    @classmethod
    def sections(cls, metrics: SplitMetrics, split: str) -> list[Section]:
        """Confusions, classes, thresholds and calibration."""
        what = (
            "Answers are grouped by the probability that the model states. A bar is the share of a "
            "group that was right"
        )
        return [
            *class_sections.confusion_section(metrics),
            *class_sections.class_section(metrics, split),
            *binary_sections.section(metrics, split),
            *belief_sections.abstention_section(metrics, split),
            *belief_sections.calibration_section(metrics, what),
        ]


def _gain_of_areas(labels: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int) -> Gain:
    """The difference of the areas under the ROC curve, with its paired interval."""
    points, values = [], []
    for part in (first, second):
        points.append(binary_curves.area(labels, part[:, 1]))
        number = bootstrap.NUM_RESAMPLES
        values.append(
            binary_curves.area_resamples(labels, part[:, 1], seed=seed, num_resamples=number)
        )
    known = np.isfinite(values[0])
    bounds = bootstrap.interval((values[0] - values[1])[known], bootstrap.CONFIDENCE)
    return Gain(points[0] - points[1], [0.0, 0.0] if np.array_equal(first, second) else bounds)


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
        f"{percent(right)} of the time (calibration error {percent(error)}"
        f"{belief_sections.calibration_end(metrics)})."
    )


def _rank_sentences(metrics: SplitMetrics) -> Iterator[str]:
    distance, near = (metrics.scores.get(name) for name in ("mean_rank_error", "within_one_class"))
    if distance is not None and near is not None:
        yield (
            f"{percent(near)} of the answers are right or one class off; the mean distance is "
            f"{number(distance)} classes."
        )
