"""Elastic weight consolidation: weights that mattered for the rows of earlier runs are held."""

from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.config import call_strings
from tltf.console import lines
from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.core import Core
from tltf.methods.context import FitContext
from tltf.methods.method import (
    MakeBatches,
    MakeInputs,
    Method,
    Phase,
    TrainingOutcome,
    groups_of,
    rule_of,
)
from tltf.methods.rules import HEAD
from tltf.runs import carried
from tltf.runs.carried import Carried

NAME = "ewc"
FISHER, CENTER = "fisher/", "center/"
"""The beginnings of the names of what is carried, before the name of a weight."""


def ewc(
    strength: float = 1000.0, last_groups: int = 0, fisher_rows: int = 1000
) -> "ElasticConsolidation":
    """A method that goes on from a run; the loss holds each weight as much as it mattered there.

    L + lambda / 2 sum_t sum_i F_ti (w_i - w_ti)^2, w_t the weights after an earlier run t and F_t
    the diagonal of its empirical Fisher information, the mean of (d log p(y | x) / dw)^2 over its
    training rows with their labels y: Kirkpatrick et al. 2017, arXiv:1612.00796, eq. 3. The sum over
    the runs is kept as one F and one center, which differs by a constant. Departs: the labels are those
    of the data, where the Fisher information proper draws them from the model; a new class has no F, so
    its weights are free.

    Without --backbone=RUN of this method nothing is held, and the run is the first of a sequence.

    Args:
        strength: lambda, at least 0. F is a mean over rows, so this is in the order of their number.
        last_groups: number of the backbone's last groups that are trained beside the head.
        fisher_rows: training rows that F is computed on, at most.

    Raises:
        FlagError: a number out of its range; when the phases are made, more groups than there are.
    """
    if not (strength >= 0 and last_groups >= 0 and fisher_rows >= 1):
        what = "strength and last_groups must be at least 0, and fisher_rows at least 1"
        raise FlagError(
            f"{what} (received {strength}, {last_groups}, {fisher_rows})", flag="method"
        )
    return ElasticConsolidation(strength, last_groups, fisher_rows)


class ElasticConsolidation(Method):
    """The method that `ewc` makes."""

    def __init__(self, strength: float, last_groups: int, fisher_rows: int) -> None:
        super().__init__(self._phases)
        self.strength, self.last_groups, self.fisher_rows = strength, last_groups, fisher_rows
        self.class_names: tuple[str, ...] = ()
        self.before: dict[str, np.ndarray] = {}
        self._batches: MakeBatches | None = None
        self._model: keras.Model | None = None

    def _phases(self, core: Core) -> list[Phase]:
        names = groups_of(core)
        if self.last_groups > len(names):
            what = f"last_groups={self.last_groups}, but the backbone has {len(names)} groups"
            raise FlagError(what, flag="method", fix=f"--method='ewc(last_groups={len(names)})'")
        rules = [HEAD, *map(rule_of, names[len(names) - self.last_groups :])]
        norm = "" if self.last_groups else "frozen"
        return [Phase(NAME, tuple(rules), keep="last", norm=norm)]

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The same core; each variable that an earlier run had gets a penalty, see `ewc`."""
        self.class_names = context.class_names
        if context.carried is None:
            return core
        self.before = _of_classes(core, context.carried, context.class_names)
        for name, variable in core.named_weights().items():
            fisher = self.before.get(FISHER + name)
            if fisher is not None:
                center = self.before[CENTER + name]
                variable.regularizer = Elastic(self.strength, fisher, center)
        held = sum(name.startswith(FISHER) for name in self.before)
        lines.say(NAME, f"{held} weights are held near those of {core.backbone.name}")
        return core

    def batches(
        self, training: MakeBatches, phase: Phase, unlabelled: MakeInputs | None
    ) -> MakeBatches:
        """The same batches, on which the Fisher information is computed in the end."""
        self._batches = training
        return training

    def begin(self, core: Core, phase: Phase, model: keras.Model, num_steps: int) -> None:
        """Notes the model that takes these batches."""
        self._model = model

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core without the penalties; what the next run needs is carried."""
        self.release(core)
        if self._batches is None or self._model is None:
            raise ValueError("no phase was trained")
        names = core.named_weights()
        moved = {name: names[name] for name in outcome.variables if names[name].trainable}
        rows = self._batches(0, 1).unbatch().batch(1).take(self.fisher_rows)
        log_likelihood = _row_loss(self._model, core)
        fisher = fisher_diagonal(log_likelihood, rows, list(moved.values()))
        arrays = dict[str, np.ndarray]()
        for (name, variable), own in zip(moved.items(), fisher, strict=True):
            before = self.before.get(FISHER + name), self.before.get(CENTER + name)
            arrays[FISHER + name], arrays[CENTER + name] = add(*before, own, variable.numpy())
        self.carried = Carried(NAME, self.class_names, arrays)
        return core

    def release(self, core: Core) -> None:
        """Removes the penalties."""
        for variable in core.named_weights().values():
            if isinstance(variable.regularizer, Elastic):
                variable.regularizer = None


