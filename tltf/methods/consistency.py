"""Semi-supervised training: the network's own hard answers for rows without labels are labels of further rows.

Each batch has, beside training rows, rows without labels: as they are for `pseudo_label`, and in a weakly and
a strongly augmented view of each for `fixmatch` and `flexmatch`. Where training rows are fewer, they are
repeated, so that an epoch passes over the rows without labels once.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltf.data import unlabelled as unlabelled_rows
from tltf.data.ordering import GivenOrder
from tltf.errors import FlagError
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.methods.context import FitContext
from tltf.methods.method import MakeBatches, MakeInputs, Phase, RowsToOrder
from tltf.methods.other_rows import OtherRowsMethod

WEAK = {"image": "flip|crop(scale=.875)", "text": ""}
STRONG = {"image": "flip|crop(scale=.875)|randaugment", "text": "token_dropout(rate=.3)"}
"""Modality -> call strings of AUGMENTS that `auto` stands for; empty for those of --augment."""
STATUS = "learning_status"
"""The name of the group that keeps what FlexMatch has counted."""


def pseudo_label(
    weight: float = 1.0,
    threshold: float = 0.8,
    start: float = 0.1,
    end: float = 0.6,
    hidden: int = 0,
    last_groups: int = 0,
) -> "PseudoLabel":
    """A method that takes the class that the network itself finds most probable as a row's label.

    CE(y, p(x)) + a(t) mean_u 1[max p(u) >= threshold] CE(argmax p(u), p(u)), where a(t) is 0 before T1, rises
    linearly to `weight` at T2 and stays: Lee 2013, "Pseudo-Label", ICML workshop, eq. 15 and 16. Departs: T1 and
    T2 are shares of the steps, and a row counts only above a threshold, which the paper does not have.

    Args:
        weight: the last value of a(t), at least 0; 3 in the paper.
        threshold: the least probability of an answer that counts, from 0 to below 1.
        start: T1, a share of the steps.
        end: T2, a share of the steps, above `start`.
        hidden: units of a hidden layer, where the head has none; 0 adds none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.

    Raises:
        FlagError: a number out of its range.
    """
    if not 0 <= start < end <= 1:
        what = f"0 <= start < end <= 1 must hold (received start={start}, end={end})"
        raise FlagError(what, flag="method", fix="--method='pseudo_label(start=.1, end=.6)'")
    method = PseudoLabel("pseudo_label", weight, threshold, ("",), hidden, last_groups)
    method.start, method.end = start, end
    return method


def fixmatch(
    weight: float = 1.0,
    threshold: float = 0.95,
    weak: str = "auto",
    strong: str = "auto",
    views: int = 4,
    hidden: int = 0,
    last_groups: int = 0,
) -> "FixMatch":
    """A method that teaches a strongly augmented view of a row the answer for a weakly augmented one.

    CE(y, p(x)) + w mean_u 1[max q >= t] CE(argmax q, p(strong(u))), q = p(weak(u)) without a gradient: Sohn et al.
    2020, arXiv:2001.07685, eq. 3 and 4. Departs: mu = 1, with as many rows without labels as training rows
    in a batch, which few training rows fill by being repeated; training rows are augmented as --augment
    says; strong views have no Cutout, and of texts lose tokens, while weak ones are as --augment says;
    the rate follows --schedule and no moving average of weights is kept, unless flags say so; above a frozen network
    `views` views of each kind are cached, and used in turn.

    Args:
        weight: w, at least 0.
        threshold: t, from 0 to below 1.
        weak: augmentations joined with `|`; `auto` for the usual ones, empty for those of --augment.
        strong: the same for strong views; not empty.
        views: cached views of each row and kind, at least 1.
        hidden: units of a hidden layer, where the head has none; 0 adds none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.

    Raises:
        FlagError: a number out of its range, or no strong view.
    """
    _require_views(strong, views, "fixmatch")
    return FixMatch("fixmatch", weight, threshold, (weak, strong), hidden, last_groups, views)


def flexmatch(
    weight: float = 1.0,
    threshold: float = 0.95,
    momentum: float = 0.98,
    weak: str = "auto",
    strong: str = "auto",
    views: int = 4,
    hidden: int = 0,
    last_groups: int = 0,
) -> "FlexMatch":
    """A method that is fixmatch with a threshold for each class, which is low while the class is hardly learnt.

    T(c) = M(b(c)) t with M(x) = x / (2 - x) and b(c) = s(c) / max(max_c s(c), 1 - sum_c s(c)), where s(c) is the share
    of rows without labels whose answer is c with a probability above t: Zhang et al. 2021, arXiv:2110.08263, eq. 5
    to 12. Departs: as fixmatch; and s is a moving average over batches, where the paper keeps the last sure
    answer for each row. It starts at 0, as the paper's does, so that all answers count at first.

    Args:
        weight: see `fixmatch`.
        threshold: t, from 0 to below 1.
        momentum: of the moving average, from 0 to below 1.
        weak: see `fixmatch`.
        strong: see `fixmatch`.
        views: see `fixmatch`.
        hidden: see `fixmatch`.
        last_groups: see `fixmatch`.

    Raises:
        FlagError: a number out of its range, or no strong view.
    """
    _require_views(strong, views, "flexmatch")
    if not 0 <= momentum < 1:
        what = f"momentum must be in [0, 1) (received {momentum})"
        raise FlagError(what, flag="method", fix="--method='flexmatch(momentum=.98)'")
    method = FlexMatch("flexmatch", weight, threshold, (weak, strong), hidden, last_groups, views)
    method.momentum = momentum
    return method


class Consistency(OtherRowsMethod):
    """A method with a penalty of what the network answers for views of rows without labels.

    Subclasses override `alignment`.

    Args:
        name: of the method and its phase.
        weight: of the penalty, at least 0.
        threshold: the least probability of an answer that counts.
        streams: the augmentations of each view in a batch.
        hidden: see OtherRowsMethod.
        last_groups: see OtherRowsMethod.
        views: cached views of each row and stream.

    Raises:
        FlagError: a number out of its range.
    """

    def __init__(
        self,
        name: str,
        weight: float,
        threshold: float,
        streams: tuple[str, ...],
        hidden: int,
        last_groups: int,
        views: int = 1,
    ) -> None:
        if not (math.isfinite(threshold) and 0 <= threshold < 1):
            what = f"threshold must be at least 0 and below 1 (received {threshold})"
            raise FlagError(what, flag="method", fix=f"--method='{name}(threshold=.95)'")
        super().__init__(name, weight, hidden, last_groups)
        self.threshold, self.streams, self.views = threshold, streams, views
        self._modality = "image"

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core with the penalty behind its logits."""
        self._modality = core.backbone.modality
        return super().prepare(core, context)

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The logits; no more groups."""
        return [core.model.output[core.head.name]], ()

    def penalty(self, *arrays: tf.Tensor) -> tf.Tensor:
        """float[]: the weight times `alignment` of the rows without labels."""
        kinds = [unlabelled_rows.split_kinds(array, 1 + len(self.streams))[1:] for array in arrays]
        return self.weight * self.alignment(*kinds)

    def order(self, phase: Phase, rows: RowsToOrder) -> GivenOrder | None:
        """Training rows repeated, each about equally often, to as many as there are rows without labels."""
        num, count = len(rows.labels), rows.num_unlabelled
        if num >= count:
            return None

        def rows_of(epoch: int) -> np.ndarray:
            state = np.random.default_rng([rows.seed, epoch])
            passes = [state.permutation(num) for _ in range(-(-count // num))]
            return np.concatenate(passes)[:count].astype(np.int64)

        return GivenOrder(rows_of, count)

    def batches(
        self, training: MakeBatches, phase: Phase, unlabelled: MakeInputs | None
    ) -> MakeBatches:
        """Batches of training rows and of each view of as many rows without labels, in turn."""
        if unlabelled is None:
            raise ValueError(f"{self.name} has no rows without labels")
        usual = (WEAK[self._modality], STRONG[self._modality])
        streams = [
            usual[number] if stream == "auto" else stream
            for number, stream in enumerate(self.streams)
        ]

        def make(
            first_epoch: int, num_epochs: int, *, skip: int = 0, **also: object
        ) -> tf.data.Dataset:
            others = [
                unlabelled(first_epoch, num_epochs, skip, augment=stream, views=self.views)
                for stream in streams
            ]
            return unlabelled_rows.beside(
                training(first_epoch, num_epochs, skip=skip, **also), *others
            )

        return make


class PseudoLabel(Consistency):
    """The method that `pseudo_label` makes."""

    start, end = 0.1, 0.6

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: a(t) / weight times the loss of the rows whose own answer is sure."""
        ((logits,),) = pairs
        share = self._progress() if self._progress else tf.constant(1.0)
        rise = tf.clip_by_value((share - self.start) / (self.end - self.start), 0.0, 1.0)
        return rise * sure_loss(logits, logits, self.threshold)


