"""Thresholds: the probability from which on a label is given to an example."""

from collections.abc import Sequence

import numpy as np

from tltf.console import lazy_imports

special = lazy_imports.Module("scipy.special")

LEAST_POSITIVE = 5
"""A label with fewer positive examples than this takes the threshold of all labels together."""


def best_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float[C]: for each label the threshold with the best F1.

    Yang 2001, "A study of thresholding strategies for text categorization", SCut. Departs: the
    paper falls back by value: a label whose tuned F1 is low takes a higher threshold. Here the
    fall-back is by count: a label with fewer than LEAST_POSITIVE positive examples takes the one
    threshold with the best F1 over all labels together.

    Args:
        probabilities: float[N, C] of examples that were not trained on.
        labels: uint8[N, C], 1 where an example has the label.
    """
    common = _best(np.ravel(probabilities), np.ravel(labels))
    is_known = labels.sum(axis=0) >= LEAST_POSITIVE
    return np.array(
        [
            _best(probabilities[:, place], labels[:, place]) if is_known[place] else common
            for place in range(labels.shape[1])
        ]
    )


def moved(thresholds: Sequence[float], temperatures: Sequence[float]) -> tuple[float, ...]:
    """The thresholds on sigmoid(z / T) that give the labels of thresholds on sigmoid(z).

    Args:
        thresholds: C numbers from 0 to 1, or one for all.
        temperatures: C numbers above 0, or one for all.
    """
    with np.errstate(divide="ignore"):
        found = special.expit(special.logit(thresholds) / np.asarray(temperatures))
    return tuple(float(f"{value:.9g}") for value in found)


def _best(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The threshold with the best F1, halfway between two neighbouring probabilities.

    Among equally good ones it is the one nearest to .5; it is .5 where no label is positive.
    """
    if not labels.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order].astype(np.float64)
    hits = np.cumsum(labels[order], dtype=np.float64)
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + hits[-1])
    is_border = np.append(ranked[1:] < ranked[:-1], True)
    middles = (ranked + np.append(ranked[1:], 0.0)) / 2
    is_best = is_border & (f1 >= f1[is_border].max() - 1e-12)
    candidates = middles[is_best]
    return float(candidates[np.abs(candidates - 0.5).argmin()])
