"""Losses of what a model predicts of a target without labels: class confusion, and information."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from tltf.errors import FlagError
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.graphs.freezing import Rule
from tltf.heads.classify import Classify
from tltf.heads.light.class_shares import ESTIMATED
from tltf.methods.context import FitContext
from tltf.methods.method import MakeBatches, MakeInputs, Phase, groups_of, rule_of
from tltf.methods.penalty import PenaltyMethod, head_features
from tltf.methods.rules import HEAD
from tltf.methods.two_domains import TwoDomainsMethod

SMALLEST = 1e-8
"""What keeps logarithms and quotients finite."""


def mcc(
    temperature: float = 2.5,
    weight: float = 1.0,
    hidden: int = 64,
    last_groups: int = 0,
    shares: str = ESTIMATED,
) -> "ClassConfusion":
    """A method that makes predictions of the target waver less between two classes.

    L(y) + w / C * sum over j' != j of K_jj', K = P^T diag(W) P with each row divided by its sum, P
    float[B, C] = softmax(z / T) of the target and W_i = B (1 + exp(-H(P_i))) / sum_k (1 + exp(-H(P_k))), H
    the entropy: Jin et al. 2020, arXiv:1912.03699, eq. 2 to 7. The W are constants for the gradient.
    Departs: where the backbone is frozen, a hidden layer of the head is what is trained.

    Args:
        temperature: T, above 0.
        weight: w, at least 0.
        hidden: units of the hidden layer, where the head has none; 0 adds none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.
        shares: estimated or source, see TwoDomainsMethod.

    Raises:
        FlagError: a number out of its range.
    """
    return ClassConfusion(temperature, weight, hidden, last_groups, shares)


class ClassConfusion(TwoDomainsMethod):
    """The method that `mcc` makes; see there for its arguments."""

    def __init__(
        self, temperature: float, weight: float, hidden: int, last_groups: int, shares: str
    ) -> None:
        if not 0 < temperature < math.inf:
            what = f"temperature must be above 0 (received {temperature})"
            raise FlagError(what, flag="method", fix="--method='mcc(temperature=2.5)'")
        super().__init__("mcc", weight, hidden, last_groups, shares)
        self.temperature = temperature

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The logits; no more groups."""
        return [core.model.output[core.head.name]], ()

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the mean share of what is confused, over the classes."""
        ((_, logits),) = pairs
        shares = tf.nn.softmax(logits / self.temperature)
        certain = tf.stop_gradient(1.0 + tf.exp(-entropies(shares)))
        count = tf.cast(tf.shape(shares)[0], tf.float32)
        weights = count * certain / tf.reduce_sum(certain)
        confusion = tf.matmul(shares * weights[:, None], shares, transpose_a=True)
        confusion /= tf.maximum(tf.reduce_sum(confusion, axis=1, keepdims=True), SMALLEST)
        num_classes = tf.cast(tf.shape(shares)[1], tf.float32)
        return (tf.reduce_sum(confusion) - tf.linalg.trace(confusion)) / num_classes


def shot(weight: float = 0.3, last_groups: int = 0) -> "SourceFree":
    """A method that fits the features of a finished run to a target; the output layer stays as it is.

    mean_i H(p_i) - H(mean_i p_i) + w * mean_i -log p_i[y_i], p the predictions of the target's rows and H
    the entropy; y_i is the class whose center has the smallest cosine distance to row i. Centers are
    first the means of the features weighted by p, then the means of the rows that got each class: Liang
    et al. 2020, arXiv:2002.08546, eq. 3 to 7. No row of --data is read in training: its rows only name
    the classes, and judge. Start with --backbone=RUN --head_weights=RUN. Departs: the centers are those of a
    batch, not of all rows before each epoch, so take a --batch_size of some rows for each class; the head
    of the run has neither a batch norm nor a weight normalisation.

    Args:
        weight: w, at least 0.
        last_groups: groups of the backbone that are trained, beside hidden layers of the head.

    Raises:
        FlagError: a number out of its range.
    """
    return SourceFree(weight, last_groups)


class SourceFree(PenaltyMethod):
    """The method that `shot` makes; see there for its arguments."""

    def __init__(self, weight: float, last_groups: int) -> None:
        if not (0 <= weight < math.inf and last_groups >= 0):
            what = f"weight and last_groups must be at least 0 (received {weight}, {last_groups})"
            raise FlagError(what, flag="method", fix="--method=shot")
        super().__init__(lambda core: [self._phase(core)])
        self.weight, self.last_groups = weight, last_groups

    def _phase(self, core: Core) -> Phase:
        names = groups_of(core)
        if self.last_groups > len(names):
            what = f"last_groups={self.last_groups}, but the backbone has {len(names)} groups"
            fix = f"--method='shot(last_groups={len(names)})'"
            raise FlagError(what, flag="method", fix=fix)
        hidden = [HEAD] if len(core.groups[-1].layers) > 1 else []
        if not (hidden or self.last_groups):
            what = (
                "the run's head has no hidden layer, so that with last_groups=0 nothing is trained; give the run a "
                "head such as classify(hidden=256)"
            )
            raise FlagError(what, flag="method", fix="--method='shot(last_groups=1)'")
        trained = names[len(names) - self.last_groups :]
        kept: Rule = (f"head/{core.head.name}_logits/.*", 0.0)
        return Phase("shot", (kept, *hidden, *map(rule_of, trained)), norm="frozen")

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core, with the loss behind its logits."""
        if type(core.head) is not Classify:
            what = f"shot takes a head of classes, not {core.head_spec}"
            raise FlagError(what, flag="method", fix="--head=classify, as in the run")
        return super().prepare(core, context)

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """What the logits are computed from, and the logits; no more groups."""
        return [head_features(core), core.model.output[core.head.name]], ()

    def penalty(self, *arrays: tf.Tensor) -> tf.Tensor:
        """float[]: the loss of float32[B, d] features and float32[B, C] logits."""
        features, logits = arrays
        shares = tf.nn.softmax(logits)
        unsure = tf.reduce_mean(entropies(shares))
        spread = entropies(tf.reduce_mean(shares, axis=0, keepdims=True))[0]
        targets = nearest_centers(tf.stop_gradient(features), tf.stop_gradient(shares))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return unsure - spread + self.weight * tf.reduce_mean(losses)

    def batches(
        self, training: MakeBatches, phase: Phase, unlabelled: MakeInputs | None
    ) -> MakeBatches:
        """Batches of rows of the target alone, with targets and weights of 0."""
        if unlabelled is None:
            raise ValueError("shot has no rows of a target")
        read: Callable[..., tf.data.Dataset] = unlabelled

        def make(
            first_epoch: int, num_epochs: int, *, skip: int = 0, **also: object
        ) -> tf.data.Dataset:
            _, *others = training(first_epoch, num_epochs).element_spec

            def join(inputs: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], ...]:
                count = tf.shape(next(iter(inputs.values())))[0]
                zeros = [
                    {
                        name: tf.zeros([count, *spec.shape[1:]], spec.dtype)
                        for name, spec in part.items()
                    }
                    for part in others
                ]
                return (inputs, *zeros)

            return read(first_epoch, num_epochs, skip).map(join)

        return make


def entropies(shares: tf.Tensor) -> tf.Tensor:
    """float32[B]: the entropy of each row of float32[B, C], in nats."""
    return -tf.reduce_sum(shares * tf.math.log(shares + SMALLEST), axis=1)


def nearest_centers(features: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """int64[B]: the class whose center is nearest by cosine, after centers were computed twice.

    Args:
        features: float32[B, d].
        shares: float32[B, C], the predictions.
    """
    rows = tf.math.l2_normalize(features, axis=1)
    num_classes = tf.shape(shares)[1]
    found, weights = tf.argmax(shares, axis=1), shares
    for _ in range(2):
        sums = tf.matmul(weights, features, transpose_a=True)
        cosines = tf.matmul(rows, tf.math.l2_normalize(sums, axis=1), transpose_b=True)
        is_there = tf.reduce_sum(weights, axis=0) > 0
        found = tf.argmax(tf.where(is_there, cosines, -2.0), axis=1)
        weights = tf.one_hot(found, num_classes)
    return found
