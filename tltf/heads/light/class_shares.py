"""The shares of the classes in rows without labels, which may differ from those of the labelled rows."""

import dataclasses

import numpy as np

from tltf.heads.light.light_model import FrozenRows

ESTIMATED, AS_SOURCE = SHARES = ("estimated", "source")
"""How often classes are taken to be in rows without labels: as they seem to be, or as in the labelled rows."""


def estimate(probabilities: np.ndarray) -> np.ndarray:
    """float64[C]: the shares of classes in some rows, as probabilities of a model for them say.

    Their mean, which Bella et al. 2010, ICDM, section 3.1 call probability average. The shares of highest
    likelihood (Saerens, Latinne & Decaestecker 2002, Neural Computation 14(1)) are right where nothing but
    the shares differs. Between domains that is not so, and they then end up at one class. Departs: each class
    counts as if one row more were of it, so that none is ruled out.

    Args:
        probabilities: float[N, C], of a model whose probabilities can be believed.
    """
    found: np.ndarray = probabilities.sum(axis=0, dtype=np.float64) + 1
    return found / found.sum()


def weigh(rows: FrozenRows, shares: np.ndarray) -> FrozenRows:
    """The rows with weights under which classes have some shares, float[C]; their mean stays."""
    own = rows.weights @ rows.targets / rows.weights.sum()
    factors = rows.targets @ (shares / np.maximum(own, 1e-12))
    weights = rows.weights * factors
    weights *= rows.weights.sum() / weights.sum()
    return dataclasses.replace(rows, weights=weights)
