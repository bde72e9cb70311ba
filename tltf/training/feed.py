"""The data of a fit as functions that make it, and the ids of the rows that a step read."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tltf.data.ordering import GivenOrder
from tltf.data.source import Source
from tltf.graphs.core import Core
from tltf.methods.method import MakeInputs
from tltf.models.forward import ForwardPass

Batches = Callable[..., tf.data.Dataset]
"""(first epoch, number of epochs, rows, skip, is_drawn) -> dataset of (inputs, targets, weights). The
last three may be left out: rows, int64[M], are those that are read, or a GivenOrder; skip is the number of batches of
the first epoch that are left out; for is_drawn see `datasets`."""
JudgedData = tuple[tf.data.Dataset | Callable[[], tf.data.Dataset], np.ndarray]
"""(dataset or a function that makes it, labels of a Source) of a split in its order."""
DataOfSplit = Callable[[Source, int], tf.data.Dataset]
"""(Source, batch size) -> dataset of the Source in its order."""
Above = tuple[ForwardPass, DataOfSplit]
"""The pass through the layers above a cached frozen prefix, and what makes its dataset."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """The rows of one training step.

    Args:
        ids: the ids of the rows, in the order of the batch.
        broken: the ids of the rows whose own inputs or targets are not finite, each once.
    """

    ids: tuple[str, ...]
    broken: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class DataAbove:
    """Data whose inputs are the outputs of a frozen prefix; None where they are not cached.

    Args:
        training: `Batches` of the training split.
        validation: JudgedData of the validation split.
        watched: JudgedData of the test split.
        dataset: DataOfSplit for any split; it raises NotCached where the outputs do not fit.
        unlabelled: `MakeInputs` of the rows without labels that the method reads.
    """

    training: Batches | None = None
    validation: JudgedData | None = None
    watched: JudgedData | None = None
    dataset: DataOfSplit | None = None
    unlabelled: MakeInputs | None = None


@dataclasses.dataclass(frozen=True)
class Feed:
    """The data of a fit.

    Args:
        training: `Batches` of the training split.
        num_train: number of training examples.
        validation: JudgedData of the validation split, or None.
        watched: JudgedData of the test split where its curve is wanted, or None.
        fingerprint: identifies the training examples; a run goes on only with the same ones.
        data_above: frozen prefix -> DataAbove.
        dataset_above: (frozen prefix, Source, batch size) -> dataset of a split in its order, whose
            inputs are the outputs of the prefix; None where they are not cached.
        used_ids: () -> {input name: int[n]}, the token ids that occur in training.
        class_names: names of the classes of the labels.
        in_order: () -> JudgedData of the training split; None where it has no order.
        batch: (epoch, step, rows) -> the `Batch` that training read in a step, both counted
            from 0 over all phases; rows are those of `training`. None where rows have no ids.
        ids: role -> the ids of a split, in its order; None where rows have no ids.
        origins: (first epoch, number of epochs) -> int64[N], the same number for all rows of
            `training` that come from one example; None where that is not known.
        probe_scores: (core, Above or None) -> float32[M, C], what the core states of the test split;
            it is called for a head that was solved for, before later phases change it. None where
            that head is no baseline.
        unlabelled: `MakeInputs` of the rows without labels that the method reads, or None.
        unlabelled_in_order: (frozen prefix or None) -> dataset of these rows in their order, each once,
            whose inputs are the outputs of the prefix where there is one; None without such rows.
        num_unlabelled: the number of these rows.
    """

    training: Batches
    num_train: int
    validation: JudgedData | None = None
    watched: JudgedData | None = None
    fingerprint: str = ""
    data_above: Callable[[keras.Model], DataAbove] = lambda prefix: DataAbove()
    dataset_above: Callable[[keras.Model, Source, int], tf.data.Dataset] | None = None
    used_ids: Callable[[], dict[str, np.ndarray]] = dict
    class_names: tuple[str, ...] = ()
    in_order: Callable[[], JudgedData] | None = None
    batch: Callable[[int, int, np.ndarray | GivenOrder | None], Batch] | None = None
    ids: Callable[[str], Sequence[str]] | None = None
    origins: Callable[..., np.ndarray] | None = None
    probe_scores: Callable[[Core, Above | None], np.ndarray] | None = None
    unlabelled: MakeInputs | None = None
    unlabelled_in_order: Callable[[keras.Model | None], tf.data.Dataset] | None = None
    num_unlabelled: int = 0

    def training_in_order(self) -> JudgedData:
        """The JudgedData of `in_order`.

        Raises:
            ValueError: the feed has no `in_order`.
        """
        if self.in_order is None:
            raise ValueError("a phase chooses its rows, but the feed has no `in_order`")
        return self.in_order()


@dataclasses.dataclass(frozen=True)
class PhaseRows:
    """The rows that a phase of a fit reads, so that an error can name them.

    Args:
        feed: Feed of the fit.
        batch_size: examples per step, over all devices together.
        epochs_before: number of passes over the training split in the phases before this one.
        rows: int64[M], the rows that the phase reads, or a GivenOrder; None for all.
    """

    feed: Feed
    batch_size: int
    epochs_before: int = 0
    rows: np.ndarray | GivenOrder | None = None

    @property
    def count(self) -> int:
        """The number of rows of a pass."""
        return self.feed.num_train if self.rows is None else len(self.rows)

    def batch(self, epoch: int, step: int) -> Batch | None:
        """The Batch of a step; None where rows have no ids.

        Args:
            epoch: number of the epoch in the phase, counted from 1.
            step: number of the step in the epoch, counted from 1.
        """
        if self.feed.batch is None:
            return None
        return self.feed.batch(self.epochs_before + epoch - 1, step - 1, self.rows)

    def id_at(self, role: str, epoch: int, place: int) -> str:
        """The id of the row at a place of a pass over a split.

        Args:
            role: role of the split; any but `train` is read in its own order.
            epoch: number of the pass in the phase, counted from 0.
            place: number of the row in the pass, counted from 0.
        """
        if self.feed.ids is None:
            return f"example {place}"
        if role != "train":
            return f"{self.feed.ids(role)[place]}"
        step, row = divmod(place, self.batch_size)
        batch = self.batch(epoch + 1, step + 1)
        return batch.ids[row] if batch else f"example {place}"
