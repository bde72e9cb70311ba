"""A model that trains on its own inputs and on the worst it can find near them."""

import contextlib
import types
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

IMAGE_RANGE = (0.0, 255.0)


class Perturbed(keras.layers.Layer):
    """Gives its input, and while a step asks for it that plus a perturbation.

    Never part of a frozen prefix: what is above it differs from pass to pass.

    Args:
        norm: `max`: no number changes by more than `epsilon`, images of 0 to 255 stay that; `l2`:
            an example's vectors together change by no more.
        epsilon: size of the perturbation, in the input's unit.
        num_steps: gradient steps to the worst perturbation.
        share: of the loss of the inputs as they are, 0 to 1.
    """

    is_always_above = True

    def __init__(
        self, norm: str, epsilon: float, num_steps: int, share: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.norm, self.epsilon, self.num_steps, self.share = norm, epsilon, num_steps, share
        self.state = types.SimpleNamespace(seen=None, delta=None)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The inputs, perturbed where a step has set a perturbation."""
        self.state.seen = inputs
        if self.state.delta is None:
            return inputs
        return inputs + tf.cast(self.state.delta, inputs.dtype)

    def moved(self, delta: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        """A perturbation after one step up the loss: 2.5 epsilon / steps, then put back.

        Madry et al. 2017, arXiv:1706.06083, section 2.1, with `max`; Miyato et al. 2016,
        arXiv:1605.07725, eq. 4, with `l2`. One step from 0 is Goodfellow's.
        """
        length = self.epsilon if self.num_steps == 1 else 2.5 * self.epsilon / self.num_steps
        if self.norm == "l2":
            delta = delta + length * gradient / tf.maximum(_norm(gradient), 1e-12)
            return delta * tf.minimum(1.0, self.epsilon / tf.maximum(_norm(delta), 1e-12))
        delta = tf.clip_by_value(delta + length * tf.sign(gradient), -self.epsilon, self.epsilon)
        seen = tf.cast(self.state.seen, delta.dtype)
        return tf.clip_by_value(seen + delta, *IMAGE_RANGE) - seen


class AdversarialModel(keras.Model):
    """A functional model with one `Perturbed` layer.

    share J(x) + (1 - share) J(x + delta): Goodfellow et al. 2014, arXiv:1412.6572, section 6. The
    moving statistics of batch norms are those of the inputs as they are, on which the network
    will run: Xie et al. 2019, arXiv:1911.09665, show how far those of perturbed ones differ.
    """

    def train_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """One step on the inputs and on their perturbation; metrics are those of the inputs."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        layer = next(sub for sub in self._flatten_layers() if isinstance(sub, Perturbed))
        variables = self.trainable_weights
        loss, outputs, (gradient, *clean) = self._pass((x, y, weight), layer, None, variables)
        delta = layer.moved(tf.zeros_like(gradient), gradient)
        for _ in range(layer.num_steps - 1):
            _, _, (gradient,) = self._pass((x, y, weight), layer, delta, [])
            delta = layer.moved(delta, gradient)
        _, _, (_, *worst) = self._pass((x, y, weight), layer, tf.stop_gradient(delta), variables)
        layer.state.delta = None
        mixed = [_mixed(*pair, layer.share) for pair in zip(clean, worst, strict=True)]
        self.optimizer.apply_gradients(zip(mixed, variables, strict=True))
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(next(iter(x.values())))[0])
        return self.compute_metrics(x, y, outputs, sample_weight=weight)

    def _pass(
        self,
        data: tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict[str, tf.Tensor] | None],
        layer: Perturbed,
        delta: tf.Tensor | None,
        variables: Sequence[keras.Variable],
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[tf.IndexedSlices | tf.Tensor]]:
        """`(loss, outputs, gradients of the perturbation and of the variables)`."""
        x, y, weight = data
        layer.state.delta = delta
        with tf.GradientTape() as tape:
            tape.watch([tensor for tensor in x.values() if tensor.dtype.is_floating])
            if delta is not None:
                tape.watch(delta)
            with contextlib.nullcontext() if delta is None else self._kept_statistics():
                outputs = self(x, training=True)
            loss = self._compute_loss(x, y, outputs, weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        source = layer.state.seen if delta is None else delta
        gradients = tape.gradient(scaled, [source, *[v.value for v in variables]])
        shown = loss * tf.distribute.get_strategy().num_replicas_in_sync
        return shown, outputs, [tf.cast(gradients[0], tf.float32), *gradients[1:]]

    @contextlib.contextmanager
    def _kept_statistics(self) -> Iterator[Any]:
        """Batch norms use the batch's statistics and leave their moving ones as they are."""
        norms = [
            layer
            for layer in self._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        momenta = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.momentum = 1.0
            yield
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum


def _norm(tensor: tf.Tensor) -> tf.Tensor:
    """float[B, 1, ...]: the length of each example's perturbation."""
    axes = list(range(1, len(tensor.shape)))
    return tf.sqrt(tf.reduce_sum(tf.square(tensor), axis=axes, keepdims=True))


def _mixed(
    first: tf.IndexedSlices | tf.Tensor, second: tf.IndexedSlices | tf.Tensor, share: float
) -> tf.IndexedSlices | tf.Tensor | None:
    """share * first + (1 - share) * second; an embedding's gradient stays a list of rows."""
    if first is None or second is None:
        return None
    if isinstance(first, tf.IndexedSlices) and isinstance(second, tf.IndexedSlices):
        values = tf.concat([share * first.values, (1.0 - share) * second.values], axis=0)
        indices = tf.concat([first.indices, second.indices], axis=0)
        return tf.IndexedSlices(values, indices, first.dense_shape)
    return share * tf.convert_to_tensor(first) + (1.0 - share) * tf.convert_to_tensor(second)
