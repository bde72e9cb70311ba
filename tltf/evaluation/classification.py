"""Metrics of the probabilities that a classifier states on labelled examples."""

from collections.abc import Sequence

import numpy as np

from tltf.console import lazy_imports
from tltf.errors import DataError, NumericError, ShapeError
from tltf.evaluation import bootstrap, reliability
from tltf.evaluation.baseline_row import Gain, PairedDifference
from tltf.evaluation.report.report import Mistake
from tltf.evaluation.split_metrics import ClassRow, MajorityAnswer, SplitMetrics

metrics = lazy_imports.Module("sklearn.metrics")

TOP_K = 5


def measure(
    labels: Sequence[int] | np.ndarray,
    probabilities: Sequence[list[float]] | np.ndarray,
    class_names: Sequence[str],
    *,
    seed: int = 0,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> SplitMetrics:
    """Every metric of one model on one split, with intervals.

    Accuracy has Wilson's interval and loss the bootstrap's percentile interval. Macro F1 has the
    bootstrap's basic interval where every class among the labels has at least 10 examples, and none
    otherwise. The calibration error has none: resampling adds to its bias, so that the bounds would
    be above the true value, and at times above the estimate.

    Averages named macro run over the classes that occur among the labels or the predictions,
    as scikit-learn's do, so that they can be recomputed from `predictions.csv`.

    Args:
        labels: int[N] in 0..C-1, N >= 1.
        probabilities: float[N, C], finite, rows sum to 1.
        class_names: C names.
        seed: of the bootstrap.
        num_resamples: of the bootstrap; 0 leaves the intervals out.
        confidence: coverage of the intervals, 0..1.

    Returns:
        SplitMetrics with everything that is about classes. Its scores: accuracy loss macro_f1
        macro_precision macro_recall weighted_f1 weighted_precision weighted_recall
        balanced_accuracy calibration_error mean_confidence top_5_accuracy (where C > 5) roc_auc
        (where C = 2 and both occur). The loss is the mean cross-entropy in nats, from 0; all
        others are from 0 to 1.

    Raises:
        DataError: no examples, or a label outside of 0..C-1.
        ShapeError: the arguments do not fit together.
        NumericError: a probability is not finite, or rows do not sum to 1.
    """
    names = [str(name) for name in class_names]
    labels, probabilities = check_arguments(labels, probabilities, len(names))
    predicted = probabilities.argmax(axis=1)
    scores = _scores(labels, predicted, probabilities) | _averages(labels, predicted)
    intervals: dict[str, list[float]] = {}
    if num_resamples:
        (values,) = bootstrap.distributions(
            labels, [probabilities], seed=seed, num_resamples=num_resamples
        )
        right = (predicted == labels).sum()
        found = {
            "accuracy": bootstrap.share_interval(right, len(labels), confidence),
            "loss": bootstrap.interval(values["loss"], confidence),
        }
        support = np.bincount(labels)
        if support[support > 0].min() >= bootstrap.LEAST_SUPPORT:
            found["macro_f1"] = bootstrap.reflected_interval(
                values["macro_f1"], scores["macro_f1"], confidence
            )
        intervals = {name: bounds for name, bounds in found.items() if bounds}
    rows = _class_rows(labels, predicted, names)
    return SplitMetrics(
        {**scores},
        len(labels),
        class_names=names,
        absent_classes=[row.name for row in rows if row.support == 0],
        per_class=rows,
        confusion=metrics.confusion_matrix(
            labels, predicted, labels=np.arange(len(names))
        ).tolist(),
        reliability=reliability.reliability_bins(probabilities.max(axis=1), predicted == labels),
        intervals=intervals,
        interval_confidence=float(confidence),
        majority=_majority(labels, names),
    )


def rank_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """Metrics of classes that have an order, which say how far wrong answers are from the labels.

    Args:
        labels: int[N].
        probabilities: float[N, C].

    Returns:
        dict: mean_rank_error, the mean distance of answer and label in classes; within_one_class,
        the share of the answers that are right or in a neighbouring class, where C > 2;
        quadratic_kappa, Cohen's kappa with squared distances, 1 for no error, 0 for chance, None
        where all labels and answers are one class.
    """
    terms, num_classes = rank_terms(labels, probabilities), np.shape(probabilities)[1]
    found: dict[str, float | None] = {
        name: float(values[0])
        for name, values in rank_means(terms.sum(axis=1, keepdims=True), len(labels)).items()
    }
    if num_classes < 3:
        del found["within_one_class"]
    predicted = np.asarray(probabilities).argmax(axis=1)
    if np.ptp(np.r_[labels, predicted]) == 0:
        return found | {"quadratic_kappa": None}
    ranks = np.arange(num_classes)
    kappa = metrics.cohen_kappa_score(labels, predicted, weights="quadratic", labels=ranks)
    return found | {"quadratic_kappa": float(kappa)}


def rank_terms(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """float64[2, N]: the distance of answer and label in classes, and whether it is at most one."""
    distance = np.abs(np.asarray(probabilities).argmax(axis=1) - np.asarray(labels))
    return np.stack([distance, distance <= 1]).astype(np.float64)


def rank_means(totals: np.ndarray, num_examples: int) -> dict[str, np.ndarray]:
    """Metric -> float64[R], of float64[2, R]: sums of `rank_terms` over R resamples."""
    distance, is_near = totals / num_examples
    return {"mean_rank_error": distance, "within_one_class": is_near}


def paired_difference(
    labels: np.ndarray,
    probabilities_a: np.ndarray,
    probabilities_b: np.ndarray,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> PairedDifference:
    """How much better model a is than model b, on the same examples, with paired intervals.

    Args:
        labels: int[N] in 0..C-1, N >= 1.
        probabilities_a: float[N, C].
        probabilities_b: float[N, C].
        seed: of the bootstrap.
        num_resamples: of the bootstrap, at least 1.
        confidence: coverage of the intervals, 0..1.

    Accuracy has the interval of Agresti & Min, see `bootstrap.share_difference`; the other metrics
    have the bootstrap's percentile interval. The biases of two calibration errors cancel where the
    models are alike.

    Returns:
        PairedDifference of accuracy, loss, macro_f1 and calibration_error, a minus b, with all
        counts.

    Raises:
        DataError, ShapeError, NumericError: as `measure`.
    """
    width = np.asarray(probabilities_a).shape[-1]
    labels_a, first = check_arguments(labels, probabilities_a, width)
    _, second = check_arguments(labels, probabilities_b, width)
    values = bootstrap.distributions(
        labels_a, [first, second], seed=seed, num_resamples=num_resamples
    )
    points = [_points(labels_a, candidate) for candidate in (first, second)]
    right_a, right_b = (c.argmax(axis=1) == labels_a for c in (first, second))
    only = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    intervals = {
        name: bootstrap.interval(values[0][name] - values[1][name], confidence)
        for name in bootstrap.METRICS
    }
    intervals["accuracy"] = bootstrap.share_difference(*only, len(labels_a), confidence)
    if np.array_equal(first, second):  # the same model: nothing is left to chance
        intervals = {name: [0.0, 0.0] for name in bootstrap.METRICS}
    gains = {
        name: Gain(points[0][name] - points[1][name], intervals[name]) for name in bootstrap.METRICS
    }
    return PairedDifference(gains, *only, len(labels_a), float(confidence))


def worst_mistakes(
    labels: Sequence[int] | np.ndarray,
    probabilities: Sequence[list[float]] | np.ndarray,
    class_names: Sequence[str],
    ids: Sequence[str] | None = None,
    *,
    limit: int = 24,
) -> list[Mistake]:
    """The wrong answers with the highest stated probabilities, the highest first.

    Args:
        labels: int[N].
        probabilities: float[N, C].
        class_names: C names.
        ids: N names of the examples; their positions where None.
        limit: the largest number of rows.

    Returns:
        list of Mistake with both probabilities; the caller adds `image` or `text`.

    Raises:
        DataError, ShapeError, NumericError: as `measure`.
    """
    labels, probabilities = check_arguments(labels, probabilities, len(class_names))
    predicted, stated = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-stated[wrong], kind="stable")][:limit]
    return [
        Mistake(
            index,
            id=str(index if ids is None else ids[index]),
            label=str(class_names[labels[index]]),
            predicted=str(class_names[predicted[index]]),
            probability=float(stated[index]),
            label_probability=float(probabilities[index, labels[index]]),
        )
        for index in order.tolist()
    ]


def check_arguments(
    labels: Sequence[float] | np.ndarray,
    probabilities: Sequence[list[float]] | np.ndarray,
    num_classes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """`(int64[N] labels, float64[N, C] probabilities)`, or the error that `measure` names."""
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if labels.size == 0:
        raise DataError("a split without examples cannot be evaluated", flag="split")
    if labels.ndim != 1 or probabilities.shape != (len(labels), num_classes):
        raise ShapeError(
            f"labels {labels.shape} and probabilities {probabilities.shape} do not fit "
            f"{num_classes} classes (expected [N] and [N, {num_classes}])"
        )
    bad = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if bad.size:
        raise NumericError(
            f"the model's probabilities are not finite for {bad.size} of {len(labels)} "
            f"examples, first at example {bad[0]}",
            fix="--learning_rate lower, or --precision=float32",
        )
    totals = probabilities.sum(axis=1)
    bad = np.flatnonzero((np.abs(totals - 1) > 1e-2) | (probabilities.min(axis=1) < 0))
    if bad.size:
        what = f"sum is {totals[bad[0]]:.4g}, smallest is {probabilities[bad[0]].min():.4g}"
        raise NumericError(f"the values of example {bad[0]} are not probabilities ({what})")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels must be whole numbers (received {labels.dtype})")
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if outside.size:
        what = f"label {labels[outside[0]]} of example {outside[0]} is not one of the classes"
        raise DataError(f"{what} 0..{num_classes - 1}")
    return labels.astype(np.int64), probabilities / totals[:, None]


def _points(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    is_correct = predicted == labels
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "loss": float(
            metrics.log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1]))
        ),
        "macro_f1": float(metrics.f1_score(labels, predicted, average="macro", zero_division=0)),
        "calibration_error": reliability.expected_calibration_error(
            probabilities.max(axis=1), is_correct
        ),
    }


