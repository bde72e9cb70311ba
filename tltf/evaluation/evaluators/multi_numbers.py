"""The evaluator of several numbers per row; its candidates are the quantiles of each, side by side."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tltf.data import label_kinds
from tltf.data.source import Source
from tltf.evaluation import bootstrap
from tltf.evaluation.baseline_row import BaselineRow, PairedDifference
from tltf.evaluation.baselines import Examples
from tltf.evaluation.evaluators import numbers
from tltf.evaluation.evaluators.evaluator import ArrayEvaluator
from tltf.evaluation.evaluators.numbers import NumberEvaluator
from tltf.evaluation.report.report import Mistake, SplitCounts
from tltf.evaluation.report.sections import NAME, NUMBER, Column, Group, Row, Section, Table
from tltf.evaluation.report.wording import MetricTile, Wording, number
from tltf.evaluation.split_metrics import LABEL_NAME, SplitMetrics

if TYPE_CHECKING:
    from tltf.heads.multi_regress import MultiRegress

DETAILS = "numbers"
"""In metrics and counts, what is known of each number alone: a dict by name."""
NUM_TERMS = 6
"""K, the sums per number that its metrics are made of; see `NumberEvaluator.terms`."""
MOST_PICTURES = 6
"""Numbers with a picture of their answers in the report."""
COLUMNS = {
    "mean_absolute_error": "mean absolute error",
    "error_of_spread": "of the spread",
    "root_mean_squared_error": "root mean squared error",
    "r2": "R²",
    "spearman": "Spearman",
    "coverage": "coverage",
    "mean_width": "mean width",
}
"""Metrics of each number in a table of the report."""


def _sentence(examples: str, metrics: SplitMetrics, interval: str) -> str:
    error = number(metrics.score("scaled_absolute_error"))
    return (
        f"The model is off by {error} standard deviations of the training numbers on average"
        f"{interval}, over {examples} and {len(metrics.class_names)} numbers of each."
    )


class MultiNumberEvaluator(ArrayEvaluator):
    """Judges quantiles of several numbers per row; see `tltf.evaluation.evaluators`.

    What it says of all numbers together is a mean over them, each in units of its scale: its
    standard deviation in the training split, unless the user sets another.

    Args:
        head: whose answers are judged.
    """

    head: "MultiRegress"

    constant_name, linear_name = "training_quantiles", "ridge_regression"
    wording = Wording(
        "scaled_absolute_error",
        "scaled absolute error",
        ("r2", "coverage", "loss"),
        ("num_examples", "scaled_absolute_error", "r2", "loss", "coverage", "wanted_coverage"),
        _sentence,
        (
            MetricTile("r2", "mean R²"),
            MetricTile("coverage", "mean coverage", "{wanted_coverage:.0%} is intended"),
        ),
        NumberEvaluator.wording.baselines,
        is_error=True,
        is_share=False,
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
            labels: float[N, D], N >= 1.
            candidate: float[N, D * Q].
            class_names: names of the D numbers.
            seed: of the bootstrap.

        Returns:
            SplitMetrics. Its scores are means over the numbers: scaled_absolute_error of the
            medians and loss (the pinball loss of all levels), both in units of scale; r2 (None
            where it is None for one of them); coverage and wanted_coverage (0 to 1). The metrics of
            each number, in its own unit, are in details: see `NumberEvaluator.measure`.

        Raises:
            DataError: no examples.
            ShapeError: the arguments do not fit together.
            NumericError: a quantile is not finite.
        """
        names = class_names or [str(place) for place in range(labels.shape[1])]
        each = {
            name: _measured(judge, column, part, str(name), seed)
            for name, (judge, column, part) in zip(
                names, self._parts(labels, candidate), strict=True
            )
        }
        sums = self._sums(labels, candidate)
        totals = self._metrics_of(len(labels))(sums @ np.ones((len(labels), 1)))
        intervals = bootstrap.intervals(sums, self._metrics_of(len(labels)), seed=seed)
        scores: dict[str, float | None] = {name: float(row[0]) for name, row in totals.items()}
        if any(metrics.scores["r2"] is None for metrics in each.values()):
            scores["r2"] = None
            intervals.pop("r2", None)
        levels = self.head.quantiles
        return SplitMetrics(
            scores | {"wanted_coverage": levels[-1] - levels[0]},
            len(labels),
            label_kinds.NUMBERS,
            class_names=[str(name) for name in names],
            intervals=intervals,
            interval_confidence=bootstrap.CONFIDENCE,
            details={DETAILS: {name: metrics.to_json() for name, metrics in each.items()}},
        )

    def difference(
        self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0
    ) -> PairedDifference:
        """First minus second: a difference of errors is below 0 where the first is better."""
        pair = [self._sums(labels, part) for part in (first, second)]
        return bootstrap.differences(pair, self._metrics_of(len(labels)), seed=seed)

    def row_errors(self, labels: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """float64[N]: the mean distance of the medians from the numbers, in standard deviations of each."""
        return self._errors(labels, candidate)[1].mean(axis=1)

    def _errors(self, labels: np.ndarray, candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(float[N, M] medians, float[N, M] distances in standard deviations)`."""
        parts = list(self._parts(labels, candidate))
        medians = np.stack([part[:, judge.head.median] for judge, _, part in parts], axis=1)
        return medians, np.abs(medians - labels) / [judge.head.unit for judge, _, _ in parts]

    def worst(
        self,
        labels: np.ndarray,
        candidate: np.ndarray,
        class_names: Sequence[str],
        ids: Sequence[str],
        limit: int,
    ) -> list[Mistake]:
        """The rows with the largest mean of the numbers' scaled errors."""
        medians, errors = self._errors(labels, candidate)
        order = np.argsort(-errors.mean(axis=1), kind="stable")[:limit]

        def text(row: np.ndarray) -> str:
            return ", ".join(f"{name} {x:.4g}" for name, x in zip(class_names, row, strict=True))

        return [
            Mistake(
                row,
                str(ids[row]),
                label=text(labels[row]),
                predicted=text(medians[row]),
                detail=f"{errors[row].mean():.3g} standard deviations on average",
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
        """`(row, candidate)`: the quantiles of each training number, for every row."""
        found = [
            self._judge(place).constant(train_labels[:, place], labels[:, place], seed=seed)
            for place in range(labels.shape[1])
        ]
        return self._together(found, labels, class_names, seed)

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
        """`(row, candidate)`: a ridge regression per number, each with a strength of its own."""
        found = [
            self._judge(place).linear(
                (train[0], train[1][:, place]),
                validation and (validation[0], validation[1][:, place]),
                (test[0], test[1][:, place]),
                seed=seed,
                groups=groups,
            )
            for place in range(test[1].shape[1])
        ]
        return self._together(found, test[1], class_names, seed)

    def counts(self, part: Source) -> SplitCounts:
        """What a report says of each number of a split."""
        judge, labels = self._judge(0), np.asarray(part.labels)
        each = {
            name: judge.counts(part.with_labels(column, ())).to_json()
            for name, column in zip(part.class_names, labels.T, strict=True)
        }
        return SplitCounts(len(part), details={DETAILS: each})

    def training_labels(self, counts: SplitCounts, part: Source) -> np.ndarray | None:
        """The percentiles of each number of a training split; None where it does not say."""
        try:
            each = [counts.details[DETAILS][name]["percentiles"] for name in part.class_names]
            return np.array(each, np.float64).T
        except (KeyError, TypeError, ValueError):
            return None

    def truths(self, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """One str per row: its numbers, such as `1.5|20`."""
        columns = [self._judge(0).truths(column, ()) for column in labels.T]
        return [label_kinds.SEPARATOR.join(row) for row in zip(*columns, strict=True)]

    def answers(self, candidate: np.ndarray, class_names: Sequence[str]) -> list[str]:
        """One str per row: the medians."""
        return self.head.answers(candidate, class_names)

    def parse(
        self,
        truths: Sequence[str],
        answers: Sequence[str],
        values: np.ndarray,
        class_names: Sequence[str],
    ) -> tuple[np.ndarray, np.ndarray]:
        """`(labels, candidate)` of the rows of a table."""
        kind = label_kinds.KINDS[label_kinds.NUMBERS]
        labels, _ = kind.encode(truths, class_names, "predictions", 0)
        return labels, values

    @classmethod
    def sentences(cls, metrics: SplitMetrics) -> Iterator[str]:
        """Which number is predicted best and worst, and how many are between the quantiles."""
        yield from NumberEvaluator.sentences(metrics)
        found = {name: row.scores.get("r2") for name, row in _metrics_of_each(metrics).items()}
        known = {name: value for name, value in found.items() if value is not None}
        if len(known) > 1:
            best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
            yield (
                f"Of the numbers, {best} is predicted best (R² {number(known[best])}) and {worst} "
                f"worst (R² {number(known[worst])})."
            )

    @classmethod
    def sections(cls, metrics: SplitMetrics, split: str) -> list[Section]:
        """The metrics of each number, and the answers beside the true numbers of the first ones."""
        each = _metrics_of_each(metrics)
        if not each:
            return []
        table = _table(each)
        pictures = []
        for name, row in list(each.items())[:MOST_PICTURES]:
            shown = NumberEvaluator.sections(row, split)
            pictures.append(Group([block for part in shown for block in part.blocks], title=name))
        return [Section("numbers", "Numbers", "Each number", [table, *pictures], table)]

    def _judge(self, place: int) -> NumberEvaluator:
        """The evaluator of the number at a place."""
        return NumberEvaluator(self.head.of_number(place))

    def _parts(
        self, labels: np.ndarray, candidate: np.ndarray
    ) -> Iterator[tuple[NumberEvaluator, np.ndarray, np.ndarray]]:
        """`(evaluator, float[N], float[N, Q])` of each number."""
        for head, part, column in self.head.with_labels(candidate, labels):
            yield NumberEvaluator(head), column, part

    def _sums(self, labels: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """float64[D * K, N]: the terms of the sums of each number."""
        parts = self._parts(np.asarray(labels, np.float64), candidate)
        return np.concatenate([judge.terms(column, part) for judge, column, part in parts])

    def _metrics_of(self, num_examples: int) -> bootstrap.Metrics:
        """A function of float64[D * K, R] sums, that gives the means over the numbers."""

        def means(totals: np.ndarray) -> dict[str, np.ndarray]:
            parts = np.split(totals, len(totals) // NUM_TERMS)
            each = [
                (numbers.metrics_of(part, num_examples), self.head.of_number(place).unit)
                for place, part in enumerate(parts)
            ]
            scaled = {"scaled_absolute_error": "mean_absolute_error", "loss": "loss"}
            found = {
                name: np.mean([metrics[key] / unit for metrics, unit in each], axis=0)
                for name, key in scaled.items()
            }
            return found | {
                name: np.mean([metrics[name] for metrics, _ in each], axis=0)
                for name in ("r2", "coverage")
            }

        return means

    def _together(
        self,
        found: Sequence[tuple[BaselineRow, np.ndarray]],
        labels: np.ndarray,
        class_names: Sequence[str],
        seed: int,
    ) -> tuple[BaselineRow, np.ndarray]:
        """One baseline of those of the numbers."""
        candidate = np.concatenate([part for _, part in found], axis=1)
        rows: list[BaselineRow] = [row for row, _ in found]
        names = class_names or map(str, range(len(rows)))
        chosen: dict[str, Any] = {name: row.chosen for name, row in zip(names, rows, strict=True)}
        notes = sorted({row.note for row in rows}, key=len)
        note = f"of each number: {notes[-1]}"
        return BaselineRow(
            self.measure(labels, candidate, class_names, seed=seed), chosen, note
        ), candidate


def _measured(
    judge: NumberEvaluator, labels: np.ndarray, candidate: np.ndarray, name: str, seed: int
) -> SplitMetrics:
    """The metrics of one number, with its details and its name."""
    details = judge.details(labels, candidate) | {LABEL_NAME: name}
    return dataclasses.replace(judge.measure(labels, candidate, seed=seed), details=details)


def _metrics_of_each(metrics: SplitMetrics) -> dict[str, SplitMetrics]:
    found = metrics.details.get(DETAILS, {})
    return {name: SplitMetrics.from_json(values) for name, values in found.items()}


def _table(each: dict[str, SplitMetrics]) -> Table:
    columns = [Column("number", NAME), *(Column(title, NUMBER) for title in COLUMNS.values())]
    text = NumberEvaluator.wording.text
    rows = [
        Row([name, *(text(metric, metrics.scores.get(metric)) for metric in COLUMNS)])
        for name, metrics in each.items()
    ]
    return Table(columns, rows)
