"""Batch spectral shrinkage: a penalty makes features small that do not transfer."""

import keras
import tensorflow as tf
from keras import ops

from tltf.errors import FlagError
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.heads.pooling import pool
from tltf.methods.context import FitContext
from tltf.methods.method import Phase
from tltf.methods.penalty import PenaltyMethod
from tltf.methods.rules import EVERYTHING


def bss(eta: float = 0.001, smallest: int = 1) -> "SpectralShrinkage":
    """A method that trains everything; a penalty shrinks small singular values of a batch's features.

    eta * sum of the `smallest` smallest s_i^2 of float[B, d]: Chen et al. 2019, "Catastrophic
    Forgetting Meets Negative Transfer", NeurIPS, eq. 4. With several devices it is the mean of the
    penalties of their shares of a batch.

    Args:
        eta: strength of the penalty, at least 0.
        smallest: number of singular values that are shrunk, at least 1.

    Raises:
        FlagError: a number out of its range.
    """
    if not eta >= 0 or smallest < 1:
        what = f"eta must be at least 0 and smallest at least 1 (received {eta}, {smallest})"
        raise FlagError(what, flag="method", fix="--method='bss(eta=.001)'")
    return SpectralShrinkage(eta, smallest)


class SpectralShrinkage(PenaltyMethod):
    """The method that `bss` makes."""

    def __init__(self, eta: float, smallest: int) -> None:
        super().__init__(lambda core: [Phase("bss", EVERYTHING)])
        self.eta, self.smallest = eta, smallest

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The pooled features; no more groups."""
        return [pool(core.backbone.taps, core.backbone.modality, "auto")], ()

    def penalty(self, features: tf.Tensor) -> tf.Tensor:
        """float[]: eta times the sum of the smallest squared singular values."""
        values = ops.svd(features, compute_uv=False)  # in falling order
        return self.eta * ops.sum(ops.square(values[-self.smallest :]))
