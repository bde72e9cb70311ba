"""Contrastive fine-tuning on pairs of training rows, then a head on the tuned features."""

import keras
import tensorflow as tf
from keras import ops

from tltf.data.ordering import GivenOrder
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.methods import pairs
from tltf.methods.context import FitContext
from tltf.methods.method import Phase, RowsToOrder
from tltf.methods.penalty import head_features, require_one_class
from tltf.methods.tuned_head import TunedHeadMethod, pick_head


def setfit(head: str = "lbfgs", last_groups: int = 0, backbone_rate: float = 1.0) -> "SetFit":
    """A method that trains the network on pairs of rows, then makes the head on its features.

    The mean of (cos(u, v) - y)^2 over pairs, u and v the features of two rows as the head takes them,
    y 1 for rows of one class and 0 for others: Tunstall et al. 2022, arXiv:2209.11055, section 3.1.
    Departs: the paper draws R pairs of each kind for each row, with repetitions; here half of the
    pairs of a batch are of one class, and none is read twice before about all are read, see
    `pairs.pair_order`. An epoch reads about as many pairs as there are rows. The network may be one of
    images, with pooled features. Weights of rows count for the head alone, whose accuracy in the log of
    the first phase is that of random weights.

    The head is made on features that have seen its rows, so that cross-validation overrates them: what
    is chosen, and how sure the head is, needs a validation split to be believed.

    Args:
        head: `lbfgs` solves for the head, as `lp_ft` does; otherwise the families of light heads that
            `probe` takes, such as `auto`.
        last_groups: number of groups of layers that are trained, from the top; 0 for all. What the
            others give is computed once.
        backbone_rate: factor on --learning_rate, above 0.

    Raises:
        FlagError: an unknown head, or a number out of its range.
        DataError: when training begins, rows that are of one class, or that have a class each.
    """
    return SetFit("setfit", pick_head(head), last_groups, backbone_rate)


class SetFit(TunedHeadMethod):
    """The method that `setfit` makes."""

    def order(self, phase: Phase, rows: RowsToOrder) -> GivenOrder | None:
        """Pairs of rows side by side."""
        return pairs.pair_order(rows)

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The features that the head takes; no more groups."""
        return [head_features(core)], ()

    def penalty(self, targets: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """float[]: the mean of (cos - y)^2 over neighbours; a last row without a neighbour is left out."""
        require_one_class(targets, self.name)
        units = ops.normalize(features, axis=-1)
        end = ops.shape(features)[0] // 2 * 2
        is_same = ops.cast(targets[0:end:2] == targets[1:end:2], "float32")
        cosines = ops.sum(units[0:end:2] * units[1:end:2], axis=-1)
        return ops.mean(ops.square(cosines - is_same))
