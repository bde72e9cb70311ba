"""Temperature scaling: the number by which logits are divided so that probabilities can be believed.

Guo et al. 2017, arXiv:1706.04599, section 4.2: T minimises the cross-entropy of softmax(z / T) on
validation examples. The order of the classes of an example is unchanged, and so is its answer. A
label of several has its own T in sigmoid(z / T).
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from tltf.console import lazy_imports

optimize, special = lazy_imports.Module("scipy.optimize"), lazy_imports.Module("scipy.special")

Losses: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A function of float[N, ...] logits and their labels that gives float64[N], the loss of each row."""
LEAST_ROWS = 100
"""Validation examples below which `--calibrate=auto` fits nothing."""
LEAST_OF_LABEL = 10
"""A label that fewer validation examples have, or lack, takes the temperature of all labels together."""
BOUNDS = (1 / 20, 20.0)
"""The smallest and the largest temperature."""
NUM_FOLDS = 5
_SEED = 0


def class_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float64[N]: the cross-entropy of softmax(z) for float[N, C] logits and int[N] labels."""
    logits = np.asarray(logits, np.float64)
    return special.logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]


def label_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float64[N]: the cross-entropy of sigmoid(z) for float[N] logits and labels of 0 and 1."""
    logits = np.asarray(logits, np.float64)
    return np.logaddexp(0.0, logits) - np.asarray(labels, np.float64) * logits


def fit(logits: np.ndarray, labels: np.ndarray, losses: Losses) -> float:
    """The temperature within BOUNDS with the smallest mean loss, by Brent's method on its logarithm.

    Args:
        logits: float[N, ...], N >= 1.
        labels: N labels.
        losses: of logits that are already divided by the temperature.
    """
    logits = np.asarray(logits, np.float64)
    found = optimize.minimize_scalar(
        lambda power: float(losses(logits / np.exp(power), labels).mean()),
        bounds=tuple(np.log(BOUNDS)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(f"{np.exp(found.x):.6g}")


def fit_of_few(logits: np.ndarray, labels: np.ndarray, num_rows: int) -> float:
    """The temperature of classes by few rows, which stays above 0 where every answer is right.

    A label counts as its class with the probability (n + 1) / (n + 2) and as the others with the rest,
    n the number of rows: Platt 1999, "Probabilistic outputs for support vector machines", section 2.2.

    Args:
        logits: float[N, C], with at least two classes.
        labels: int[N].
        num_rows: n; less than N where rows stand in it more than once.
    """
    rest = 1.0 / (num_rows + 2)

    def losses(divided: np.ndarray, labels: np.ndarray) -> np.ndarray:
        own = class_losses(divided, labels)
        every = special.logsumexp(divided, axis=1) * divided.shape[1] - divided.sum(axis=1)
        return (1.0 - rest) * own + rest * (every - own) / (divided.shape[1] - 1)

    return fit(logits, labels, losses)


def losses_held_out(
    logits: np.ndarray, labels: np.ndarray, losses: Losses, groups: np.ndarray
) -> np.ndarray:
    """float64[N]: the loss of each row at the temperature that is fitted on the other folds.

    Args:
        logits: float[N, ...].
        labels: N labels.
        losses: see `fit`.
        groups: uint64[N], equal for rows that stay in one fold; at least two different ones.
    """
    _, numbers = np.unique(groups, return_inverse=True)
    num_groups = int(numbers.max()) + 1
    order = np.random.default_rng(_SEED).permutation(num_groups)
    folds = (order % min(NUM_FOLDS, num_groups))[numbers]
    found = np.empty(len(labels))
    for fold in np.unique(folds):
        is_held = folds == fold
        temperature = fit(logits[~is_held], labels[~is_held], losses)
        found[is_held] = losses(logits[is_held] / temperature, labels[is_held])
    return found


def choose(
    logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, is_wanted: bool = False
) -> float | None:
    """The temperature of classes, where it lowers the cross-entropy in cross-validation; else None.

    It is None too for fewer than LEAST_ROWS rows, and where every answer is right or every row has
    the same content: nothing then says how sure is sure enough.

    Args:
        logits: float[N, C].
        labels: int[N].
        groups: see `losses_held_out`.
        is_wanted: whether it is fitted in any case.
    """
    if not is_wanted:
        is_right = logits.argmax(axis=1) == labels
        if len(labels) < LEAST_ROWS or is_right.all() or len(np.unique(groups)) < 2:
            return None
        if not _lowers_loss(logits, labels, class_losses, groups):
            return None
    return fit(logits, labels, class_losses)


def choose_labels(
    logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, is_wanted: bool = False
) -> tuple[float, ...] | None:
    """The temperature of each label, 1 where cross-validation finds no gain; None where all are 1.

    Rare labels, which cross-validation cannot judge one by one, keep 1, and so do labels that are on
    the right side of .5 in every row.

    Args:
        logits: float[N, C].
        labels: uint8[N, C], 1 where an example has the label.
        groups: see `losses_held_out`.
        is_wanted: whether they are fitted in any case; rare labels then take the temperature of all
            labels together.
    """
    counts = labels.sum(axis=0, dtype=np.int64)
    is_known = np.minimum(counts, len(labels) - counts) >= LEAST_OF_LABEL
    is_right = ((logits > 0) == (labels > 0)).all(axis=0)
    is_enough = len(labels) >= LEAST_ROWS and len(np.unique(groups)) > 1
    found = np.ones(labels.shape[1])
    if is_wanted and not is_known.all():
        found[:] = fit(np.ravel(logits), np.ravel(labels), label_losses)
    for place in np.flatnonzero(is_known if is_wanted else is_known & ~is_right & is_enough):
        column = logits[:, place], labels[:, place], label_losses
        if is_wanted or _lowers_loss(*column, groups):
            found[place] = fit(*column)
    return tuple(found.tolist()) if (found != 1.0).any() else None


def _lowers_loss(
    logits: np.ndarray, labels: np.ndarray, losses: Losses, groups: np.ndarray
) -> bool:
    """Whether a temperature lowers the mean loss of rows on which it was not fitted."""
    held_out = losses_held_out(logits, labels, losses, groups)
    return bool(held_out.mean() < losses(logits, labels).mean())
