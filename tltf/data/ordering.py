"""The order in which a pass reads the rows of a source: seeded, by length, by class, or a part."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tltf.data.mixed_sets import MixedSets

MIN_BUCKET_BATCHES = 8
"""The number of batches that are drawn together and then sorted by length."""


def shuffle_rows(count: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """int64[N], the row numbers of a plain training pass in their order."""
    rows = tf.range(count, dtype=tf.int64)
    return tf.random.experimental.stateless_shuffle(rows, seed=[seed, epoch])


@dataclasses.dataclass(frozen=True)
class GivenOrder:
    """The rows of training passes in an order that a method gives, such as pairs of rows.

    Args:
        rows_of: number of the pass -> int64[count], the same for the same number; a row may stand in
            a pass more than once.
        count: the number of rows of each pass.
    """

    rows_of: Callable[[int], np.ndarray]
    count: int

    def __len__(self) -> int:
        return self.count


class GivenPasses:
    """A few passes of a GivenOrder.

    Args:
        given: the GivenOrder.
        first_epoch: number of the first pass.
        num_epochs: number of passes.
    """

    def __init__(self, given: GivenOrder, first_epoch: int, num_epochs: int) -> None:
        self.count, self.first_epoch = len(given), first_epoch
        passes = [given.rows_of(first_epoch + number) for number in range(num_epochs)]
        self.rows = tf.constant(np.reshape(passes, (num_epochs, self.count)), tf.int64)

    def __len__(self) -> int:
        return self.count

    def __call__(self, epoch: tf.Tensor) -> tf.Tensor:
        """int64[M], the row numbers of the pass with the number `epoch`, int64[]."""
        return self.rows[epoch - self.first_epoch]


@dataclasses.dataclass(frozen=True)
class Order:
    """The order of training passes; the same for the same seed and number of the pass.

    Args:
        count: number of rows of the source.
        seed: seed of the order.
        batch_size: rows per batch.
        lengths: int32[N], tokens per row, to put rows of similar lengths into one batch; None for
            batches of any lengths.
        labels: int32[N], to draw every class equally often, with replacement; None to read each row
            once.
        part: int64[M], the rows that are read at all; None for all.
    """

    count: int
    seed: int
    batch_size: int
    lengths: np.ndarray | None = None
    labels: np.ndarray | None = None
    part: np.ndarray | None = None

    def __len__(self) -> int:
        return self.count if self.part is None else len(self.part)

    def __call__(self, epoch: tf.Tensor) -> tf.Tensor:
        """int64[M], the row numbers of the pass with the number `epoch`, int64[]."""
        labels = self.labels
        if labels is None:
            rows = shuffle_rows(len(self), self.seed, epoch)
        else:
            rows = _draw_balanced(
                labels if self.part is None else labels[self.part], self.seed, epoch
            )
        if self.part is not None:
            rows = tf.gather(tf.constant(self.part, tf.int64), rows)
        if self.lengths is None:
            return rows
        return bucket_rows(rows, tf.gather(self.lengths, rows), self.seed, epoch, self.batch_size)


@dataclasses.dataclass(frozen=True)
class MixedOrder:
    """The order of training passes over several data sets; the same for the same seed and pass.

    A pass has as many rows as all data sets together. Each set has its share of them, see
    `MixedSets.quotas`; its rows are read in shuffled rounds, each round whole before the next one begins,
    so that over the passes all rows of a set are read equally often.

    Args:
        mixed: which rows are of which data set.
        seed: seed of the order.
        batch_size: rows per batch.
        lengths: int32[N], see `Order`; None for batches of any lengths.
    """

    mixed: MixedSets
    seed: int
    batch_size: int
    lengths: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.mixed.sets)

    def __call__(self, epoch: tf.Tensor) -> tf.Tensor:
        """int64[N], the row numbers of the pass with the number `epoch`, int64[]."""
        epoch = tf.cast(epoch, tf.int64)
        drawn = [
            self._of_set(np.flatnonzero(self.mixed.sets == number), quota, number, epoch)
            for number, quota in enumerate(self.mixed.quotas())
        ]
        rows = tf.concat(drawn, 0)
        rows = tf.gather(rows, shuffle_rows(len(self), self.seed, epoch))
        if self.lengths is None:
            return rows
        lengths = tf.gather(self.lengths, rows)
        return bucket_rows(rows, lengths, self.seed, epoch, self.batch_size)

    def _of_set(self, rows: np.ndarray, quota: int, number: int, epoch: tf.Tensor) -> tf.Tensor:
        """int64[quota]: the rows of one data set in a pass."""
        count = len(rows)
        places = epoch * quota + tf.range(quota, dtype=tf.int64)
        first = epoch * quota // count
        rounds = [
            tf.random.experimental.stateless_shuffle(
                tf.range(count, dtype=tf.int64),
                seed=tf.stack([self.seed + 7 + number, first + more]),
            )
            for more in range(quota // count + 2)
        ]
        within = tf.gather(tf.concat(rounds, 0), places - first * count)
        return tf.gather(tf.constant(rows, tf.int64), within)


def _draw_balanced(labels: np.ndarray, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """int64[N], rows drawn with replacement, each with the probability 1 / (classes * n_c)."""
    counts = np.bincount(labels)
    chances = np.cumsum(1.0 / (np.count_nonzero(counts) * counts[labels]))
    drawn = tf.random.stateless_uniform([len(labels)], [seed + 2, epoch], dtype=tf.float64)
    rows = tf.searchsorted(tf.constant(chances, tf.float64), drawn * chances[-1], side="right")
    return tf.cast(tf.minimum(rows, len(labels) - 1), tf.int64)


def bucket_rows(
    rows: tf.Tensor, lengths: tf.Tensor, seed: int, epoch: tf.Tensor, batch_size: int
) -> tf.Tensor:
    """`rows` in such an order that batches have similar lengths: windows are sorted, batches shuffled.

    The last rows, which do not fill a batch, stay at the end, as drawn.
    """
    count = rows.shape[0]
    window = batch_size * MIN_BUCKET_BATCHES
    num_full = count // batch_size * batch_size
    keys = tf.range(num_full) // window * 2**16 + lengths[:num_full]
    order = tf.argsort(keys, stable=True)
    batches = tf.reshape(tf.gather(rows[:num_full], order), [-1, batch_size])
    numbers = tf.range(num_full // batch_size)
    numbers = tf.random.experimental.stateless_shuffle(numbers, seed=[seed + 1, epoch])
    return tf.concat([tf.reshape(tf.gather(batches, numbers), [-1]), rows[num_full:]], 0)
