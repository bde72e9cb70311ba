"""Training on labelled rows and on rows without labels, with a penalty of what the network makes of both.

Each batch has as many rows without labels as labelled ones; for domain adaptation these are the target and the
source. The penalty is computed from what the head
is computed from: a hidden layer, so that there is something to align where the backbone is frozen and its
outputs are cached.
"""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from tltf.data import unlabelled as unlabelled_rows
from tltf.errors import FlagError
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core, attach_head
from tltf.graphs.freezing import Rule
from tltf.heads.classify import Classify
from tltf.methods.context import FitContext
from tltf.methods.method import MakeBatches, MakeInputs, Phase, groups_of, rule_of
from tltf.methods.penalty import PenaltyMethod, head_features
from tltf.methods.rules import HEAD

DOMAIN = "domain"
"""The name of the group of layers that tell the domains apart, which are trained for the penalty only."""
SHARPNESS = 10.0
"""How fast the weight of a penalty rises."""


class OtherRowsMethod(PenaltyMethod):
    """A method with a penalty of the features and the logits of both kinds of rows.

    Subclasses override `alignment`, and `penalty_inputs` where they need more tensors.

    Args:
        name: of the method and its phase.
        weight: of the penalty, at least 0.
        hidden: units of the hidden layer, where the head has none; 0 adds none.
        last_groups: groups of the backbone that are trained too, at a tenth of the rate.

    Raises:
        FlagError: a number out of its range.
    """

    needs_training_batches = True

    def __init__(self, name: str, weight: float, hidden: int, last_groups: int) -> None:
        if not (0 <= weight < math.inf and hidden >= 0 and last_groups >= 0):
            what = (
                "weight, hidden and last_groups must be at least 0 "
                f"(received {weight}, {hidden}, {last_groups})"
            )
            raise FlagError(what, flag="method", fix=f"--method={name}")
        super().__init__(lambda core: [self._phase(core)])
        self.name, self.weight, self.hidden, self.last_groups = name, weight, hidden, last_groups
        self._progress: Callable[[], tf.Tensor] | None = None

    def _phase(self, core: Core) -> Phase:
        names = [name for name in groups_of(core) if name != DOMAIN]
        if self.last_groups > len(names):
            what = f"last_groups={self.last_groups}, but the backbone has {len(names)} groups"
            fix = f"--method='{self.name}(last_groups={len(names)})'"
            raise FlagError(what, flag="method", fix=fix)
        trained = names[len(names) - self.last_groups :]
        more: list[Rule] = [rule_of(DOMAIN)] if DOMAIN in groups_of(core) else []
        rules = (HEAD, *more, *(rule_of(name, 0.1) for name in trained))
        return Phase(self.name, rules, norm="frozen")

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core, with a hidden layer in its head, and the penalty behind its logits."""
        if type(core.head) is not Classify:
            what = f"{self.name} takes a head of classes, not {core.head_spec}"
            raise FlagError(what, flag="method", fix="--head=classify")
        if self.hidden and not core.head.hidden:
            call = core.only.call.change(hidden=(self.hidden,), activation="relu")
            core = attach_head(core.backbone, call, core.num_classes)
        return super().prepare(core, context)

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """What the logits are computed from, and the logits; no more groups."""
        return [head_features(core), core.model.output[core.head.name]], ()

    def penalty(self, *arrays: tf.Tensor) -> tf.Tensor:
        """float[]: the weight times `alignment`."""
        pairs = [unlabelled_rows.split_kinds(array, 2) for array in arrays]
        return self.weight * self.alignment(*pairs)

    def alignment(self, *pairs: list[tf.Tensor]) -> tf.Tensor:
        """float[]: the penalty of a batch.

        Args:
            pairs: `[float32[B, d] of the source, float32[B, d] of the target]` for each of the tensors
                of `penalty_inputs`.
        """
        raise NotImplementedError

    def batches(
        self, training: MakeBatches, phase: Phase, unlabelled: MakeInputs | None
    ) -> MakeBatches:
        """Batches of as many rows of the target as of the source, in turn."""
        if unlabelled is None:
            raise ValueError(f"{self.name} has no rows of a target")

        def make(
            first_epoch: int, num_epochs: int, *, skip: int = 0, **also: object
        ) -> tf.data.Dataset:
            source = training(first_epoch, num_epochs, skip=skip, **also)
            target = unlabelled(first_epoch, num_epochs, skip)
            return unlabelled_rows.beside(source, target)

        return make

    def begin(self, core: Core, phase: Phase, model: keras.Model, num_steps: int) -> None:
        """Lets the penalty know how far the phase has come."""
        self._progress = lambda: tf.cast(model.optimizer.iterations, tf.float32) / num_steps

    def rising(self) -> tf.Tensor:
        """float[]: 2 / (1 + exp(-10 p)) - 1, p the share of the steps that are done: Ganin 2016, section 5.2.2."""
        share = self._progress() if self._progress else tf.constant(1.0)
        return 2.0 / (1.0 + tf.exp(-SHARPNESS * share)) - 1.0
