"""Metrics of several labels per row: of the probabilities, and of the labels that are given."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse

from tltf.console import lazy_imports
from tltf.errors import DataError, NumericError, ShapeError
from tltf.evaluation import bootstrap
from tltf.evaluation.split_metrics import LabelRow

metrics = lazy_imports.Module("sklearn.metrics")


@dataclasses.dataclass(frozen=True)
class Answers:
    """What is judged of several labels per row: the probabilities, and which labels are given.

    Args:
        probabilities: float64[N, C].
        given: bool[N, C], the labels that are given.
    """

    probabilities: np.ndarray
    given: np.ndarray


def check_arguments(labels: np.ndarray, candidate: Answers, class_names: Sequence[str]) -> None:
    """Raises the error that `LabelEvaluator.measure` names where the arguments cannot be judged."""
    if not len(labels):
        raise DataError("a split without examples cannot be evaluated", flag="split")
    arrays = labels, candidate.probabilities, candidate.given
    shapes = {(len(labels), len(class_names)), *(array.shape for array in arrays)}
    if len(shapes) > 1:
        raise ShapeError(f"labels, probabilities and answers do not fit together: {shapes}")
    bad = np.flatnonzero(~np.isfinite(candidate.probabilities).all(axis=1))
    if bad.size:
        what = f"the model's probabilities are not finite, first at example {bad[0]}"
        raise NumericError(what, fix="--learning_rate lower, or --precision=float32")


def losses_of(labels: np.ndarray, stated: np.ndarray) -> np.ndarray:
    """float64[N]: the mean cross-entropy over the labels."""
    stated = np.clip(stated, 1e-7, 1 - 1e-7)
    return -np.where(labels > 0, np.log(stated), np.log1p(-stated)).mean(axis=1)


def sums_of(labels: np.ndarray, candidate: Answers) -> bootstrap.Sums:
    """csr[2 + 3 C, N]: exact matches, losses, and how often each label is right, given and true."""
    given, is_there = candidate.given.astype(float), (labels > 0).astype(float)
    exact = (given == is_there).all(axis=1).astype(float)
    first = np.stack([exact, losses_of(labels, candidate.probabilities)])
    parts = [first, (given * is_there).T, given.T, is_there.T]
    return scipy.sparse.vstack([scipy.sparse.csr_matrix(part) for part in parts], format="csr")


def means_over(labels: np.ndarray) -> bootstrap.Metrics:
    """A function of `sums_of` over resamples of uint8[N, C] labels, that gives their metrics."""
    return lambda totals: _means(totals, *labels.shape)


def _means(totals: np.ndarray, num_examples: int, num_labels: int) -> dict[str, np.ndarray]:
    hits, given, there = (
        totals[2 + part * num_labels : 2 + (part + 1) * num_labels] for part in range(3)
    )
    either = given + there
    f1 = 2 * hits / np.maximum(either, 1)
    return {
        "micro_f1": 2 * hits.sum(axis=0) / np.maximum(either.sum(axis=0), 1),
        "macro_f1": f1.sum(axis=0) / np.maximum((either > 0).sum(axis=0), 1),
        "exact_match": totals[0] / num_examples,
        "loss": totals[1] / num_examples,
    }


def intervals_of(
    sums: bootstrap.Sums, labels: np.ndarray, totals: dict[str, np.ndarray], *, seed: int
) -> dict[str, list[float]]:
    """Metric -> [low, high]; the interval of macro F1 is that of `classification.measure`."""
    found = bootstrap.intervals(sums, means_over(labels), ("exact_match",), seed=seed)
    bounds, point = found.pop("macro_f1", None), float(totals["macro_f1"][0])
    support = labels.sum(axis=0)
    if bounds and support[support > 0].min(initial=bootstrap.LEAST_SUPPORT) >= (
        bootstrap.LEAST_SUPPORT
    ):
        found["macro_f1"] = bootstrap.mirrored_interval(bounds, point)
    return found


def rows_of(labels: np.ndarray, candidate: Answers, class_names: Sequence[str]) -> list[LabelRow]:
    """How well each label is predicted, in the order of the C names."""
    columns = metrics.precision_recall_fscore_support(
        labels, candidate.given, average=None, zero_division=0
    )
    rows = []
    for place, name in enumerate(class_names):
        precision, recall, f1, support = (column[place] for column in columns)
        average = None
        if support:
            stated = candidate.probabilities[:, place]
            average = float(metrics.average_precision_score(labels[:, place], stated))
        measured = float(precision), float(recall), float(f1), int(support)
        rows.append(LabelRow(str(name), *measured, average))
    return rows
