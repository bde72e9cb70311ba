"""Adaptive batch normalisation: the statistics of the target in place of those of the source."""

import tensorflow as tf

from tltf.errors import FlagError
from tltf.graphs import batch_norm_statistics, freezing
from tltf.graphs.core import Core
from tltf.methods import rules
from tltf.methods.context import FitContext
from tltf.methods.method import MakeBatches, MakeInputs, Method, Phase, TrainingOutcome


def adabn(backbone_rate: float = 1.0) -> "TargetStatistics":
    """A method that trains everything on the source, then takes batch-norm statistics of the target.

    After training, the mean and the variance of each batch norm are those of the target's rows, and no
    weight changes: Li et al. 2016, arXiv:1603.04779, algorithm 1. They are taken as `recalibrate` in
    tltf.graphs.batch_norm_statistics takes them, over as many batches as an epoch of the source has,
    augmented as in training. The validation scores of training are those with the statistics of the source.

    Args:
        backbone_rate: factor on the learning rate for the layers below the head, above 0.

    Raises:
        FlagError: a rate at which the backbone is not trained.
    """
    rules.require_rate(backbone_rate)
    return TargetStatistics(backbone_rate)


class TargetStatistics(Method):
    """The method that `adabn` makes."""

    changes_trained = True

    def __init__(self, backbone_rate: float) -> None:
        super().__init__(lambda core: [Phase("adabn", (rules.HEAD, (".*", backbone_rate)))])
        self._target: tf.data.Dataset | None = None

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core as it is.

        Raises:
            FlagError: the network has no batch norm.
        """
        if not _norms(core):
            what = f"adabn changes batch norms, and {core.backbone.name} has none"
            raise FlagError(what, flag="method", fix="--method=dann, or another --backbone")
        return core

    def batches(
        self, training: MakeBatches, phase: Phase, unlabelled: MakeInputs | None
    ) -> MakeBatches:
        """The training rows; the rows of the target are noted for `finish`."""
        if unlabelled is None:
            raise ValueError("adabn has no rows of a target")
        self._target = unlabelled(0, 1)
        return training

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core with the statistics of the target."""
        if self._target is None:
            raise ValueError("adabn has no rows of a target")
        batches = ((inputs,) for inputs in self._target)
        batch_norm_statistics.recalibrate(core.model, batches, _norms(core))
        return core


def _norms(core: Core) -> list:
    """The batch norms of a core."""
    return [
        norm for group in core.groups for layer in group.layers for norm in freezing.norms(layer)
    ]
