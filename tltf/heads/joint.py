"""Several heads on one network as one head: what training needs of all of them together.

Everything else, such as reports and predictions, takes the heads one by one, see `Core.of_task`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from tltf.config.task_heads import FIXED, GRADNORM, UNCERTAINTY, Weighing
from tltf.data import label_kinds
from tltf.data.label_kinds.several import IS_KNOWN, VALUES
from tltf.errors import FlagError
from tltf.heads.head import Head
from tltf.heads.pooling import SharedTaps
from tltf.heads.task_weights import (
    UNCERTAIN,
    WEIGHED,
    BalancedLoss,
    GradNormModel,
    LogWeight,
    UncertainLoss,
    Uncertainty,
)


def joint(heads: Mapping[str, Head], weighing: Weighing) -> "Joint":
    """The joint head of several tasks, before it stands on a network.

    Args:
        heads: task -> its head.
        weighing: how their losses are weighed.
    """
    return Joint(heads=dict(heads), weighing=weighing)


@dataclasses.dataclass(frozen=True)
class Joint(Head):
    """Several heads that are trained together; the loss is L = sum_i w_i L_i over the tasks i.

    L_i is the mean loss of the rows that have a label of task i, in the unit of its head. w_i is
    given, by default 1 / the loss of the best constant answer; or it is trained, by gradient norm, see
    `GradNormModel`, or by uncertainty: Kendall et al. 2018, arXiv:1705.07115, eqs. 5 to 10, with s_i = log sigma_i^2, w_i = exp(-s_i) for classes and exp(-s_i) / 2 for numbers, to which s_i / 2 is
    added. Departs: the loss of numbers is the pinball loss of their quantiles and not the squared
    error; epochs are chosen by the mean quality and not by the loss, whose terms s_i have no bound;
    s_i is trained at a peak rate of UNCERTAINTY_RATE, whatever that of the network, with which it
    could not move in a few hundred steps.

    Logits are those of all tasks side by side, float[N, K], in the order of the heads. Labels are an
    array with a field per task, see `label_kinds.SeveralTasks`.

    Args:
        heads: task -> its head.
        weighing: how their losses are weighed.
        widths: the number of logits of each task, in the order of the heads; () before they stand on
            a network.
    """

    heads: Mapping[str, Head] = dataclasses.field(default_factory=dict)
    weighing: Weighing = dataclasses.field(default_factory=Weighing)
    widths: tuple[int, ...] = ()

    name = "tasks"
    target = label_kinds.TASKS
    metric = "mean_quality"

    @property
    def model_class(self) -> type[keras.Model] | None:
        """That of weights by gradient norm, which are trained by a loss of their own."""
        return GradNormModel if self.weighing.name == GRADNORM else None

    def begin(self, model: keras.Model, shared: Sequence[keras.Variable]) -> None:
        """Tells a model of `model_class` what its weights are made from, before it is trained.

        Args:
            model: of the phase that begins.
            shared: the trained weights of the last layer that all heads stand on; () for none.
        """
        if not isinstance(model, GradNormModel):
            return
        model.shared, model.alpha = tuple(shared), self.weighing.alpha
        model.firsts = {task: 1.0 / self.weight(task) for task in self.heads}

    def weight(self, task: str) -> float:
        """The weight of the loss of a task that is given; 1 where it is not."""
        return self.weighing.weights.get(task, 1.0)

    def parts(self, logits: np.ndarray) -> dict[str, np.ndarray]:
        """Task -> its own logits, of those of all tasks side by side."""
        ends = np.cumsum(self.widths)[:-1]
        return dict(zip(self.heads, np.split(logits, ends, axis=1), strict=True))

    def describe(self, class_names: Sequence[str]) -> str:
        """What the heads predict, in words."""
        return f"{len(self.heads)} tasks ({', '.join(self.heads)})"

    def loss(
        self, name: str = "cross_entropy", label_smoothing: float = 0.0, focal_gamma: float = 2.0
    ) -> keras.losses.Loss:
        """Raises FlagError for a loss that a head does not have; there is one loss per output.

        Returns:
            The loss of the first head.
        """
        return next(iter(self._own_losses(name, label_smoothing, focal_gamma).values()))

    def _own_losses(self, *arguments: object) -> dict[str, keras.losses.Loss]:
        found = {}
        for task, head in self.heads.items():
            try:
                found[task] = head.loss(*arguments)  # type: ignore[arg-type]
            except FlagError as error:
                raise FlagError(f"{task}: {error.what}", flag=error.flag, fix=error.fix) from error
        return found

    def losses_by_output(
        self, name: str, label_smoothing: float, focal_gamma: float, layers: Sequence[keras.Layer]
    ) -> dict[str, keras.losses.Loss]:
        """Task -> its loss, which has the weight that is trained, if it is."""
        losses = self._own_losses(name, label_smoothing, focal_gamma)
        named = {layer.name: layer for layer in layers}
        if self.weighing.name == UNCERTAINTY:
            return {
                task: UncertainLoss(loss, named[task + UNCERTAIN], _factor(self.heads[task]))
                for task, loss in losses.items()
            }
        if self.weighing.name == GRADNORM:
            numbers = [named[task + WEIGHED] for task in losses]
            return {
                task: BalancedLoss(loss, named[task + WEIGHED], numbers)
                for task, loss in losses.items()
            }
        return losses

    def metrics_by_output(self) -> dict[str, list[keras.metrics.Metric]]:
        """Task -> the weighted metrics of its head."""
        return {task: head.metrics() for task, head in self.heads.items()}

    def loss_weights(self, factor: float) -> dict[str, float] | None:
        """Task -> the weight of its loss; None where all are 1."""
        if factor == 1.0 and self.weighing.name != FIXED:
            return None
        is_fixed = self.weighing.name == FIXED
        return {task: factor * (self.weight(task) if is_fixed else 1.0) for task in self.heads}

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float[N]: the weighed losses of the tasks of each row, whose mean is L with given weights.

        A row without a label of a task has no loss of it, and the others N / (rows with one) times
        theirs, as in training. Weights that are trained count as 1.
        """
        total = np.zeros(len(logits))
        for task, part in self.parts(logits).items():
            own = labels[task]
            rows = np.flatnonzero(own[IS_KNOWN])
            if len(rows):
                found = self.heads[task].losses(part[rows], own[VALUES][rows])
                total[rows] += self.weight(task) * len(logits) / len(rows) * found
        return total

    def qualities(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Task -> its metric on the rows with a label of it, 1 at best; without such rows it is absent.

        An error counts as 1 - error / unit, where the unit of a number is the deviation of the
        training rows, so that 0 is about what a constant answer reaches.
        """
        found = {}
        for task, part in self.parts(logits).items():
            head, own = self.heads[task], labels[task]
            rows = np.flatnonzero(own[IS_KNOWN])
            if not len(rows):
                continue
            value = head.metric_value(part[rows], own[VALUES][rows])
            unit = head.unit if isinstance(head.unit, float) else 1.0
            found[task] = 1.0 - value / unit if head.lower_is_better else value
        return found

    def metric_value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The mean of `qualities`; NaN where no row has a label."""
        found = list(self.qualities(logits, labels).values())
        return float(np.mean(found)) if found else math.nan


def _factor(head: Head) -> float:
    """What exp(-s) is multiplied with in the loss of a head: 1/2 for numbers, 1 for classes."""
    is_number = head.target in (label_kinds.NUMBER, label_kinds.NUMBERS)
    return 0.5 if is_number else 1.0


def _number_of(joint_head: Joint, task: str) -> keras.Layer | None:
    """The layer that holds the number of a task from which its weight is made; None where it is given."""
    name = joint_head.weighing.name
    if name == UNCERTAINTY:
        return Uncertainty(dtype="float32", name=task + UNCERTAIN)
    if name == GRADNORM:
        start = math.log(joint_head.weight(task))
        return LogWeight(start, dtype="float32", name=task + WEIGHED)
    return None


def attach_joint(
    joint_head: Joint,
    taps: dict[str, keras.KerasTensor],
    modality: str,
    num_classes: Mapping[str, int],
) -> tuple[Joint, dict[str, keras.KerasTensor], list[keras.Layer]]:
    """`(joint head, outputs, layers)` of several heads on the taps of one network.

    Args:
        joint_head: without widths.
        taps: as `Head.attach` takes them.
        modality: `image` or `text`.
        num_classes: task -> number of classes or labels; 0 for a number.

    Returns:
        The joint head with its widths, task -> float32[B, K] logits, and the new layers.
    """
    taps = SharedTaps(taps)
    outputs, every = dict[str, keras.KerasTensor](), list[keras.Layer]()
    for task, head in joint_head.heads.items():
        logits, layers = head.attach_as(task, taps, modality, num_classes[task])
        layer = _number_of(joint_head, task)
        if layer:
            logits, layers = layer(logits), [*layers, layer]
        outputs[task] = logits
        every += layers
    widths = tuple(tensor.shape[-1] for tensor in outputs.values())
    return dataclasses.replace(joint_head, widths=widths), outputs, every