class FixMatch(Consistency):
    """The method that `fixmatch` makes."""

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the loss of strong views whose weak view has a sure answer."""
        ((weak, strong),) = pairs
        return sure_loss(weak, strong, self.threshold)


class FlexMatch(Consistency):
    """The method that `flexmatch` makes."""

    momentum = 0.98

    def _phase(self, core: Core) -> Phase:
        groups = tuple(group for group in core.groups if group.name != STATUS)
        return super()._phase(dataclasses.replace(core, groups=groups))

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The logits and the thresholds of the classes; the group that keeps the learning status."""
        logits = core.model.output[core.head.name]
        layer = LearningStatus(self.threshold, self.momentum, 1 + len(self.streams), name=STATUS)
        return [logits, layer(logits)], (Group(STATUS, (layer,)),)

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the loss of strong views whose weak view has an answer above its class's threshold."""
        (weak, strong), (thresholds, _) = pairs
        own = tf.gather(thresholds, tf.argmax(weak, axis=1), batch_dims=1)
        return sure_loss(weak, strong, own)


class LearningStatus(keras.layers.Layer):
    """A layer that gives each class's threshold, and counts in training how well the class is learnt.

    Its only weight, `shares` float32[C], is the moving average of the share of rows without labels with a sure
    answer of each class. Training moves it without a gradient, so a checkpoint has it.

    Args:
        threshold: t, the probability of a sure answer.
        momentum: of the moving average.
        num_kinds: kinds of rows in a batch of `beside`; the second is the weak view.
    """

    follows_batches = True

    def __init__(self, threshold: float, momentum: float, num_kinds: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.threshold, self.momentum, self.num_kinds = threshold, momentum, num_kinds

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Makes the weight, for logits of the shape (B, C)."""
        self.shares = self.add_weight(
            shape=(shape[-1],),
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
            name="shares",
        )

    def call(self, logits: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """float32[B, C]: the thresholds, the same for all rows; with training the shares move on."""
        found = thresholds(tf.convert_to_tensor(self.shares), self.threshold)
        rows = tf.zeros_like(logits) + found
        if training:
            weak = unlabelled_rows.split_kinds(logits, self.num_kinds)[1]
            probabilities = tf.nn.softmax(weak)
            is_sure = tf.reduce_max(probabilities, axis=1) > self.threshold
            answers = tf.one_hot(tf.argmax(probabilities, axis=1), weak.shape[1])
            now = tf.reduce_mean(answers * tf.cast(is_sure, tf.float32)[:, None], axis=0)
            context = tf.distribute.get_replica_context()
            if context and context.num_replicas_in_sync > 1:
                now = context.all_reduce(tf.distribute.ReduceOp.MEAN, now)
            self.shares.assign(self.momentum * self.shares + (1 - self.momentum) * now)
        return tf.stop_gradient(rows)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the logits."""
        return shape


def sure_loss(answering: tf.Tensor, learning: tf.Tensor, threshold: float | tf.Tensor) -> tf.Tensor:
    """float[]: the mean over B rows of the cross-entropy to hard answers, 0 for rows below the threshold.

    Args:
        answering: float32[B, C], logits whose largest is the answer; it gets no gradient.
        learning: float32[B, C], logits that learn the answer.
        threshold: the least probability of an answer that counts, or float32[B].
    """
    probabilities = tf.stop_gradient(tf.nn.softmax(answering))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.argmax(probabilities, axis=1), logits=learning
    )
    is_sure = tf.reduce_max(probabilities, axis=1) >= threshold
    return tf.reduce_mean(tf.where(is_sure, losses, 0.0))


def thresholds(shares: tf.Tensor, threshold: float) -> tf.Tensor:
    """float32[C]: FlexMatch's threshold of each class from float32[C] shares of sure answers."""
    unused = 1.0 - tf.reduce_sum(shares)
    status = shares / tf.maximum(tf.maximum(tf.reduce_max(shares), unused), 1e-6)
    return threshold * status / (2.0 - status)


def _require_views(strong: str, views: int, name: str) -> None:
    """Raises FlagError where there is no strong view."""
    if not strong or views < 1:
        what = (
            f"strong must name augmentations and views be at least 1 (received {strong!r}, {views})"
        )
        raise FlagError(what, flag="method", fix=f"--method='{name}(strong=auto, views=4)'")
