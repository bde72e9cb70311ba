"""Batch-norm statistics computed anew for weights that have stopped moving."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tltf.graphs import dropout, freezing
from tltf.graphs.backbone import Group


def moved_batch_norms(groups: tuple[Group, ...], variables: Any) -> list[keras.Layer]:
    """The batch norms of some groups whose running mean is among `variables`."""
    ids = {id(variable) for variable in variables}
    norms = (norm for group in groups for layer in group.layers for norm in freezing.norms(layer))
    return [norm for norm in norms if id(norm.moving_mean) in ids]


def recalibrate(model: keras.Model, batches: Any, norms: Sequence[keras.Layer]) -> int:
    """Sets the statistics of batch norms to those of all examples; returns the number of examples.

    Running averages hold batches of earlier weights. Here the weights stand still: mean m = sum_b
    n_b m_b / N and variance sum_b n_b (v_b + m_b^2) / N - m^2 over the batches b, each normalised
    by its own statistics as in training: Wu & Johnson 2021, arXiv:2105.07576, section 3.1. Departs:
    dropout is off, since statistics with it do not fit an inference without. Examples are those
    of a pass of training: augmented, mixed and drawn as there.

    Args:
        model: keras.Model; its inputs are a batch's.
        batches: iterable of (inputs, ...).
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
def _as_training(model: keras.Model, norms: Sequence[keras.Layer]) -> Iterator[Any]:
    """Batch norms that keep the last batch's statistics only, and no noise."""
    noisy = dropout.find_disturbing_layers([model])
    momenta = [norm.momentum for norm in norms]
    rates = [getattr(layer, name) for layer, name in noisy]
    try:
        for norm in norms:
            norm.momentum = 0.0
        for layer, name in noisy:
            setattr(layer, name, 0.0)
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for (layer, name), rate in zip(noisy, rates, strict=True):
            setattr(layer, name, rate)


def _step(model: keras.Model) -> Any:
    """A forward pass in training mode, traced with the momenta and rates of now."""
    import tensorflow as tf

    return tf.function(lambda inputs: model(inputs, training=True), reduce_retracing=True)
