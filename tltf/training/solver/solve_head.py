"""A linear probe solved to convergence: the convex way to train a head of one dense layer."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from tltf.caching.row_buffer import RowBuffer
from tltf.data import label_kinds
from tltf.errors import FlagError
from tltf.files import assets
from tltf.heads.head import Head
from tltf.heads.solving import convex, quantiles
from tltf.heads.solving.convex import Solution
from tltf.heads.solving.quantiles import Aims
from tltf.models.forward import ForwardPass


def solve(
    dense: keras.layers.Dense,
    training: tuple[np.ndarray, ...],
    validation: tuple[np.ndarray, ...] | None,
    label_smoothing: float = 0.0,
    groups: np.ndarray | None = None,
    head: Head | None = None,
) -> Solution:
    """Puts the optimal kernel and bias into the head; returns the `convex.Solution`.

    The objective is the training loss with an L2 penalty on the kernel over standardised
    features; the penalty is the one that is best on validation.

    Args:
        dense: the only layer of the head, which is built.
        training: (float32[N, d] features, int[N] or float[N, C] targets, float[N] weights).
        validation: (float32[M, d], int[M] labels), or None.
        label_smoothing: see `losses.CrossEntropy`.
        groups: int[N], the row of the data that each row comes from; see `convex.path`.
        head: of the layer; None for one class per row. One that predicts a number is solved for by
            `quantiles.path`.
    """
    features, targets, weights = training
    if head is not None and head.target == label_kinds.NUMBER:
        judged = None if validation is None else _aims(head, *validation)
        aims = _aims(head, features, targets, weights)
        solution = quantiles.path(aims, head.quantiles, judged, groups=groups)  # type: ignore[attr-defined]
    else:
        targets = smoothed(targets, dense.units, label_smoothing)
        solution = convex.path(features, targets, validation, weights=weights, groups=groups)
    dense.kernel.assign(solution.kernel)
    dense.bias.assign(solution.bias)
    return solution


@dataclasses.dataclass(frozen=True)
class ReadExamples:
    """The examples of a dataset, each read once.

    Args:
        features: float32[N, d].
        targets: name of an output -> int[N] or float[N, ...].
        weights: name of an output -> float[N].
    """

    features: np.ndarray
    targets: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]

    @property
    def only(self) -> convex.Examples:
        """`(features, targets, weights)` of the only output."""
        return self.features, *self.targets.values(), *self.weights.values()  # type: ignore[return-value]


def read_examples(
    dataset: tf.data.Dataset, prefix: keras.Model | None = None, limit_bytes: float = math.inf
) -> ReadExamples:
    """The ReadExamples of a dataset of (inputs, targets, weights).

    Args:
        dataset: tf.data.Dataset; its inputs are one vector per example where `prefix` is None.
        prefix: keras.Model that gives that vector; its outputs are held in memory.
        limit_bytes: above so many bytes the features of the dataset are a memory map of a file.

    Raises:
        FlagError: the head takes several tensors per example.
        StorageError: the file cannot be written.
    """
    name = _name_of_vector(dataset, prefix)
    features, kept = RowBuffer(limit_bytes, assets.cache_folder()), []
    for inputs, targets, weights in dataset:
        if not prefix:
            features.add(np.asarray(inputs[name]))
        kept.append((targets, weights))
    every_target, every_weight = (
        {key: np.concatenate([np.asarray(part[key]) for part in parts]) for key in parts[0]}
        for parts in zip(*kept, strict=True)
    )
    whole = ForwardPass(prefix, name)(dataset) if prefix else features.array()
    return ReadExamples(whole, every_target, every_weight)


def _aims(
    head: Head, features: np.ndarray, numbers: np.ndarray, weights: np.ndarray | None = None
) -> Aims:
    """The Aims of a head that predicts a number, in the unit of its logits."""
    own = (np.asarray(numbers, np.float64) - (head.center or 0.0)) / head.unit  # type: ignore[attr-defined]
    given = np.ones(len(own)) if weights is None else np.asarray(weights, np.float64)
    return Aims(features, own, given)


def read_features(
    dataset: tf.data.Dataset, prefix: keras.Model | None = None, limit_bytes: float = math.inf
) -> np.ndarray:
    """float32[N, d]: the features of a dataset of tuples with inputs first; see `read_examples`."""
    name = _name_of_vector(dataset, prefix)
    if prefix:
        return ForwardPass(prefix, name)(dataset)
    features = RowBuffer(limit_bytes, assets.cache_folder())
    for inputs, *_ in dataset:
        features.add(np.asarray(inputs[name]))
    return features.array()


def _name_of_vector(dataset: tf.data.Dataset, prefix: keras.Model | None) -> str:
    """The name of the only tensor that a head takes.

    Raises:
        FlagError: the head takes several tensors per example.
    """
    names = list(prefix.output) if prefix else list(dataset.element_spec[0])
    if len(names) != 1:
        raise FlagError(
            "solver=lbfgs takes a head on one vector per example",
            flag="method",
            fix="--method=linear_probe",
        )
    return names[0]


def smoothed(targets: np.ndarray, num_classes: int, share: float) -> np.ndarray:
    """float[N, C]: targets, int[N] or float[N, C], with a share of each spread over all classes."""
    if targets.ndim == 1:
        targets = np.eye(num_classes)[targets]
    return (1.0 - share) * targets + share / num_classes
