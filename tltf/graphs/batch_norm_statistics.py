"""Batch-norm statistics, computed anew for weights that no longer change."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tltf.graphs import dropout, freezing
from tltf.graphs.backbone import Group


def moved_batch_norms(
    groups: tuple[Group, ...], variables: Iterable[keras.Variable]
) -> list[keras.Layer]:
    """The batch norms in the groups whose running mean is among `variables`."""
    ids = {id(variable) for variable in variables}
    norms = (norm for group in groups for layer in group.layers for norm in freezing.norms(layer))
    return [norm for norm in norms if id(norm.moving_mean) in ids]


def recalibrate(model: keras.Model, batches: Iterable[tuple], norms: Sequence[keras.Layer]) -> int:
    """Sets the statistics of batch norms to those of all examples; returns the number of examples.

    Running averages also hold batches that were seen with earlier weights. Here the weights do not
    change: mean m = sum_b n_b m_b / N and variance sum_b n_b (v_b + m_b^2) / N - m^2 over the
    batches b, each normalised by its own statistics as in training: Wu & Johnson 2021,
    arXiv:2105.07576, section 3.1. Departs: dropout is off, since statistics that were taken with
    dropout do not fit an inference without it. Examples are those of one pass of training:
    augmented, mixed and drawn as in training.

    Args:
        model: takes the inputs of a batch.
        batches: (inputs, ...) of each batch; inputs are a dict of float or int tensors.
        norms: BatchNormalization layers of the model.
    """
    sums = [(np.zeros(n.moving_mean.shape), np.zeros(n.moving_mean.shape)) for n in norms]
    count = 0
    with _as_training(model, norms):
        step = _step(model)
        for batch in batches:
            inputs = batch[0]
            size = int(next(iter(inputs.values())).shape[0])
            step(inputs)
            for norm, (first, second) in zip(norms, sums, strict=True):
                mean = keras.ops.convert_to_numpy(norm.moving_mean).astype(np.float64)
                first += size * mean
                second += size * (keras.ops.convert_to_numpy(norm.moving_variance) + mean**2)
            count += size
    for norm, (first, second) in zip(norms, sums, strict=True):
        mean = first / count
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(np.maximum(second / count - mean**2, 0.0))
    return count


@contextlib.contextmanager
def set_momentum(norms: Sequence[keras.Layer], momentum: float) -> Iterator[None]:
    """A block in which batch norms have another momentum.

    With 0 they keep the statistics of the last batch only; with 1 their statistics stay as they are.
    """
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = momentum
        yield
    finally:
        for norm, old in zip(norms, before, strict=True):
            norm.momentum = old


@contextlib.contextmanager
def _as_training(model: keras.Model, norms: Sequence[keras.Layer]) -> Iterator[None]:
    """A block in which batch norms keep the last batch's statistics only and dropout is off."""
    noisy = dropout.find_noise_layers([model])
    rates = [getattr(layer, name) for layer, name in noisy]
    with set_momentum(norms, 0.0):
        try:
            for layer, name in noisy:
                setattr(layer, name, 0.0)
            yield
        finally:
            for (layer, name), rate in zip(noisy, rates, strict=True):
                setattr(layer, name, rate)


def _step(model: keras.Model) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """A forward pass in training mode, traced with the present momenta and rates."""
    return tf.function(
        lambda inputs: model(inputs, training=True), reduce_retracing=True, autograph=False
    )
