"""The data of a fit as functions that make it, and the names of the rows that a step read."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

Batches = Callable[..., tf.data.Dataset]
"""(first epoch, number of epochs, rows, skip, is_drawn) -> dataset of (inputs, targets, weights). The
last three may be left out: rows int64[M] that are read, and skip, batches of the first epoch that are
left out; for is_drawn see `datasets`."""
JudgedData = tuple[tf.data.Dataset | Callable[[], tf.data.Dataset], np.ndarray]
"""(dataset or a function that makes it, labels of a Source) of a split in its order."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """The rows of one training step.

    Args:
        ids: their ids, in the order of the batch.
        broken: ids of those whose own inputs or targets are not finite, each once.
    """

    ids: tuple[str, ...]
    broken: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Above:
    """Data whose inputs are what a frozen prefix gives; None where the prefix is not cached.

    Args:
        training: `Batches` of the training split.
        validation: (tf.data.Dataset, labels of a Source).
        watched: the same of the test split.
        dataset: (Source, batch size) -> tf.data.Dataset of any split in its order; raises
            NotCached where it does not fit.
    """

    training: Batches | None = None
    validation: JudgedData | None = None
    watched: JudgedData | None = None
    dataset: Batches | None = None


@dataclasses.dataclass(frozen=True)
class Feed:
    """The data of a fit.

    Args:
        training: `Batches` of the training split.
        num_train: number of training examples.
        validation: (tf.data.Dataset or a function that makes it, labels of a Source), or None.
        watched: the same of the test split where its curve is wanted, or None.
        fingerprint: identifies the training examples; a run goes on only with the same.
        above: frozen prefix -> Above.
        used_ids: () -> {input name: int[n]}, the token ids that training has.
        class_names: names of the classes of the labels.
        in_order: () -> (tf.data.Dataset, labels of a Source) of the training split, as validation.
        batch: (epoch, step, rows) -> the `Batch` that training read in a step, both counted
            from 0 over all phases; rows as those of `training`. None where rows have no names.
        ids: role -> the ids of a split, in its order; None where rows have no names.
        origins: (first epoch, number of epochs) -> int64[N], one number for all rows of `training`
            that come from one example; None where that is not known.
    """

    training: Batches
    num_train: int
    validation: JudgedData | None = None
    watched: JudgedData | None = None
    fingerprint: str = ""
    above: Callable[[keras.Model], Above] = lambda prefix: Above()
    used_ids: Callable[[], dict[str, np.ndarray]] = dict
    class_names: tuple[str, ...] = ()
    in_order: Callable[[], JudgedData] | None = None
    batch: Callable[[int, int, np.ndarray | None], Batch] | None = None
    ids: Callable[[str], list] | None = None
    origins: Callable[..., np.ndarray] | None = None

    def training_in_order(self) -> JudgedData:
        """What `in_order` gives.

        Raises:
            ValueError: this feed has no order.
        """
        if self.in_order is None:
            raise ValueError("a phase takes the easiest rows of a feed without `in_order`")
        return self.in_order()


@dataclasses.dataclass(frozen=True)
class PhaseRows:
    """The rows that a phase of a fit reads, so that an error can name them.

    Args:
        feed: Feed of the fit.
        batch_size: examples per step, over all devices together.
        epochs_before: passes over the training split in the phases before this one.
        rows: int64[M], those that the phase reads; None for all.
    """

    feed: Feed
    batch_size: int
    epochs_before: int = 0
    rows: np.ndarray | None = None

    def batch(self, epoch: int, step: int) -> Batch | None:
        """The Batch of a step, both counted from 1 in the phase; None where rows have no names."""
        if self.feed.batch is None:
            return None
        return self.feed.batch(self.epochs_before + epoch - 1, step - 1, self.rows)

    def id_at(self, role: str, epoch: int, place: int) -> str:
        """The id of the row at a place of a pass over a split.

        Args:
            role: of the split; any but `train` is read in its own order.
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
