"""Weights of the losses of several tasks that are trained beside the network: by uncertainty, by gradients.

Each task has a layer that holds its number in the graph, so that it is trained, saved and kept with the
weights of its head.
"""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf
from keras import ops

UNCERTAINTY_RATE = 0.01
"""The peak learning rate of the log variances of tasks."""
GRADNORM_RATE = 0.025
"""The peak learning rate of the logarithms of weights by gradient norm."""
TINY = 1e-12
"""The smallest mean that a number is divided by."""
UNCERTAIN, WEIGHED = "_uncertainty", "_weight"
"""The ends of the names of layers that hold the log variance, and the log weight, of a task."""


class TaskNumber(keras.layers.Layer):
    """Holds a number of a task and passes its logits on unchanged; subclasses say which number.

    Args:
        start: the number at the start of training.
    """

    rate = UNCERTAINTY_RATE
    """The peak learning rate of the number, whatever that of the network is."""
    number_name = "number"
    """The name of the variable."""

    def __init__(self, start: float = 0.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the number, float32[]."""
        start = keras.initializers.Constant(self.start)
        self.number = self.add_weight(name=self.number_name, shape=(), initializer=start)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The inputs."""
        return inputs


class Uncertainty(TaskNumber):
    """Holds s = log sigma^2 of a task, 0 at the start."""

    number_name = "log_variance"


class LogWeight(TaskNumber):
    """Holds v of a task, from which its weight by gradient norm is made, see `GradNormModel`."""

    rate = GRADNORM_RATE
    number_name = "log_weight"


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
        spread = ops.cast(self._layer.number, own.dtype)
        return self._factor * ops.exp(-spread) * own + spread / 2


class BalancedLoss(keras.losses.Loss):
    """w L of a batch, for a loss L and a weight by gradient norm, which gets no gradient from here.

    Args:
        loss: L.
        layer: holds the number of this task.
        layers: those of all tasks.
    """

    def __init__(
        self, loss: keras.losses.Loss, layer: LogWeight, layers: Sequence[LogWeight]
    ) -> None:
        super().__init__(name=loss.name, reduction="sum_over_batch_size")
        self.loss, self._place, self._layers = loss, list(layers).index(layer), list(layers)

    def __call__(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        """float32[]: the weighed loss of a batch."""
        own = self.loss(y_true, y_pred, sample_weight)
        weight = weights_of([layer.number for layer in self._layers])[self._place]
        return ops.cast(ops.stop_gradient(weight), own.dtype) * own


def weights_of(numbers: Sequence[tf.Tensor]) -> tf.Tensor:
    """float32[T]: w_i = T exp(v_i) / sum_j exp(v_j) of the numbers v of T tasks; their sum is T."""
    values = ops.stack([ops.cast(number, "float32") for number in numbers])
    return len(numbers) * ops.softmax(values)


def gradients_of_numbers(
    norms: tf.Tensor,
    losses: tf.Tensor,
    firsts: tf.Tensor,
    numbers: Sequence[tf.Tensor],
    alpha: float,
) -> tf.Tensor:
    """float32[T]: the gradient of L_grad by the numbers v of the tasks, see `GradNormModel`.

    Args:
        norms: float32[T], the norms g_i of the gradients of the losses without their weights.
        losses: float32[T], L_i of the batch.
        firsts: float32[T], L_i(0).
        numbers: T times float32[].
        alpha: how strongly tasks that learn slowly are favoured.
    """
    weights = weights_of(numbers)
    weighed, left = weights * norms, losses / firsts
    is_there = ops.cast(losses > 0, "float32")
    count = ops.maximum(ops.sum(is_there), 1.0)
    mean_left = ops.maximum(ops.sum(is_there * left) / count, TINY)
    aims = ops.sum(is_there * weighed) / count * (left / mean_left) ** alpha
    by_weight = is_there * norms * ops.sign(weighed - aims)
    return weights * (by_weight - ops.mean(weights * by_weight))


class GradNormModel(keras.Model):
    """A model whose losses of tasks are weighed by gradient norm: Chen et al. 2018, arXiv:1711.02257.

    With W the weights of the last layer that all tasks share, G_i = |grad_W w_i L_i| and
    r_i = (L_i / L_i(0)) / mean_j (L_j / L_j(0)), each step on the loss sum_i w_i L_i is also a step of the
    weights on L_grad = sum_i |G_i - mean_j(G_j) r_i^alpha|, in which the second term is a constant (eqs. 1
    and 2, algorithm 1). The weights keep the sum T, the number of tasks.

    Departs: w_i = T exp(v_i) / sum_j exp(v_j), and v_i is what is trained, so that weights stay positive
    without being normalised after each step; w_i begins in proportion to 1 / L_i(0) and not at 1; L_i(0)
    is the loss of the best constant answer on the training rows and not that of the first batch; a task
    without labelled rows in a batch takes no part in the means of that batch. The numbers v_i are trained
    by the same optimizer as the network, at a peak rate of GRADNORM_RATE.

    Attributes:
        shared: W; () where no shared weight is trained, and then the weights of the losses stay.
        firsts: task -> L_i(0).
        alpha: the power above.
    """

    shared: tuple[keras.Variable, ...] = ()
    firsts: Mapping[str, float] = {}
    alpha = 1.5

    def train_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """The metrics of a batch, after one step on it."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_weights
        with tf.GradientTape(persistent=True) as tape:
            outputs = self(x, training=True)
            loss = self._compute_loss(x, y, outputs, weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
            own = {
                task: self.loss[task].loss(y[task], outputs[task], weight and weight[task])
                for task in self.firsts
            }
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        if self.shared:
            by_number = self._by_number(tape, own)
            gradients = [
                by_number.get(id(variable), gradient)
                for variable, gradient in zip(variables, gradients, strict=True)
            ]
        del tape
        # Nothing is changed before all of it is computed: else the weights of a step may be those after it.
        *gradients, loss = tf.tuple([*gradients, loss])
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        shown = loss * tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(shown, sample_weight=tf.shape(next(iter(x.values())))[0])
        return self.compute_metrics(x, y, outputs, sample_weight=weight)

    def _by_number(self, tape: tf.GradientTape, own: dict[str, tf.Tensor]) -> dict[int, tf.Tensor]:
        """id of the number of a task -> its gradient of L_grad."""
        layers = {
            layer.name.removesuffix(WEIGHED): layer
            for layer in self._flatten_layers()
            if isinstance(layer, LogWeight)
        }
        numbers = [layers[task].number for task in own]
        shared = [variable.value for variable in self.shared]
        norms = [_norm(tape.gradient(loss, shared)) for loss in own.values()]
        found = gradients_of_numbers(
            ops.stack(norms),
            ops.stack(list(own.values())),
            ops.convert_to_tensor([self.firsts[task] for task in own], "float32"),
            numbers,
            self.alpha,
        )
        return {id(number): found[place] for place, number in enumerate(numbers)}


def _norm(gradients: Sequence[tf.Tensor | tf.IndexedSlices | None]) -> tf.Tensor:
    """float32[]: the norm of the gradients of all shared variables together."""
    known = [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]
    return tf.linalg.global_norm([tf.cast(gradient, tf.float32) for gradient in known])


def rates_of_numbers(layers: Sequence[keras.Layer], learning_rate: float) -> dict[int, float]:
    """id of the number of a task -> the factor on the learning rate by which it has its own peak rate."""
    found = [layer for layer in layers if isinstance(layer, TaskNumber)]
    return {id(layer.number): layer.rate / learning_rate for layer in found}
