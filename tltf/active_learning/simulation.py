"""What a query strategy would have reached on labelled data: its learning curve, without a person."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tltf.active_learning import light_head
from tltf.active_learning.pool_view import PoolView
from tltf.active_learning.query import NamedQuery
from tltf.config.checks import AUTO


@dataclasses.dataclass(frozen=True)
class LabelledRows:
    """Features with labels that the simulation knows.

    Args:
        features: float32[N, d].
        labels: int64[N], places of classes.
    """

    features: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "LabelledRows":
        """Some of the rows."""
        return LabelledRows(self.features[rows], self.labels[rows])


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a simulation goes.

    Args:
        num_start: labels that are drawn by chance before the first round.
        per_round: labels in a round.
        num_labels: labels at which it ends, those of the start included.
        pool_share: the share of the pool that a draw uses, so that draws differ in more than the start.
        families: light heads that are tried.
    """

    num_start: int
    per_round: int
    num_labels: int
    pool_share: float = 0.75
    families: str = AUTO


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """The test accuracy after each round.

    Args:
        counts: labels so far, the first one that of the start.
        accuracies: of the test rows, 0..1.
    """

    counts: tuple[int, ...]
    accuracies: tuple[float, ...]


def draw(pool: LabelledRows, plan: Plan, seed: int) -> tuple[LabelledRows, np.ndarray]:
    """The pool of a draw, and int64[num_start], its rows that are labelled at the start.

    The start is drawn by chance, again until it has two classes; all strategies share both.
    """
    random = np.random.default_rng([seed, 0])
    size = max(plan.num_labels, round(plan.pool_share * len(pool.labels)))
    part = pool.take(random.choice(len(pool.labels), min(size, len(pool.labels)), replace=False))
    while True:
        start = random.choice(len(part.labels), plan.num_start, replace=False)
        if len(np.unique(part.labels[start])) > 1:
            return part, start


def accuracy_of_all(
    pool: LabelledRows, test: LabelledRows, num_classes: int, plan: Plan, seed: int
) -> float:
    """The test accuracy where every row of the draw's pool is labelled."""
    part, _ = draw(pool, plan, seed)
    return _accuracy(part, test, num_classes, plan, seed)


def learning_curve(
    query: NamedQuery,
    pool: LabelledRows,
    test: LabelledRows,
    num_classes: int,
    plan: Plan,
    seed: int,
) -> LearningCurve:
    """The LearningCurve of a strategy on one draw of the pool and of the start.

    Args:
        query: the strategy.
        pool: rows whose labels are shown when the strategy asks for them.
        test: rows that no choice sees.
        num_classes: C.
        plan: how it goes.
        seed: of the draw.

    Raises:
        FlagError: the strategy does not give rows of the pool.
    """
    part, start = draw(pool, plan, seed)
    is_known = np.zeros(len(part.labels), bool)
    is_known[start] = True
    counts, accuracies, round_number = list[int](), list[float](), 0
    while True:
        known = part.take(np.flatnonzero(is_known))
        head = light_head.fit_head(known.features, known.labels, num_classes, seed, plan.families)
        if head is None:
            raise ValueError("the start of a draw has two classes")
        right = head.probabilities(test.features).argmax(axis=1) == test.labels
        counts.append(int(is_known.sum()))
        accuracies.append(float(right.mean()))
        left = min(plan.num_labels, len(part.labels)) - counts[-1]
        if left <= 0:
            return LearningCurve(tuple(counts), tuple(accuracies))
        round_number += 1
        free = np.flatnonzero(~is_known)
        view = PoolView(
            part.features[free],
            known.features,
            known.labels,
            head.probabilities,
            np.random.default_rng([seed, round_number]),
        )
        is_known[free[query(view, min(plan.per_round, left))]] = True


def labels_needed(curve: LearningCurve, accuracy: float) -> float:
    """Labels at which a curve first reaches an accuracy, interpolated; inf where it never does."""
    for place, reached in enumerate(curve.accuracies):
        if reached >= accuracy:
            if place == 0:
                return float(curve.counts[0])
            before, at = curve.accuracies[place - 1], curve.counts[place - 1]
            share = (accuracy - before) / (reached - before)
            return at + share * (curve.counts[place] - at)
    return float("inf")


def mean_curve(curves: Sequence[LearningCurve]) -> LearningCurve:
    """The mean of curves of the same counts."""
    values = np.mean([curve.accuracies for curve in curves], axis=0)
    return LearningCurve(curves[0].counts, tuple(values.tolist()))


def _accuracy(
    rows: LabelledRows, test: LabelledRows, num_classes: int, plan: Plan, seed: int
) -> float:
    head = light_head.fit_head(rows.features, rows.labels, num_classes, seed, plan.families)
    if head is None:
        return float((test.labels == rows.labels[0]).mean())
    return float((head.probabilities(test.features).argmax(axis=1) == test.labels).mean())
