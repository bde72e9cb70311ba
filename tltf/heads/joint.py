"""Several heads on one network as one head: what training needs of all of them together.

Everything else, such as reports and predictions, takes the heads one by one, see `Core.of_task`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.config.task_heads import FIXED, UNCERTAINTY, Weighing
from tltf.data import label_kinds
from tltf.data.label_kinds.several import IS_KNOWN, VALUES
from tltf.errors import FlagError
from tltf.heads.head import Head

UNCERTAINTY_RATE = 0.01
"""The peak learning rate of the log variances of tasks."""
UNCERTAIN = "_uncertainty"
"""The end of the names of layers that hold the log variance of a task."""


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
    given, by default 1 / the loss of the best constant answer; or it is trained: Kendall et al. 2018, arXiv:1705.07115, eqs. 5 to 10, with
    s_i = log sigma_i^2, w_i = exp(-s_i) for classes and exp(-s_i) / 2 for numbers, to which s_i / 2 is
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
        trained = {layer.name: layer for layer in layers if isinstance(layer, Uncertainty)}
        return {
            task: UncertainLoss(loss, trained[task + UNCERTAIN], _factor(self.heads[task]))
            if task + UNCERTAIN in trained
            else loss
            for task, loss in losses.items()
        }

    def metrics_by_output(self) -> dict[str, list[keras.metrics.Metric]]:
        """Task -> the weighted metrics of its head."""
        return {task: head.metrics() for task, head in self.heads.items()}

    def loss_weights(self, factor: float) -> dict[str, float] | None:
        """Task -> the weight of its loss; None where all are 1."""
        if factor == 1.0 and self.weighing.name != FIXED:
            return None
        return {task: factor * self.weight(task) for task in self.heads}

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


class Uncertainty(keras.layers.Layer):
    """Holds s = log sigma^2 of a task, 0 at the start, and passes its logits on unchanged.

    It stands in the graph so that s is trained, saved and kept with the weights of its head.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes s, float32[]."""
        self.log_variance = self.add_weight(name="log_variance", shape=(), initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The inputs."""
        return inputs


class UncertainLoss(keras.losses.Loss):
    """factor exp(-s) L + s / 2 of a batch, for a loss L and the s of a task.

    Args:
        loss: L.
        layer: holds s.
        factor: 1 for classes, 1/2 for numbers.
    """

    def __init__(self, loss: keras.losses.Loss, layer: Uncertainty, factor: float) -> None:
        super().__init__(name=loss.name, reduction="sum_over_batch_size")
        self._loss, self._layer, self._factor = loss, layer, factor

    def __call__(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        """float32[]: the weighed loss of a batch."""
        own = self._loss(y_true, y_pred, sample_weight)
        spread = ops.cast(self._layer.log_variance, own.dtype)
        return self._factor * ops.exp(-spread) * own + spread / 2


def rates_of_uncertainty(layers: Sequence[keras.Layer], learning_rate: float) -> dict[int, float]:
    """id of a log variance -> the factor on the learning rate by which it has UNCERTAINTY_RATE."""
    found = [layer for layer in layers if isinstance(layer, Uncertainty)]
    return {id(layer.log_variance): UNCERTAINTY_RATE / learning_rate for layer in found}


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
    outputs, every = dict[str, keras.KerasTensor](), list[keras.Layer]()
    for task, head in joint_head.heads.items():
        logits, layers = head.attach_as(task, taps, modality, num_classes[task])
        if joint_head.weighing.name == UNCERTAINTY:
            layer = Uncertainty(dtype="float32", name=task + UNCERTAIN)
            logits, layers = layer(logits), [*layers, layer]
        outputs[task] = logits
        every += layers
    widths = tuple(tensor.shape[-1] for tensor in outputs.values())
    return dataclasses.replace(joint_head, widths=widths), outputs, every
