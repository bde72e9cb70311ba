"""Stacking: a logistic regression on the answers of several models, fitted on validation rows.

Wolpert 1992, "Stacked generalization", Neural Networks 5(2); Ting & Witten 1999, "Issues in stacked
generalization", JAIR 10: the inputs are probabilities, here their logarithms.
"""

import dataclasses
import warnings
from typing import Any

import numpy as np

from tltf.console import lazy_imports
from tltf.data import blas_threads

linear_model = lazy_imports.Module("sklearn.linear_model")
exceptions = lazy_imports.Module("sklearn.exceptions")

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of C of scikit-learn's LogisticRegression that are tried; the smaller, the stronger the penalty."""
NUM_FOLDS = 5
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Stacking:
    """A logistic regression.

    Args:
        kernel: float64[M * C, C] for classes; float64[M, C] for labels.
        bias: float64[C].
        strength: C of LogisticRegression, chosen by cross-validation.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float


def fit_classes(
    inputs: np.ndarray, labels: np.ndarray, num_classes: int, groups: np.ndarray
) -> Stacking:
    """The Stacking of one class of several.

    Args:
        inputs: float64[N, M * C].
        labels: int[N].
        num_classes: C, of which some may not occur.
        groups: uint64[N], equal for rows that cross-validation keeps together.
    """
    folds = folds_of(groups)
    losses = [_held_out_loss(inputs, labels, num_classes, folds, c) for c in STRENGTHS]
    strength = STRENGTHS[int(np.argmin(losses))]
    return Stacking(*_fit_classes(inputs, labels, num_classes, strength), strength)


def fit_labels(inputs: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Stacking:
    """The Stacking of several labels, a regression for each with the same C.

    A label that all rows have, or none, takes the mean of the logits.

    Args:
        inputs: float64[N, M, C].
        labels: uint8[N, C], 1 where a row has the label.
        groups: see `fit_classes`.
    """
    folds, losses = folds_of(groups), np.zeros(len(STRENGTHS))
    for at, strength in enumerate(STRENGTHS):
        for fold in np.unique(folds):
            held = folds == fold
            kernel, bias = _fit_labels(inputs[~held], labels[~held], strength)
            logits = (inputs[held] * kernel).sum(axis=1) + bias
            losses[at] += (np.logaddexp(0, logits) - labels[held] * logits).sum()
    strength = STRENGTHS[int(np.argmin(losses))]
    return Stacking(*_fit_labels(inputs, labels, strength), strength)


def folds_of(groups: np.ndarray) -> np.ndarray:
    """int64[N]: the fold of each row, from 0; rows of one group are in one fold."""
    _, numbers = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(_SEED).permutation(int(numbers.max()) + 1)
    return (order % min(NUM_FOLDS, len(order)))[numbers]


def _held_out_loss(
    inputs: np.ndarray, labels: np.ndarray, num_classes: int, folds: np.ndarray, strength: float
) -> float:
    """The mean cross-entropy of rows by the regression on the other folds."""
    total = 0.0
    for fold in np.unique(folds):
        held = folds == fold
        if held.all():
            continue
        kernel, bias = _fit_classes(inputs[~held], labels[~held], num_classes, strength)
        logits = inputs[held] @ kernel + bias
        most = logits.max(axis=1, keepdims=True)
        norms = np.log(np.exp(logits - most).sum(axis=1)) + most[:, 0]
        total += float((norms - logits[np.arange(len(logits)), labels[held]]).sum())
    return total / len(labels)


def _fit_classes(
    inputs: np.ndarray, labels: np.ndarray, num_classes: int, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """`(kernel, bias)`; a class that does not occur gets a logit far below the others."""
    present = np.unique(labels)
    kernel, bias = np.zeros((inputs.shape[1], num_classes)), np.full(num_classes, -30.0)
    if len(present) == 1:
        bias[present] = 0.0
        return kernel, bias
    fitted = _regression(inputs, labels, strength)
    if len(present) == 2:
        kernel[:, present[1]] = fitted.coef_[0]
        bias[present] = 0.0, fitted.intercept_[0]
    else:
        kernel[:, present], bias[present] = fitted.coef_.T, fitted.intercept_
    return kernel, bias


def _fit_labels(
    inputs: np.ndarray, labels: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """`(float64[M, C], float64[C])`, see `fit_labels`."""
    _, num_members, num_labels = inputs.shape
    kernel, bias = np.full((num_members, num_labels), 1.0 / num_members), np.zeros(num_labels)
    for place in range(num_labels):
        if len(np.unique(labels[:, place])) == 2:
            fitted = _regression(inputs[:, :, place], labels[:, place], strength)
            kernel[:, place], bias[place] = fitted.coef_[0], fitted.intercept_[0]
    return kernel, bias


def _regression(inputs: np.ndarray, labels: np.ndarray, strength: float) -> Any:
    model = linear_model.LogisticRegression(C=strength, max_iter=1000)
    with warnings.catch_warnings(), blas_threads.limit_threads(inputs.size):
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        return model.fit(inputs, labels)