class Elastic(keras.regularizers.Regularizer):
    """The penalty strength / 2 sum F (w - center)^2 of a variable w.

    Args:
        strength: lambda.
        fisher: float32, F, of the variable's shape.
        center: float32, of the same shape.
    """

    def __init__(self, strength: float, fisher: np.ndarray, center: np.ndarray) -> None:
        self.strength = strength
        self.fisher, self.center = ops.convert_to_tensor(fisher), ops.convert_to_tensor(center)

    def __call__(self, variable: keras.Variable) -> tf.Tensor:
        """float[]: the penalty."""
        return 0.5 * self.strength * ops.sum(self.fisher * ops.square(variable - self.center))


RowLoss = Callable[[Mapping[str, tf.Tensor], Mapping[str, tf.Tensor]], tf.Tensor]
"""(inputs, targets) of one row -> float[]: -log p(y | x)."""


def fisher_diagonal(
    loss: RowLoss, rows: tf.data.Dataset, variables: list[keras.Variable]
) -> list[np.ndarray]:
    """The diagonal of the empirical Fisher information: the mean of squared gradients of single rows.

    Args:
        loss: RowLoss.
        rows: dataset of (inputs, targets, weights) in batches of one.
        variables: float32 variables.

    Returns:
        For each variable an array of its shape; zeros where the loss does not depend on it.
    """
    values = [variable.value for variable in variables]

    @tf.function(reduce_retracing=True)
    def squares(inputs: Mapping[str, tf.Tensor], targets: Mapping[str, tf.Tensor]) -> list:
        with tf.GradientTape() as tape:
            value = loss(inputs, targets)
        gradients = tape.gradient(value, values, unconnected_gradients="zero")
        return [tf.square(tf.convert_to_tensor(gradient)) for gradient in gradients]

    total, count = [np.zeros(tuple(value.shape), np.float64) for value in values], 0
    for inputs, targets, _ in rows:
        for part, square in zip(total, squares(inputs, targets), strict=True):
            part += square.numpy()
        count += 1
    return [(part / max(1, count)).astype(np.float32) for part in total]


def add(
    fisher: np.ndarray | None, center: np.ndarray | None, own: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`(F, center)` of the penalties of all runs so far, as one.

    F (w - c)^2 + G (w - v)^2 = (F + G) (w - (F c + G v) / (F + G))^2 + a constant.

    Args:
        fisher: F of the runs before; None for none.
        center: c of the runs before.
        own: G, the Fisher information of this run.
        weights: v, the weights after it.
    """
    if fisher is None or center is None:
        return own, weights
    total = fisher + own
    mixed = (fisher * center + own * weights) / np.where(total > 0, total, 1.0)
    return total, np.where(total > 0, mixed, weights).astype(np.float32)


def _row_loss(model: keras.Model, core: Core) -> RowLoss:
    """The loss of the head, without penalties, in inference mode."""
    loss, name = core.head.loss(), core.head.name

    def of_row(inputs: Mapping[str, tf.Tensor], targets: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return loss(targets[name], model(inputs, training=False)[name])

    return of_row


def _of_classes(core: Core, before: Carried, class_names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What was carried, in the order of the present classes; those of a new class are zeros.

    Raises:
        FlagError: a weight has another shape now.
    """
    weights = core.named_weights()
    outputs = functional.named_weights(core.groups[-1].layers[-1:])
    found = dict[str, np.ndarray]()
    for key, array in before.arrays.items():
        name = key.partition("/")[2]
        if name in outputs and class_names:
            array = carried.by_class(array, before.class_names, class_names)
        if name not in weights or tuple(weights[name].shape) != array.shape:
            what = f"{core.backbone.name} has a weight {name} {array.shape} that this network lacks"
            fix = f"--head and {call_strings.render(NAME, {})} as in that run"
            raise FlagError(what, flag="method", fix=fix)
        found[key] = array
    return found
