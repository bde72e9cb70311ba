"""The rows that are held back to choose a head by; free of TensorFlow."""

import numpy as np


def held_groups(labels: np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """bool[N], true for the rows of a fifth of the groups of each class, drawn at random.

    Args:
        labels: int[N]; a group has the class of its first row.
        groups: int[N], equal for rows that are copies, views or draws of one row and stay together;
            None where every row is a group by itself.
        seed: seed of the draw.
    """
    return folds(labels, groups, 5, seed) == 2


def folds(labels: np.ndarray, groups: np.ndarray | None, num_folds: int, seed: int) -> np.ndarray:
    """int64[N], 0..num_folds - 1: the fold of each row; each class is spread over all folds.

    Args:
        labels: int[N]; a group has the class of its first row.
        groups: see `held_groups`; a group stays in one fold.
        num_folds: number of folds.
        seed: seed of the draw.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(labels[first][order], kind="stable")]
    numbers = np.empty(len(first), np.int64)
    numbers[order] = np.arange(len(first)) % num_folds
    return numbers[place]
