"""What a report shows of several labels per row: which come together, and curves over thresholds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse

from tltf.console import lazy_imports
from tltf.evaluation import binary_curves, bootstrap
from tltf.evaluation.split_metrics import from_known_keys

metrics = lazy_imports.Module("sklearn.metrics")

PAIRS, CURVES = "label_pairs", "precision_recall"
"""Names in `SplitMetrics.details`."""
MOST_PAIRS = 12
MOST_CURVES = 12
"""Labels with a curve in a report: the weakest."""
CURVE_POINTS = 40


@dataclasses.dataclass(frozen=True)
class LabelPair:
    """Two labels that rows have together.

    Args:
        first: the label that more rows have.
        second: the other.
        num_true: rows that have both, at least 1.
        num_given: rows that are given both.
        num_by_chance: rows that would have both if the labels did not depend on one another.
    """

    first: str
    second: str
    num_true: int
    num_given: int
    num_by_chance: float


def most_frequent_pairs(
    labels: np.ndarray, given: np.ndarray, class_names: Sequence[str]
) -> list[LabelPair]:
    """Up to MOST_PAIRS pairs of labels, those that most rows have together first.

    Args:
        labels: uint8[N, C], the true labels.
        given: bool[N, C], the labels that are given.
        class_names: C names.
    """
    true, answered = (scipy.sparse.csr_matrix(part, dtype=np.int64) for part in (labels, given))
    counts = np.asarray(labels).sum(axis=0, dtype=np.int64)
    together = scipy.sparse.triu((true.T @ true), k=1).tocoo()
    both_given = (answered.T @ answered).tocsr()
    order = np.argsort(-together.data, kind="stable")[:MOST_PAIRS]
    found = []
    for row, column, count in zip(
        together.row[order], together.col[order], together.data[order], strict=True
    ):
        first, second = (row, column) if counts[row] >= counts[column] else (column, row)
        by_chance = float(counts[row]) * float(counts[column]) / len(labels)
        names = str(class_names[first]), str(class_names[second])
        found.append(LabelPair(*names, int(count), int(both_given[row, column]), by_chance))
    return found


def curves(
    labels: np.ndarray, stated: np.ndarray, given: np.ndarray, class_names: Sequence[str]
) -> dict[str, list[list[float]]]:
    """Label -> [recall, precision] over its thresholds, of up to MOST_CURVES labels.

    They are the labels with the lowest F1 of those with enough examples for a curve.

    Args:
        labels: uint8[N, C], the true labels.
        stated: float[N, C], the probabilities.
        given: bool[N, C], the labels that are given.
        class_names: C names.
    """
    support = labels.sum(axis=0, dtype=np.int64)
    hits = (given & (labels > 0)).sum(axis=0)
    f1 = 2 * hits / np.maximum(support + given.sum(axis=0), 1)
    has_curve = (support >= bootstrap.LEAST_SUPPORT) & (support < len(labels))
    places = [place for place in np.argsort(f1, kind="stable").tolist() if has_curve[place]]
    return {
        str(class_names[place]): _curve(labels[:, place], stated[:, place])
        for place in places[:MOST_CURVES]
    }


def _curve(labels: np.ndarray, stated: np.ndarray) -> list[list[float]]:
    precisions, recalls, _ = metrics.precision_recall_curve(labels, stated, drop_intermediate=True)
    return binary_curves.thinned(recalls, precisions, CURVE_POINTS)


def pairs_of(details: dict[str, Any]) -> list[LabelPair]:
    """The pairs of labels among the details of a split's metrics."""
    return [from_known_keys(LabelPair, row) for row in details.get(PAIRS, [])]
