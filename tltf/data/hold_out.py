"""Which rows are held back to choose by; free of TensorFlow."""

import numpy as np


def held_groups(labels: np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """bool[N]: a fifth of the groups of each class, drawn at random; a group stays together.

    Args:
        labels: int[N]; a group is of the class of its first row.
        groups: int[N], rows that come from one: copies, views, draws; None: every row by itself.
        seed: of the draw.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(labels[first][order], kind="stable")]
    is_held = np.zeros(len(first), bool)
    is_held[order[2::5]] = True
    return is_held[place]
