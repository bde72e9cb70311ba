"""A model that trains on its inputs and on the worst perturbation near them, and the layer for it."""

import contextlib
import types
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tltf.graphs import batch_norm_statistics, freezing

IMAGE_RANGE = (0.0, 255.0)
"""The lowest and highest number of a pixel."""


class Perturbation(keras.layers.Layer):
    """A layer that returns its input, plus a perturbation during a pass that sets one.

    It is never part of a frozen prefix, because the tensors above it differ from pass to pass.

    Args:
        norm: `max`: no number changes by more than `epsilon`, and images stay within 0 to 255;
            `l2`: the length of the change of an example's vectors, taken together, is at most
            `epsilon`.
        epsilon: size of the perturbation, in the unit of the input.
        num_steps: number of gradient steps to the worst perturbation.
        share: share of the unperturbed inputs in the loss, 0 to 1.
    """

    is_always_above = True
    """Whether the layer and all above it stay out of a frozen prefix."""

    def __init__(
        self, norm: str, epsilon: float, num_steps: int, share: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.norm, self.epsilon, self.num_steps, self.share = norm, epsilon, num_steps, share
        self.state = types.SimpleNamespace(seen=None, delta=None)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The inputs, perturbed where a pass has set a perturbation."""
        self.state.seen = inputs
        if self.state.delta is None:
            return inputs
        return inputs + tf.cast(self.state.delta, inputs.dtype)

    def take_step(self, delta: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        """The perturbation `delta` after one step up the loss, projected back to its allowed size.

        The length of a step is 2.5 epsilon / steps, or epsilon for a single step. Madry et al. 2017,
        arXiv:1706.06083, section 2.1, with `max`; Miyato et al. 2016, arXiv:1605.07725, eq. 4, with
        `l2`. A single step from 0 is that of Goodfellow et al.
        """
        length = self.epsilon if self.num_steps == 1 else 2.5 * self.epsilon / self.num_steps
        if self.norm == "l2":
            delta = delta + length * gradient / tf.maximum(_norm(gradient), 1e-12)
            return delta * tf.minimum(1.0, self.epsilon / tf.maximum(_norm(delta), 1e-12))
        delta = tf.clip_by_value(delta + length * tf.sign(gradient), -self.epsilon, self.epsilon)
        seen = tf.cast(self.state.seen, delta.dtype)
        return tf.clip_by_value(seen + delta, *IMAGE_RANGE) - seen


class AdversarialModel(keras.Model):
    """A functional model with one `Perturbation` layer, whose training step perturbs its inputs.

    share J(x) + (1 - share) J(x + delta): Goodfellow et al. 2014, arXiv:1412.6572, section 6. The
    moving statistics of batch norms are those of the unperturbed inputs, on which the network
    will run: Xie et al. 2019, arXiv:1911.09665, show how far those of perturbed inputs differ.
    """

    def train_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """The metrics of the unperturbed inputs, after one step on them and on their perturbation."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        layer = next(sub for sub in self._flatten_layers() if isinstance(sub, Perturbation))
        variables = self.trainable_weights
        loss, outputs, (gradient, *clean) = self._pass((x, y, weight), layer, None, variables)
        delta = layer.take_step(tf.zeros_like(gradient), gradient)
        for _ in range(layer.num_steps - 1):
            _, _, (gradient,) = self._pass((x, y, weight), layer, delta, [])
            delta = layer.take_step(delta, gradient)
        _, _, (_, *worst) = self._pass((x, y, weight), layer, tf.stop_gradient(delta), variables)
        layer.state.delta = None
        mixed = [_mixed(*pair, layer.share) for pair in zip(clean, worst, strict=True)]
        self.optimizer.apply_gradients(zip(mixed, variables, strict=True))
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(next(iter(x.values())))[0])
        return self.compute_metrics(x, y, outputs, sample_weight=weight)

    def _pass(
        self,
        data: tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict[str, tf.Tensor] | None],
        layer: Perturbation,
        delta: tf.Tensor | None,
        variables: Sequence[keras.Variable],
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[tf.Tensor | tf.IndexedSlices]]:
        """`(loss, outputs, gradients of the perturbation and of the variables)`."""
        x, y, weight = data
        layer.state.delta = delta
        with tf.GradientTape() as tape:
            tape.watch([tensor for tensor in x.values() if tensor.dtype.is_floating])
            if delta is not None:
                tape.watch(delta)
            with contextlib.nullcontext() if delta is None else self._keep_statistics():
                outputs = self(x, training=True)
            loss = self._compute_loss(x, y, outputs, weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        source = layer.state.seen if delta is None else delta
        gradients = tape.gradient(scaled, [source, *[v.value for v in variables]])
        shown = loss * tf.distribute.get_strategy().num_replicas_in_sync
        return shown, outputs, [tf.cast(gradients[0], tf.float32), *gradients[1:]]

    def _keep_statistics(self) -> contextlib.AbstractContextManager[None]:
        """A block in which batch norms use the batch's statistics and keep their moving ones."""
        return batch_norm_statistics.set_momentum(freezing.norms(self), 1.0)


def _norm(tensor: tf.Tensor) -> tf.Tensor:
    """float[B, 1, ...]: the length of each example's perturbation."""
    axes = list(range(1, len(tensor.shape)))
    return tf.sqrt(tf.reduce_sum(tf.square(tensor), axis=axes, keepdims=True))


def _mixed(
    first: tf.Tensor | tf.IndexedSlices | None,
    second: tf.Tensor | tf.IndexedSlices | None,
    share: float,
) -> tf.Tensor | tf.IndexedSlices | None:
    """share * first + (1 - share) * second; an embedding's gradient stays a list of rows."""
    if first is None or second is None:
        return None
    if isinstance(first, tf.IndexedSlices) and isinstance(second, tf.IndexedSlices):
        values = tf.concat([share * first.values, (1.0 - share) * second.values], axis=0)
        indices = tf.concat([first.indices, second.indices], axis=0)
        return tf.IndexedSlices(values, indices, first.dense_shape)
    return share * tf.convert_to_tensor(first) + (1.0 - share) * tf.convert_to_tensor(second)
