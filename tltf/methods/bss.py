"""Batch spectral shrinkage: features that do not transfer are made small."""

from typing import Any

from keras import ops

from tltf.errors import FlagError
from tltf.heads.pooling import pool
from tltf.methods.method import Phase
from tltf.methods.penalty import Penalised
from tltf.methods.rules import EVERYTHING


def bss(eta: float = 0.001, smallest: int = 1) -> "SpectralShrinkage":
    """Trains everything; the loss shrinks the smallest singular values of a batch's features.

    eta * sum of the `smallest` smallest s_i^2 of float[B, d]: Chen et al. 2019, "Catastrophic
    Forgetting Meets Negative Transfer", NeurIPS, eq. 4. Several devices take the mean of this over
    their shares of a batch.

    Args:
        eta: at least 0.
        smallest: how many, at least 1.

    Raises:
        FlagError: a number out of its range.
    """
    if not eta >= 0 or smallest < 1:
        what = f"eta is at least 0 and smallest at least 1 (received {eta}, {smallest})"
        raise FlagError(what, flag="method", fix="--method='bss(eta=.001)'")
    return SpectralShrinkage(eta, smallest)


class SpectralShrinkage(Penalised):
    """See `bss`."""

    def __init__(self, eta: float, smallest: int) -> None:
        super().__init__(lambda core: [Phase("bss", EVERYTHING)])
        self.eta, self.smallest = eta, smallest

    def penalty_inputs(self, core: Any, context: Any) -> Any:
        """The pooled features."""
        return [pool(core.backbone.taps, core.backbone.modality, "auto")], ()

    def penalty(self, features: Any) -> Any:
        """float[]."""
        values = ops.svd(features, compute_uv=False)  # in falling order
        return self.eta * ops.sum(ops.square(values[-self.smallest :]))
