"""Episodes: parts of a batch with a few rows of each of some classes."""

import numpy as np

from tltf.data.ordering import GivenOrder
from tltf.errors import DataError
from tltf.methods.method import RowsToOrder


def episode_order(rows: RowsToOrder, ways: int = 0) -> GivenOrder:
    """The order of rows in which the part of a batch that a device takes is an episode.

    The classes of an episode are drawn anew for each, and share its rows evenly as far as they have so
    many. A row stands in an episode once, unless the data has fewer rows than an episode takes. A
    pass reads as many rows as there are, rounded up to whole batches. It is the same for the same seed
    and number of the pass.

    Args:
        rows: RowsToOrder.
        ways: number of classes in an episode; 0 for as many as have two rows each, or all. With fewer
            classes than that, all; where the classes have too few rows, others fill the episode.

    Raises:
        DataError: all rows are of one class, or no class has two rows.
        FlagError: a device takes fewer than 4 rows of a batch.
    """
    share, members = rows.require_share(4), _members(rows.labels)
    ways = min(ways or share // 2, share // 2, len(members))
    num_batches = -(-len(rows.labels) // rows.batch_size)

    def rows_of(epoch: int) -> np.ndarray:
        random = np.random.default_rng((rows.seed, epoch))
        queues = [_Queue(random.permutation(own)) for own in members]
        episodes = [
            _episode(random.permutation(len(members)), queues, ways, share)
            for _ in range(num_batches * rows.num_shares)
        ]
        return np.concatenate(episodes)

    return GivenOrder(rows_of, num_batches * rows.batch_size)


def _members(labels: np.ndarray) -> list[np.ndarray]:
    """The rows of each class that has some.

    Raises:
        DataError: they make no episode.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if len(members) < 2 or max(map(len, members)) < 2:
        raise DataError(
            "rows are compared with others of their class and of other classes; these "
            f"{len(labels)} are of {len(members)} classes, with at most {max(map(len, members))} each",
            flag="method",
            fix="--method=probe",
        )
    return members


class _Queue:
    """The rows of a class, which are taken in turn.

    Args:
        rows: int64[n] in their order.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.place, self.taken = rows, 0, 0

    def take(self, count: int) -> np.ndarray:
        """int64[M]: the next rows, as many as there are that the episode does not have yet."""
        count = min(count, len(self.rows) - self.taken)
        places = (self.place + np.arange(count)) % len(self.rows)
        self.place, self.taken = self.place + count, self.taken + count
        return self.rows[places]


def _episode(order: np.ndarray, queues: list[_Queue], ways: int, share: int) -> np.ndarray:
    """int64[share]: the rows of an episode, of the first `ways` classes of an order, then of others."""
    for queue in queues:
        queue.taken = 0
    parts = [
        queues[label].take(share // ways + (place < share % ways))
        for place, label in enumerate(order[:ways])
    ]
    for label in order:
        missing = share - sum(map(len, parts))
        if not missing:
            break
        parts.append(queues[label].take(missing))
    return np.resize(np.concatenate(parts), share)
