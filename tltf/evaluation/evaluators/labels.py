"""The evaluator of several labels per row; its candidates are probabilities and given labels."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tltf.data import label_kinds
from tltf.data.source import Source
from tltf.evaluation import (
    bootstrap,
    label_details,
    label_metrics,
    linear_baselines,
    reliability,
)
from tltf.evaluation.baseline_row import BaselineRow, PairedDifference
from tltf.evaluation.baselines import Examples, edge_note
from tltf.evaluation.evaluators import belief_sections, class_sections, label_sections
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.label_metrics import Answers
from tltf.evaluation.report.report import Mistake, SplitCounts
from tltf.evaluation.report.sections import Section
from tltf.evaluation.report.wording import SHARES, MetricTile, Wording, number, percent
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.heads import thresholds

if TYPE_CHECKING:
    from tltf.heads.head import Head
    from tltf.heads.multi_label import MultiLabel


def _sentence(examples: str, metrics: SplitMetrics, interval: str) -> str:
    return (
        f"Micro F1 is {number(metrics.score('micro_f1'))}{interval}; the model gives exactly the right "
        f"labels to {percent(metrics.score('exact_match'))} of {examples}."
    )


class LabelEvaluator(Evaluator[Answers]):
    """Judges several labels per row; see `tltf.evaluation.evaluators`.

    Args:
        head: whose answers are judged.
    """

    constant_name, linear_name = "frequencies", "logistic_regression"
    wording = Wording(
        "micro_f1",
        "micro F1",
        ("macro_f1", "average_precision", "exact_match", "loss"),
        (
            "num_examples",
            "micro_f1",
            "macro_f1",
            "average_precision",
            "label_accuracy",
            "exact_match",
            "loss",
            "calibration_error",
            "mean_probability",
            "mean_labels",
            "mean_given",
            "share_without_labels",
            "share_given_none",
        ),
        _sentence,
        (
            MetricTile("macro_f1", "macro F1"),
            MetricTile(
                "average_precision", "mean average precision", "over labels; needs no threshold"
            ),
            MetricTile("exact_match", "exactly right"),
            MetricTile("calibration_error", "calibration error", "0 is best"),
        ),
        {
            "frequencies": "no model (each label by its frequency)",
            "logistic_regression": "logistic regression on frozen features",
        },
        is_share=False,
        shares=(*SHARES, "mean_probability", "share_without_labels", "share_given_none"),
        constant_answer="giving each label by its frequency",
        linear_model="logistic regression",
    )

    def candidate(self, head: "Head", stated: np.ndarray) -> Answers:
        """What is judged of what a head states."""
        given = cast("MultiLabel", head).choose_labels(stated)
        return Answers(np.asarray(stated, np.float64), given)

    def measure(
        self,
        labels: np.ndarray,
        candidate: Answers,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
    ) -> SplitMetrics:
        """Every metric of one model on one split.

        Args:
            labels: uint8[N, C], N >= 1.
            candidate: Answers.
            class_names: C names.
            seed: of the bootstrap.

        Returns:
            SplitMetrics with rows of labels, without a confusion matrix. Its scores: micro_f1,
            macro_f1 (over labels that occur or are given), exact_match, average_precision (the mean
            over labels that occur, None where none does), label_accuracy (one minus the Hamming
            loss), calibration_error (over all pairs of a row and a label; most are easy, since rows
            lack most labels), mean_probability (that is stated of a label), share_without_labels
            and share_given_none (of the rows), all 0 to 1; loss (mean cross-entropy per label in nats,
            probabilities clipped at 1e-7); mean_labels and mean_given (labels per row).

        Raises:
            DataError: no examples.
            ShapeError: the arguments do not fit together.
            NumericError: a probability is not finite.
        """
        label_metrics.check_arguments(labels, candidate, class_names)
        stated, given = candidate.probabilities, candidate.given
        sums = label_metrics.sums_of(labels, candidate)
        totals = label_metrics.means_over(labels)(sums @ np.ones((len(labels), 1)))
        per_class = label_metrics.rows_of(labels, candidate, class_names)
        precisions = [
            row.average_precision for row in per_class if row.average_precision is not None
        ]
        scores: dict[str, float | None] = {name: float(row[0]) for name, row in totals.items()}
        scores |= {
            "average_precision": float(np.mean(precisions)) if precisions else None,
            "label_accuracy": float((given == labels).mean()),
            "calibration_error": reliability.expected_calibration_error(
                stated.ravel(), labels.ravel()
            ),
            "mean_labels": float(labels.sum(axis=1).mean()),
            "mean_given": float(given.sum(axis=1).mean()),
            "mean_probability": float(stated.mean()),
            "share_without_labels": float((~labels.any(axis=1)).mean()),
            "share_given_none": float((~given.any(axis=1)).mean()),
        }
        return SplitMetrics(
            scores,
            len(labels),
            label_kinds.LABELS,
            class_names=[str(name) for name in class_names],
            absent_classes=[row.name for row in per_class if not row.support],
            per_class=[*per_class],
            reliability=reliability.reliability_bins(stated.ravel(), labels.ravel()),
            intervals=label_metrics.intervals_of(sums, labels, totals, seed=seed),
            interval_confidence=bootstrap.CONFIDENCE,
        )

    def details(
        self,
        labels: np.ndarray,
        candidate: Answers,
        class_names: Sequence[str] = (),
        *,
        validation: SplitMetrics | None = None,
    ) -> dict[str, Any]:
        """The thresholds of the labels, curves over all thresholds, and labels that come together."""
        edges = cast("MultiLabel", self.head).thresholds_for(len(class_names)).tolist()
        stated, given = candidate.probabilities, candidate.given
        pairs = label_details.most_frequent_pairs(labels, given, class_names)
        return {
            class_sections.THRESHOLDS: {
                str(name): float(f"{edge:.6g}")
                for name, edge in zip(class_names, edges, strict=True)
            },
            label_details.CURVES: label_details.curves(labels, stated, given, class_names),
            label_details.PAIRS: [dataclasses.asdict(pair) for pair in pairs],
        }

    def difference(
        self, labels: np.ndarray, first: Answers, second: Answers, *, seed: int = 0
    ) -> PairedDifference:
        """How much better the first candidate is: first minus second."""
        pair = [label_metrics.sums_of(labels, candidate) for candidate in (first, second)]
        return bootstrap.differences(pair, label_metrics.means_over(labels), seed=seed)

    def row_errors(self, labels: np.ndarray, candidate: Answers) -> np.ndarray:
        """float64[N]: the number of labels that are missing or too many."""
        return (candidate.given != (labels > 0)).sum(axis=1).astype(np.float64)

    def worst(
        self,
        labels: np.ndarray,
        candidate: Answers,
        class_names: Sequence[str],
        ids: Sequence[str],
        limit: int,
    ) -> list[Mistake]:
        """The rows with the largest loss among those that are not exactly right."""
        is_wrong = (candidate.given != labels).any(axis=1)
        losses = label_metrics.losses_of(labels, candidate.probabilities)
        order = np.argsort(np.where(is_wrong, -losses, np.inf), kind="stable")
        names, rows = np.array(class_names, object), []
        for row in order[: min(limit, int(is_wrong.sum()))].tolist():
            missed = names[(labels[row] > 0) & ~candidate.given[row]]
            extra = names[(labels[row] == 0) & candidate.given[row]]
            label, predicted = names[labels[row] > 0], names[candidate.given[row]]
            detail = f"{len(missed)} missing, {len(extra)} too many"
            rows.append(
                Mistake(row, str(ids[row]), ", ".join(label), ", ".join(predicted), detail=detail)
            )
        return rows

    def constant(
        self,
        train_labels: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
    ) -> tuple[BaselineRow, Answers]:
        """`(row, candidate)`: each label's share of the training rows; it is given from 0.5 on."""
        shares = (train_labels.sum(axis=0, dtype=float) + 1) / (len(train_labels) + 2)
        stated = np.tile(shares, (len(labels), 1))
        candidate = Answers(stated, stated >= 0.5)
        found = self.measure(labels, candidate, class_names, seed=seed)
        note = "every label's share of the training rows; labels of at least one half are given"
        return BaselineRow(found, chosen={}, note=note), candidate

    def linear(
        self,
        train: Examples,
        validation: Examples | None,
        test: Examples,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> tuple[BaselineRow, Answers]:
        """`(row, candidate)`: logistic regression for each label on frozen features.

        C and the thresholds are chosen on validation; see `linear_baselines.one_vs_rest`.
        """
        found = linear_baselines.one_vs_rest(train, validation, test[0], seed=seed, groups=groups)
        stated, judged, chosen = found
        edges = thresholds.best_thresholds(*judged)
        candidate = Answers(stated, stated >= edges)
        note = (
            "logistic regression for each label on the frozen features; thresholds and C from "
            "validation" + edge_note(chosen)
        )
        measured = self.measure(test[1], candidate, class_names, seed=seed)
        return BaselineRow(measured, chosen, note), candidate

    def counts(self, part: Source) -> SplitCounts:
        """What a report says of the labels of a split."""
        found = np.asarray(part.labels).sum(axis=0, dtype=np.int64).tolist()
        return SplitCounts(len(part), dict(zip(part.class_names, found, strict=True)))

    def training_labels(self, counts: SplitCounts, part: Source) -> np.ndarray | None:
        """Rows with the counts of a training split; None where it does not say."""
        if counts.num_examples is None:
            return None
        try:
            found = [(counts.class_counts or {})[name] for name in part.class_names]
            rows = np.arange(counts.num_examples)
            return np.stack([rows < count for count in found], axis=1).astype(np.uint8)
        except (KeyError, TypeError, ValueError):
            return None

    def truths(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """One str per row: its labels, joined."""
        names = np.array(class_names, object)
        return [label_kinds.join_labels(names[row > 0]) for row in labels]

    def answers(self, candidate: Answers, class_names: Sequence[str]) -> list[str]:
        """One str per row: the labels that are given, joined."""
        return self.truths(candidate.given, class_names)

    def values(self, candidate: Answers) -> np.ndarray:
        """float[N, C]: the probabilities."""
        return candidate.probabilities

    def parse(
        self,
        truths: Sequence[str],
        answers: Sequence[str],
        values: np.ndarray,
        class_names: Sequence[str],
    ) -> tuple[np.ndarray, Answers]:
        """`(labels, candidate)` of the rows of a table."""
        labels, _ = label_kinds.encode_labels(truths, class_names, "predictions")
        given, _ = label_kinds.encode_labels(
            [*answers, label_kinds.join_labels(class_names)], class_names, ""
        )
        return labels, Answers(values, given[:-1] > 0)

    @classmethod
    def sentences(cls, metrics: SplitMetrics) -> Iterator[str]:
        """How sure the answers are, rows without labels, and the weakest label."""
        return label_sections.sentences(metrics)

    @classmethod
    def sections(cls, metrics: SplitMetrics, split: str) -> list[Section]:
        """Labels, curves over thresholds, labels that come together, and calibration."""
        what = (
            "Labels of all examples are grouped by the probability that the model states. A bar is "
            "the share of a group that the examples have"
        )
        return [
            *class_sections.class_section(metrics, split, "label", "labels"),
            *label_sections.curve_section(metrics, split),
            *label_sections.pair_section(metrics),
            *belief_sections.calibration_section(metrics, what),
        ]
