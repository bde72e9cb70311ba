"""Simple models on the same split, beside which the metrics of a model are read."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.data import blas_threads, hold_out
from tltf.errors import DataError, NumericError, ShapeError
from tltf.evaluation import classification
from tltf.evaluation.baseline_row import BaselineRow
from tltf.evaluation.split_metrics import SplitMetrics

Examples = tuple[np.ndarray, np.ndarray]
"""`(float[N, d] features, labels of N rows)`."""
GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_MAX_ITERATIONS = 1000


def majority(
    train_labels: Sequence[int] | np.ndarray,
    test_labels: Sequence[int] | np.ndarray,
    class_names: Sequence[str],
    *,
    seed: int = 0,
    num_resamples: int = 1000,
) -> tuple[BaselineRow, np.ndarray]:
    """Always the most frequent training class, with the training frequencies as probabilities.

    One is added to each class's count, so that the loss stays finite for a class that the
    training split lacks.

    Args:
        train_labels: int[N] in 0..C-1.
        test_labels: int[M].
        class_names: C names.
        seed: of the bootstrap.
        num_resamples: of the bootstrap.

    Returns:
        `(row, float64[M, C] probabilities)`; `row.chosen` holds the class as `label`.

    Raises:
        DataError: a split is empty.
    """
    if len(train_labels) == 0:
        raise DataError("a training split without examples has no majority class", flag="split")
    counts = np.bincount(np.asarray(train_labels), minlength=len(class_names)) + 1.0
    stated = np.tile(counts / counts.sum(), (len(test_labels), 1))
    row = BaselineRow(
        classification.measure(
            test_labels, stated, class_names, seed=seed, num_resamples=num_resamples
        ),
        chosen={"label": str(class_names[int(counts.argmax())])},
        note="always the most frequent class of the training split",
    )
    return row, stated


def logistic_regression(
    train: Examples,
    validation: Examples | None,
    test: Examples,
    class_names: Sequence[str],
    *,
    grid: tuple[float, ...] = GRID,
    seed: int = 0,
    num_resamples: int = 1000,
    groups: np.ndarray | None = None,
) -> tuple[BaselineRow, np.ndarray]:
    """Multinomial logistic regression on frozen features.

    Features are standardised with the training split's mean and deviation. The regularisation
    C is the one of `grid` with the best validation accuracy, at a tie the lower validation
    loss. It is fitted on the training split alone: validation examples are not added, so that
    it sees the examples that the model's weights saw.

    Args:
        train: `(float[N, d] features, int[N] labels in 0..C-1)`.
        validation: the same for the choice of C; None holds a fifth of train back for it and
            then fits on all of train, since C chosen on its own training examples overfits.
        test: the same; used once.
        class_names: C names.
        grid: inverse regularisation strengths (scikit-learn's C), each above 0.
        seed: of the bootstrap.
        num_resamples: of the bootstrap.
        groups: int[N], training rows that are held back together; see `held_back`.

    Returns:
        `(row, float64[M, C] probabilities)`, as `majority` gives them; `row.chosen` holds c, grid,
        is_at_edge, validation_accuracy, has_converged, num_features, num_train.

    Raises:
        DataError: a split is empty, or training has one class only.
        ShapeError: features are not a matrix, or widths differ.
        NumericError: a feature is not finite.
    """
    train, test = _checked("train", *train), _checked("test", *test)
    validation = None if validation is None else _checked("validation", *validation)
    widths = {part[0].shape[1] for part in (train, validation or train, test)}
    if len(widths) > 1:
        raise ShapeError(f"feature widths differ between the splits: {sorted(widths)}")
    model, chosen = _choose(grid, train, validation, len(class_names), seed, groups)
    stated = _probabilities(model, test[0], len(class_names))
    row = BaselineRow(
        classification.measure(
            test[1], stated, class_names, seed=seed, num_resamples=num_resamples
        ),
        chosen=chosen | {"grid": [float(c) for c in grid], "num_features": widths.pop()},
        note="logistic regression on the frozen features; fitted on train, C from validation"
        + edge_note(chosen),
    )
    return row, stated


def at_edge(strength: float, grid: tuple[float, ...]) -> bool:
    """Whether a strength is at an end of its grid, so that one outside might be better."""
    return strength in (min(grid), max(grid))


def edge_note(chosen: dict[str, Any]) -> str:
    """The end of a baseline's note where the strength is at an end of its grid; else empty."""
    return " (the edge of what was tried)" if chosen["is_at_edge"] else ""


def _checked(
    name: str, features: Sequence[list[float]] | np.ndarray, labels: Sequence[int] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    features, labels = np.asarray(features), np.asarray(labels)
    if len(labels) == 0:
        raise DataError(f"the {name} split has no examples", flag="split")
    if features.ndim != 2 or len(features) != len(labels):
        raise ShapeError(
            f"{name} features {features.shape} and labels {labels.shape} do not fit together "
            "(expected [N, d] and [N])"
        )
    if not np.isfinite(features).all():
        raise NumericError(f"the {name} split has features that are not finite")
    return features.astype(np.float64), labels.astype(np.int64)


def _choose(
    grid: tuple[float, ...],
    train: Examples,
    validation: Examples | None,
    num_classes: int,
    seed: int,
    groups: np.ndarray | None,
) -> tuple[Any, dict[str, Any]]:
    """`(fitted model, dict of what was chosen)`."""
    fitted = train
    if validation is None:
        fitted, validation = held_back(train[0], train[1], seed, groups)
    if len(np.unique(fitted[1])) < 2:
        raise DataError("the training split has one class; logistic regression needs two")
    best = max((_fit(c, fitted, validation, num_classes) for c in grid), key=_quality)
    model, found, has_converged, c = best
    if fitted is not train:
        model, _, has_converged, _ = _fit(c, train, validation, num_classes)
    return model, {
        "c": float(c),
        "is_at_edge": at_edge(c, grid),
        "validation_accuracy": found.score("accuracy"),
        "has_converged": has_converged,
        "num_train": len(train[1]),
    }


def held_back(
    features: np.ndarray, labels: np.ndarray, seed: int, groups: np.ndarray | None = None
) -> tuple[Examples, Examples]:
    """`(rest, fifth)` of the training examples; see `hold_out.held_groups`.

    Without groups, rows with equal features are one group. Classes keep their shares; rows with
    several labels or with a number are drawn as if all had the same class.
    """
    if groups is None:
        groups = np.unique(features, axis=0, return_inverse=True)[1].ravel()
    is_class = np.ndim(labels) == 1 and np.issubdtype(np.asarray(labels).dtype, np.integer)
    strata = labels if is_class else np.zeros(len(labels), int)
    held = hold_out.held_groups(strata, groups, seed)
    if not held.any() or held.all():  # too few rows for a fifth of each class
        held = groups == groups[0] if len(np.unique(groups)) > 1 else np.arange(len(labels)) == 0
    return (features[~held], labels[~held]), (features[held], labels[held])


def _fit(
    c: float, train: Examples, validation: Examples, num_classes: int
) -> tuple[Any, SplitMetrics, bool, float]:
    """`(model, its metrics on validation, whether it has converged, c)`."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=_MAX_ITERATIONS))
    with warnings.catch_warnings(), blas_threads.limit_threads(train[0].size):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*train)
    stated = _probabilities(model, validation[0], num_classes)
    names = [str(index) for index in range(num_classes)]
    found = classification.measure(validation[1], stated, names, num_resamples=0)
    return model, found, bool(model[-1].n_iter_.max() < _MAX_ITERATIONS), c


def _quality(candidate: tuple[Any, SplitMetrics, bool, float]) -> tuple[float, float]:
    return candidate[1].score("accuracy"), -candidate[1].score("loss")


def _probabilities(model: Any, features: np.ndarray, num_classes: int) -> np.ndarray:
    """float64[N, C]; 0 for classes that training lacked."""
    stated = np.zeros((len(features), num_classes))
    stated[:, model[-1].classes_] = model.predict_proba(features)
    return stated
