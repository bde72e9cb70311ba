"""How far the rows of a data set are from what a network was pretrained on, as far as the network itself can tell."""

import keras
import numpy as np

from tltf.data.source import Source
from tltf.graphs import functional
from tltf.models.forward import ForwardPass
from tltf.models.transfer_model import TransferModel

LOOKED_AT = 256
"""Rows that are looked at, evenly spaced."""
MEAN, SQUARE = "mean", "square"


def measure(trained: TransferModel, rows: Source) -> float | None:
    """The distance of the rows from the pretraining rows; None where the network keeps no statistics of those.

    It is taken at the input of the last batch norm, whose statistics are those of the pretraining rows: the
    2-Wasserstein distance of two normal distributions, in standard deviations of the pretraining rows, as the mean over
    channels of sqrt(((m - mu) / sigma)^2 + (s / sigma - 1)^2). It is 0 for rows that are like those.

    Args:
        trained: the untrained model, whose network is pretrained.
        rows: the rows.
    """
    backbone = trained.core.backbone
    nodes = functional.ordered_nodes(list(backbone.taps.values()))
    found = [node for node in nodes if isinstance(node.operation, keras.layers.BatchNormalization)]
    if backbone.modality != "image" or not backbone.pretrained or not found:
        return None
    norm, given, few = found[-1].operation, found[-1].input_tensors[0], min(LOOKED_AT, len(rows))
    places = tuple(range(1, len(given.shape) - 1))
    outputs = {
        MEAN: keras.ops.mean(given, places),
        SQUARE: keras.ops.mean(keras.ops.square(given), places),
    }
    model = keras.Model(backbone.inputs, outputs)
    some = rows.take(np.linspace(0, len(rows) - 1, few).astype(np.int64))
    data = trained.dataset(some, min(trained.eval_batch_size, few))
    moments = ForwardPass(model, (MEAN, SQUARE))(data).astype(np.float64)
    means, squares = np.split(moments, 2, axis=1)
    mean = means.mean(axis=0)
    deviation = np.sqrt(np.maximum(squares.mean(axis=0) - mean**2, 0.0))
    source = keras.ops.convert_to_numpy(norm.moving_mean).astype(np.float64)
    spread = np.sqrt(keras.ops.convert_to_numpy(norm.moving_variance) + norm.epsilon)
    return distance(mean, deviation, source, spread)


def distance(
    mean: np.ndarray, deviation: np.ndarray, source: np.ndarray, spread: np.ndarray
) -> float:
    """The mean over channels of the distance of N(mean, deviation^2) from N(source, spread^2) in units of `spread`."""
    gaps = ((mean - source) / spread) ** 2 + (deviation / spread - 1) ** 2
    return float(np.sqrt(gaps).mean())
