"""Pairs of training rows, half of one class and half of two, none twice before all have been read."""

import dataclasses
import functools

import numpy as np

from tltf.data.ordering import GivenOrder
from tltf.errors import DataError
from tltf.methods.method import RowsToOrder

MOST_SHUFFLED = 2**16
"""Numbers up to which a permutation is drawn whole; beyond it each place is computed by itself."""
NUM_ROUNDS = 6
_SAME, _OTHER = 0, 1


@dataclasses.dataclass(frozen=True)
class PairSpace:
    """All pairs of rows of one kind, which are numbered and never listed.

    The rows are sorted by class. The partners of the row at place p are the `counts[p]` places from
    `firsts[p]` on, so that the pair with a number is found in the running sum of the counts.

    Args:
        rows: int64[N], row numbers sorted by class.
        firsts: int64[N].
        counts: int64[N].
    """

    rows: np.ndarray
    firsts: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return int(self.counts.sum())

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.counts)

    def pairs(self, numbers: np.ndarray) -> np.ndarray:
        """int64[n, 2]: the rows of the pairs with some numbers, int64[n]."""
        places = np.searchsorted(self._ends, numbers, side="right")
        partners = self.firsts[places] + numbers - (self._ends[places] - self.counts[places])
        return self.rows[np.stack([places, partners], axis=1)]


def pair_spaces(labels: np.ndarray) -> tuple[PairSpace, PairSpace]:
    """`(pairs of one class, pairs of two classes)` of rows with int[N] labels; O(N log N)."""
    rows = np.argsort(labels, kind="stable")
    ordered, places = labels[rows], np.arange(len(rows))
    ends = np.searchsorted(ordered, ordered, side="right")
    same = PairSpace(rows, places + 1, ends - places - 1)
    return same, PairSpace(rows, ends, len(rows) - ends)


def pair_order(rows: RowsToOrder) -> GivenOrder:
    """The order of rows in which neighbours are a pair, by turns of one class and of two classes.

    A pass reads about twice as many rows as there are, so that each row is in two pairs on average.
    The pairs of a pass are the next ones of a permutation of all pairs that the seed gives; when too
    few are left for a pass another permutation begins. So no pair is read twice before about all are
    read, each pass takes time and memory in proportion to the rows, and a pass is the same after a
    resume. A device's part of a batch holds whole pairs; where its number of rows is odd, its last row
    has no partner.

    Args:
        rows: RowsToOrder.

    Raises:
        DataError: no class has two rows, or all rows are of one class.
        FlagError: a device takes one row of a batch.
    """
    same, other = pair_spaces(rows.labels)
    if not (len(same) and len(other)):
        what = "are of one class" if len(same) else "have a class of their own each"
        raise DataError(
            f"pairs take rows of the same class and of other classes, and these {len(rows.labels)} "
            f"{what}",
            flag="method",
            fix="--method=probe",
        )
    share, num_shares = rows.require_share(2), rows.num_shares
    num_batches = -(-2 * len(rows.labels) // (share // 2 * 2 * num_shares))
    num_pairs = num_batches * num_shares * (share // 2)
    spaces = same, other
    counts = -(-num_pairs // 2), num_pairs // 2

    def rows_of(epoch: int) -> np.ndarray:
        pairs = np.empty((num_pairs, 2), np.int64)
        for kind in (_SAME, _OTHER):
            numbers = _numbers(len(spaces[kind]), counts[kind], epoch, (rows.seed, kind))
            pairs[kind::2] = spaces[kind].pairs(numbers)
        parts = pairs.reshape(-1, share // 2 * 2)
        if share % 2:
            parts = np.concatenate([parts, parts[:, -1:]], axis=1)
        return parts.ravel()

    return GivenOrder(rows_of, num_batches * rows.batch_size)


def _numbers(size: int, count: int, epoch: int, seeds: tuple[int, ...]) -> np.ndarray:
    """int64[count]: the numbers below `size` that a pass takes of the permutations."""
    passes = max(1, size // count)
    turn, place = divmod(epoch, passes)
    numbers = (place * count + np.arange(count, dtype=np.int64)) % size
    return permute(numbers, size, (*seeds, turn))


def permute(numbers: np.ndarray, size: int, seeds: tuple[int, ...]) -> np.ndarray:
    """int64[n]: where a permutation of 0..size - 1 that the seeds give takes some numbers below `size`.

    Above MOST_SHUFFLED it is a Feistel network on the smallest even number of bits that holds `size`,
    which is applied again to what lies beyond it (Black & Rogaway 2002, CT-RSA, cycle walking): it takes
    time and memory in proportion to n, not to `size`.
    """
    random = np.random.default_rng(seeds)
    if size <= MOST_SHUFFLED:
        return random.permutation(size)[numbers]
    half = -(-int(size - 1).bit_length() // 2)
    keys = random.integers(1, 2**63, NUM_ROUNDS, dtype=np.uint64)
    found = _mixed(numbers.astype(np.uint64), half, keys)
    while (beyond := found >= size).any():
        found[beyond] = _mixed(found[beyond], half, keys)
    return found.astype(np.int64)


def _mixed(numbers: np.ndarray, half: int, keys: np.ndarray) -> np.ndarray:
    """uint64[n]: numbers of 2 `half` bits after the rounds of the Feistel network."""
    mask, bits = np.uint64(2**half - 1), np.uint64(half)
    left, right = numbers >> bits, numbers & mask
    for key in keys:
        mixed = (right + key) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
    return (left << bits) | right
