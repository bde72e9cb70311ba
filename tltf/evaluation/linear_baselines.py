"""Linear models on frozen features: baselines of heads that do not answer with a single class."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.data import blas_threads
from tltf.evaluation.baselines import Examples, at_edge, held_back

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""C of logistic regression, scikit-learn's inverse strength."""
ALPHAS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
"""Strengths of ridge regression."""


def one_vs_rest(
    train: Examples,
    validation: Examples | None,
    features: np.ndarray,
    *,
    seed: int,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], dict[str, Any]]:
    """`(float64[M, C] probabilities, (the same of the judged rows, labels), what was chosen)`.

    There is one logistic regression per label. All have the same C, the one of GRID with the
    smallest cross-entropy on validation, or on a fifth of training where there is no validation.

    Args:
        train: `(float[N, d], uint8[N, L])`.
        validation: the same, or None.
        features: float[M, d] of the rows to predict.
        seed: of the draw of the rows that are held back.
        groups: int[N], rows that are held back together; see `held_back`.
    """
    from sklearn.preprocessing import StandardScaler

    fitted, judged = train, validation
    if judged is None:
        fitted, judged = held_back(train[0], train[1], seed, groups)
    scaler = StandardScaler().fit(fitted[0])
    rows, judged_rows = scaler.transform(fitted[0]), scaler.transform(judged[0])
    tried = []
    for c in GRID:
        models = _fit_labels(c, rows, fitted[1])
        stated = _stated(models, judged_rows)
        tried.append((_cross_entropy(stated, judged[1]), c, models, stated))
    _, c, models, stated = min(tried, key=lambda row: row[0])
    chosen = {
        "c": c,
        "grid": list(GRID),
        "is_at_edge": at_edge(c, GRID),
        "num_train": len(fitted[1]),
    }
    return _stated(models, scaler.transform(features)), (stated, judged[1]), chosen


def ridge(
    train: Examples,
    validation: Examples | None,
    features: np.ndarray,
    levels: Sequence[float],
    *,
    seed: int,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """`(float64[M, Q] quantiles, what was chosen)` of ridge regression.

    The strength is the one of ALPHAS with the smallest absolute error on validation, or on a
    fifth of training; the quantiles are those of the errors there around the prediction.

    Args:
        train: `(float[N, d], float[N])`.
        validation: the same, or None.
        features: float[M, d].
        levels: Q floats, 0..1.
        seed: of the draw of the rows that are held back.
        groups: int[N], rows that are held back together; see `held_back`.
    """
    from sklearn.linear_model import Ridge

    fitted, judged = train, validation
    if judged is None:
        fitted, judged = held_back(train[0], train[1], seed, groups)
    tried = []
    for alpha in ALPHAS:
        model = _scaled(Ridge(alpha=alpha)).fit(*fitted)
        errors = judged[1] - model.predict(judged[0])
        tried.append((float(np.abs(errors).mean()), alpha, model, errors))
    error, alpha, model, errors = min(tried, key=lambda row: row[0])
    quantiles = model.predict(features)[:, None] + np.quantile(errors, levels)
    return quantiles, {
        "alpha": alpha,
        "grid": list(ALPHAS),
        "is_at_edge": at_edge(alpha, ALPHAS),
        "validation_error": error,
        "num_train": len(fitted[1]),
    }


def _fit_labels(c: float, features: np.ndarray, labels: np.ndarray) -> list[Any]:
    """One model per label; in its place, the number 1 or 0 for a label that all or no rows have.

    The intercept is not penalised. liblinear penalises it like a weight: a rare label then cannot
    have a small probability, and the choice of C would depend on that alone.
    """
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=300)
    with warnings.catch_warnings(), blas_threads.limit_threads(features.size):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [
            clone(model).fit(features, column)
            if 0 < column.sum() < len(column)
            else float(column.all())
            for column in labels.T
        ]


def _stated(models: Sequence[Any], features: np.ndarray) -> np.ndarray:
    columns = [
        np.full(len(features), model)
        if isinstance(model, float)
        else model.predict_proba(features)[:, 1]
        for model in models
    ]
    return np.stack(columns, axis=1)


def _cross_entropy(stated: np.ndarray, labels: np.ndarray) -> float:
    stated = np.clip(stated, 1e-7, 1 - 1e-7)
    return -np.where(labels > 0, np.log(stated), np.log1p(-stated)).mean()


def _scaled(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)
