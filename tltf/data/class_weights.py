"""Weights of classes in a loss."""

from typing import Any

import numpy as np

from tltf.data import label_kinds
from tltf.errors import FlagError


def class_weights(part: Any, kind: str) -> np.ndarray | None:
    """float[num_classes], or None.

    Args:
        part: Source with labels.
        kind: `none`; `balanced`: n / (classes * n_c); `effective`: in proportion to
            (1 - b) / (1 - b^n_c) with b = 1 - 1 / n, Cui et al. 2019, arXiv:1901.05555, eq. 4. Both
            have the mean 1 over the rows, where every class has some. Departs: theirs have the sum
            C over the classes; b is .9 to .9999 there, chosen on validation.

    Raises:
        FlagError: several labels per row, or numbers.
    """
    if kind == "none":
        return None
    if not label_kinds.kind_of(part.labels).is_one_class:
        raise FlagError(
            "weights are of classes, the data has several labels or numbers per row",
            flag="class_weights",
            fix="--class_weights=none",
        )
    total = len(part)
    counts = np.maximum(np.bincount(part.labels, minlength=len(part.class_names)), 1)
    if kind == "balanced":
        return total / (len(counts) * counts)
    beta = 1.0 - 1.0 / total
    weights = (1.0 - beta) / (1.0 - beta**counts)
    return weights / weights[part.labels].mean()
