"""The evaluator of numbers; its candidates are float[N, Q] quantiles, rising."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tltf.data import label_kinds, spelled_numbers
from tltf.data.source import Source
from tltf.errors import DataError, NumericError, ShapeError
from tltf.evaluation import bootstrap, linear_baselines, number_errors
from tltf.evaluation.baseline_row import BaselineRow, PairedDifference
from tltf.evaluation.baselines import Examples, edge_note
from tltf.evaluation.evaluators import number_sections
from tltf.evaluation.evaluators.evaluator import ArrayEvaluator
from tltf.evaluation.report.report import Mistake, SplitCounts
from tltf.evaluation.report.sections import Section
from tltf.evaluation.report.wording import SHARES, MetricTile, Wording
from tltf.evaluation.split_metrics import QuantileLevel, SplitMetrics

if TYPE_CHECKING:
    from tltf.heads.regress import Regress

MOST_POINTS = 500
"""Points in the picture of a report."""


class NumberEvaluator(ArrayEvaluator):
    """Judges quantiles of one number per row; see `tltf.evaluation.evaluators`.

    Args:
        head: whose answers are judged: its levels and which of them is the median.
    """

    head: "Regress"

    constant_name, linear_name = "training_quantiles", "ridge_regression"
    wording = Wording(
        "mean_absolute_error",
        "mean absolute error",
        ("root_mean_squared_error", "r2", "coverage", "loss"),
        (
            "num_examples",
            "mean_absolute_error",
            "error_of_spread",
            "spread",
            "root_mean_squared_error",
            "r2",
            "spearman",
            "loss",
            "coverage",
            "wanted_coverage",
            "mean_width",
        ),
        number_sections.first_sentence,
        (
            MetricTile("error_of_spread", "error, in % of the spread", "of {spread:.4g}"),
            MetricTile("r2", "R²"),
            MetricTile("coverage", "coverage", "{wanted_coverage:.0%} is intended"),
        ),
        {
            "training_quantiles": "always the training median",
            "ridge_regression": "ridge regression on frozen features",
        },
        is_error=True,
        is_share=False,
        shares=(*SHARES, "error_of_spread"),
        constant_answer="always answering the training median",
        linear_model="ridge regression",
    )

    def measure(
        self,
        labels: np.ndarray,
        candidate: np.ndarray,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
    ) -> SplitMetrics:
        """Every metric of one model on one split.

        Args:
            labels: float[N], N >= 1.
            candidate: float[N, Q].
            class_names: ().
            seed: of the bootstrap.

        Returns:
            SplitMetrics with levels and up to MOST_POINTS points. Its scores, of the median:
            mean_absolute_error and root_mean_squared_error (in the numbers' unit, from 0), r2 (up to
            1) and spearman (-1 to 1), the last two None for constant numbers or answers. Of the
            quantiles: loss (the mean pinball loss of all levels, in the numbers' unit), coverage and
            wanted_coverage (share of the numbers between the outermost quantiles, and what it should
            be, 0 to 1), mean_width (of that range, in the numbers' unit).

        Raises:
            DataError: no examples.
            ShapeError: the arguments do not fit together.
            NumericError: a quantile is not finite.
        """
        labels = self._checked(labels, candidate)
        median, levels = candidate[:, self.head.median], self.head.quantiles
        sums = self.terms(labels, candidate)
        totals = metrics_of(sums @ np.ones((len(labels), 1)), len(labels))
        below = (labels[:, None] <= candidate).mean(axis=0)
        rows = np.random.default_rng(seed).permutation(len(labels))[:MOST_POINTS]
        points = np.stack([labels, median, candidate[:, 0], candidate[:, -1]], axis=1)[rows]
        is_constant = np.ptp(labels) == 0
        intervals = bootstrap.intervals(
            sums, lambda t: metrics_of(t, len(labels)), ("coverage",), seed=seed
        )
        if is_constant:
            intervals.pop("r2", None)
        scores: dict[str, float | None] = {name: float(row[0]) for name, row in totals.items()}
        spread = number_errors.spread_of(labels)
        scores |= {
            "spread": spread,
            "error_of_spread": float(totals["mean_absolute_error"][0]) / spread if spread else None,
            "r2": None if is_constant else float(totals["r2"][0]),
            "spearman": _spearman(labels, median),
            "wanted_coverage": levels[-1] - levels[0],
            "mean_width": float((candidate[:, -1] - candidate[:, 0]).mean()),
        }
        return SplitMetrics(
            scores,
            len(labels),
            label_kinds.NUMBER,
            levels=[QuantileLevel(*pair) for pair in zip(levels, below.tolist(), strict=True)],
            points=points.tolist(),
            intervals=intervals,
            interval_confidence=bootstrap.CONFIDENCE,
        )

    def details(
        self,
        labels: np.ndarray,
        candidate: np.ndarray,
        class_names: Sequence[str] = (),
        *,
        validation: SplitMetrics | None = None,
    ) -> dict[str, Any]:
        """How the errors of the medians are spread, see `number_errors`."""
        found = number_errors.measure(np.asarray(labels), candidate[:, self.head.median])
        return {number_errors.DETAILS: dataclasses.asdict(found)}

    def difference(
        self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0
    ) -> PairedDifference:
        """First minus second: a difference of errors is below 0 where the first is better."""
        pair = [self.terms(np.asarray(labels, np.float64), part) for part in (first, second)]
        return bootstrap.differences(pair, lambda t: metrics_of(t, len(labels)), seed=seed)

    def row_errors(self, labels: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """float64[N]: the distance of the median from the number, in its unit."""
        return np.abs(candidate[:, self.head.median] - labels)

    def worst(
        self,
        labels: np.ndarray,
        candidate: np.ndarray,
        class_names: Sequence[str],
        ids: Sequence[str],
        limit: int,
    ) -> list[Mistake]:
        """The rows with the largest errors."""
        errors = candidate[:, self.head.median] - labels
        order = np.argsort(-np.abs(errors), kind="stable")[:limit]
        return [
            Mistake(
                row,
                str(ids[row]),
                label=f"{labels[row]:.4g}",
                predicted=f"{candidate[row, self.head.median]:.4g}",
                detail=f"{candidate[row, 0]:.4g} to {candidate[row, -1]:.4g}",
            )
            for row in order.tolist()
        ]

    def constant(
        self,
        train_labels: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str] = (),
        *,
        seed: int = 0,
    ) -> tuple[BaselineRow, np.ndarray]:
        """`(row, candidate)`: the quantiles of the training numbers, for every row."""
        found = np.quantile(np.asarray(train_labels, np.float64), self.head.quantiles)
        candidate = np.tile(found, (len(labels), 1))
        row = BaselineRow(
            self.measure(labels, candidate, seed=seed),
            chosen={"quantiles": found.tolist()},
            note="the quantiles of the training numbers, whatever the input",
        )
        return row, candidate

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
        """`(row, candidate)`: ridge regression on frozen features; see `linear_baselines.ridge`."""
        stated, chosen = linear_baselines.ridge(
            train, validation, test[0], self.head.quantiles, seed=seed, groups=groups
        )
        note = "ridge regression on the frozen features; quantiles and strength from validation"
        measured = self.measure(test[1], stated, seed=seed)
        return BaselineRow(measured, chosen, note + edge_note(chosen)), stated

    def counts(self, part: Source) -> SplitCounts:
        """What a report says of the numbers of a split."""
        labels = np.asarray(part.labels).astype(np.float64)
        quantiles = np.quantile(labels, np.linspace(0, 1, 101)).tolist()
        return SplitCounts(
            len(part),
            mean=float(labels.mean()),
            deviation=float(labels.std()),
            least=quantiles[0],
            most=quantiles[-1],
            percentiles=quantiles,
        )

    def training_labels(self, counts: SplitCounts, part: Source) -> np.ndarray | None:
        """The percentiles of a training split; None where it does not say."""
        if counts.percentiles is None:
            return None
        try:
            return np.array(counts.percentiles, np.float64)
        except (TypeError, ValueError):
            return None

    def truths(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """One str per row: its number, as it was read."""
        digits = ".9g" if labels.dtype == np.float32 else ".15g"
        return [format(value, digits) for value in labels.tolist()]

    def answers(self, candidate: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """One str per row: the median."""
        return [format(value, ".9g") for value in candidate[:, self.head.median].tolist()]

    def parse(
        self,
        truths: Sequence[str],
        answers: Sequence[str],
        values: np.ndarray,
        class_names: Sequence[str],
    ) -> tuple[np.ndarray, np.ndarray]:
        """`(labels, candidate)` of the rows of a table."""
        return spelled_numbers.parse_numbers(truths), values

    @classmethod
    def sentences(cls, metrics: SplitMetrics) -> Iterator[str]:
        """How large the error is beside the numbers, and how many of these the intervals hold."""
        return number_sections.sentences(metrics)

    @classmethod
    def sections(cls, metrics: SplitMetrics, split: str) -> list[Section]:
        """The answers beside the true numbers, the quantiles, and how errors are spread."""
        return [
            *number_sections.answer_section(metrics, split),
            *number_sections.error_section(metrics),
        ]

    def _checked(self, labels: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        labels = np.asarray(labels, np.float64)
        if not labels.size:
            raise DataError("a split without examples cannot be evaluated", flag="split")
        if candidate.shape != (len(labels), len(self.head.quantiles)):
            what = f"{labels.shape} numbers and {candidate.shape} quantiles do not fit together"
            raise ShapeError(what)
        bad = np.flatnonzero(~np.isfinite(candidate).all(axis=1))
        if bad.size:
            what = f"the model's quantiles are not finite, first at example {bad[0]}"
            raise NumericError(what, fix="--learning_rate lower, or --precision=float32")
        return labels

    def terms(self, labels: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """float64[6, N]: the terms of the sums that give the metrics of a resample."""
        levels, gaps = np.array(self.head.quantiles), labels[:, None] - candidate
        error = gaps[:, self.head.median]
        is_inside = (candidate[:, 0] <= labels) & (labels <= candidate[:, -1])
        pinball = np.maximum(levels * gaps, (levels - 1) * gaps).mean(axis=1)
        near = labels - labels.mean()
        return np.stack([np.abs(error), error**2, pinball, is_inside, near, near**2])


def metrics_of(totals: np.ndarray, num_examples: int) -> dict[str, np.ndarray]:
    """Metric -> float64[R], of float64[6, R]: sums of `NumberEvaluator.terms` over R resamples."""
    absolute, squared, pinball, inside, near, near_squared = totals / num_examples
    variance = np.maximum(near_squared - near**2, 1e-300)
    return {
        "mean_absolute_error": absolute,
        "root_mean_squared_error": np.sqrt(squared),
        "r2": 1.0 - squared / variance,
        "loss": pinball,
        "coverage": inside,
    }


def _spearman(labels: np.ndarray, median: np.ndarray) -> float | None:
    from scipy import stats

    if np.ptp(labels) == 0 or np.ptp(median) == 0:
        return None
    return float(stats.spearmanr(labels, median).statistic)
