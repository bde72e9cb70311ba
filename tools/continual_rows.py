"""The rows of tools/continual.py: features with their labels and steps, and what a training reads of them."""

import dataclasses

import keras
import measuring
import numpy as np
import tensorflow as tf

from tltf.data import run_data
from tltf.data.sources import steps as step_sources
from tltf.graphs.backbone import Backbone
from tltf.models import loading
from tltf.training.feed import Feed


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows with their features.

    Args:
        features: float32[N, d].
        labels: int[N], places in `names`.
        steps: int[N], from 0.
        roles: str[N].
        ids: N str.
        names: of all classes.
    """

    features: np.ndarray
    labels: np.ndarray
    steps: np.ndarray
    roles: np.ndarray
    ids: np.ndarray
    names: tuple[str, ...]

    def shuffled(self, seed):
        """The rows with their steps, and with those their classes, in an order of the seed."""
        order = np.random.default_rng(seed).permutation(self.steps.max() + 1)
        numbers = np.argsort(order)[self.steps]
        first = np.array([numbers[self.labels == label].min() for label in range(len(self.names))])
        classes = np.argsort(first, kind="stable")
        names = tuple(self.names[label] for label in classes)
        return dataclasses.replace(
            self, steps=numbers, labels=np.argsort(classes)[self.labels], names=names
        )

    def take(self, rows):
        """Some of the rows."""
        parts = {
            name: getattr(self, name)[rows]
            for name in ("features", "labels", "steps", "roles", "ids")
        }
        return dataclasses.replace(self, **parts)


def rows_of(folder, case, data, flags):
    """The Rows of a case, whose features the network that the flags name computes in a folder."""
    also = ["--method=linear_probe(solver=lbfgs)", "--noexport", "--baseline=none"]
    measuring.train(folder, case, f"--data={data}", *flags, *also)
    trained, parts = loading.load(str(folder / case)), run_data.load_parts(str(folder / case))
    found = []
    for role, part in parts.items():
        own = trained.features(part)
        ids = np.array([str(row) for row in part.ids])
        labels, numbers = np.asarray(part.labels), step_sources.numbers_of(part) - 1
        roles = np.full(len(part), role)
        found.append(Rows(own, labels, numbers, roles, ids, part.class_names))
    joined = {
        name: np.concatenate([getattr(part, name) for part in found])
        for name in ("features", "labels", "steps", "roles", "ids")
    }
    return Rows(**joined, names=found[0].names)


def identity(width, name):
    """A backbone that gives its features as they are."""
    features = keras.Input((width,), name="features")
    taps = {"stage_1": keras.layers.Reshape((1, 1, width), name="reshaped")(features)}
    return Backbone(name, "image", {"features": features}, taps, (), None, 0, 0, 0, True, {})


def feed_of(rows, names, is_balanced, seed, batch):
    """A Feed of rows of features."""
    counts = np.maximum(np.bincount(rows.labels, minlength=len(names)), 1)
    weights = (
        len(rows.labels) / ((counts > 0).sum() * counts) if is_balanced else np.ones(len(counts))
    )

    def training(first, number, rows_=None, skip=0, is_drawn=True):
        orders = [
            np.random.default_rng([seed, epoch]).permutation(len(rows.labels))
            for epoch in range(first, first + number)
        ]
        parts = []
        for order in orders:
            labels = rows.labels[order].astype(np.int32)
            given = (
                {"features": rows.features[order]},
                {"label": labels},
                {"label": weights[labels].astype(np.float32)},
            )
            parts.append(tf.data.Dataset.from_tensor_slices(given).batch(batch))
        dataset = parts[0]
        for part in parts[1:]:
            dataset = dataset.concatenate(part)
        return dataset

    return Feed(training, len(rows.labels), class_names=tuple(names))