def _scores(
    labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> dict[str, float]:
    num_classes = probabilities.shape[1]
    scores = _points(labels, probabilities)
    scores["mean_confidence"] = float(probabilities.max(axis=1).mean())
    present = np.unique(labels)
    recalls = metrics.recall_score(labels, predicted, labels=present, average=None, zero_division=0)
    scores["balanced_accuracy"] = float(np.mean(recalls))
    if num_classes > TOP_K:
        scores[f"top_{TOP_K}_accuracy"] = float(
            metrics.top_k_accuracy_score(
                labels, probabilities, k=TOP_K, labels=np.arange(num_classes)
            )
        )
    if num_classes == 2 and len(present) == 2:
        scores["roc_auc"] = float(metrics.roc_auc_score(labels, probabilities[:, 1]))
    return scores


def _averages(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    result = {}
    for average in ("macro", "weighted"):
        values = metrics.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), values[:3], strict=True):
            result[f"{average}_{name}"] = float(value)
    return result


def _class_rows(labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> list[ClassRow]:
    columns = metrics.precision_recall_fscore_support(
        labels, predicted, labels=np.arange(len(names)), average=None, zero_division=0
    )
    *shares, support = (column.tolist() for column in columns)
    rows = zip(names, *shares, map(int, support), strict=True)  # floats where every answer is wrong
    return [ClassRow(*row) for row in rows]


def _majority(labels: np.ndarray, names: Sequence[str]) -> MajorityAnswer:
    most = int(np.bincount(labels, minlength=len(names)).argmax())
    constant = np.full_like(labels, most)
    return MajorityAnswer(
        names[most],
        float(metrics.accuracy_score(labels, constant)),
        float(metrics.f1_score(labels, constant, average="macro", zero_division=0)),
    )
