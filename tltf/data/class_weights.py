"""Weights of classes in a loss."""

import numpy as np

from tltf.data import label_kinds
from tltf.data.source import Source
from tltf.errors import FlagError


def class_weights(part: Source, kind: str) -> np.ndarray | None:
    """float[num_classes], the weight of each class; None where classes are not weighed.

    Args:
        part: Source with labels.
        kind: `none`; `balanced`: n / (classes * n_c); `effective`: in proportion to
            (1 - b) / (1 - b^n_c) with b = 1 - 1 / n, Cui et al. 2019, arXiv:1901.05555, eq. 4. Both
            have the mean 1 over the rows, where every class has rows. Departs: in the paper the sum
            over the classes is C, and b is .9 to .9999, chosen on validation.

    Raises:
        FlagError: the data has several labels or numbers per row, or none.
    """
    if kind == "none":
        return None
    labels = part.labels
    if labels is None or not label_kinds.kind_of(labels).is_one_class:
        raise FlagError(
            "class weights need one class per row, the data has several labels or numbers per row",
            flag="class_weights",
            fix="--class_weights=none",
        )
    total = len(part)
    counts = np.maximum(np.bincount(labels, minlength=len(part.class_names)), 1)
    if kind == "balanced":
        return total / (len(counts) * counts)
    beta = 1.0 - 1.0 / total
    weights = (1.0 - beta) / (1.0 - beta**counts)
    return weights / weights[labels].mean()
