"""The head that is fitted on the labels so far, in seconds, after each round."""

import dataclasses

import numpy as np
from scipy import special

from tltf.config.checks import AUTO
from tltf.errors import DataError
from tltf.heads.light import choice, families, linear_families
from tltf.heads.light.light_model import FrozenRows, LightModel

ROWS_AT_ONCE = 8192
"""Rows whose probabilities are computed together."""


@dataclasses.dataclass(frozen=True)
class LightHead:
    """A light model that was fitted on some labels.

    Args:
        model: on pooled features.
        text: what it is, such as `logistic, penalty .1`.
    """

    model: LightModel
    text: str

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """float64[N, C] of float32[N, d]."""
        starts = range(0, len(features), ROWS_AT_ONCE)
        parts = [self.model.logits(features[start : start + ROWS_AT_ONCE]) for start in starts]
        return special.softmax(np.concatenate(parts), axis=1)


def fit_head(
    features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int = 0, names: str = AUTO
) -> LightHead | None:
    """The tuned light head of some labelled rows; None where they have fewer than two classes.

    Its family and setting are chosen by cross-validation, see `heads.light.choice`. Where rows are too few to hold
    any back, it is the class means by cosine, which need no choice.

    Args:
        features: float32[N, d].
        labels: int64[N], places of classes.
        num_classes: C.
        seed: of the folds.
        names: families as `heads.light.families.pick` takes them.

    Raises:
        FlagError: there is no such family.
    """
    tried = families.pick(names)
    if len(np.unique(labels)) < 2:
        return None
    rows = FrozenRows(features, np.eye(num_classes)[labels], np.ones(len(labels)))
    try:
        chosen = choice.choose(tried, rows, seed)
        return LightHead(chosen.model, chosen.candidate.text)
    except DataError:
        family = linear_families.ClassMeans()
        (model,) = choice.solve(family, rows, [1.0])
        return LightHead(model, f"{family.name}, {family.text(1.0)}")
