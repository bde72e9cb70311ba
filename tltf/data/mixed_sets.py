"""Which rows of a Source are of which of several data sets; free of TensorFlow."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class MixedSets:
    """The data sets that the rows of a Source come from.

    Args:
        sets: int64[N], the number of the data set of each row, from 0.
        alpha: rows of a data set of n rows are drawn in proportion to n^alpha.
        num_sets: number of data sets, of which some may have no row here.
    """

    sets: np.ndarray
    alpha: float
    num_sets: int

    def take(self, indices: np.ndarray) -> "MixedSets":
        """The data sets of rows `indices` (int[M])."""
        return dataclasses.replace(self, sets=self.sets[indices])

    def quotas(self) -> list[int]:
        """Rows of each data set in a pass over as many rows as there are, in proportion to n^alpha.

        Each data set with rows has one at least.
        """
        counts = np.bincount(self.sets, minlength=self.num_sets)
        shares = np.where(counts > 0, counts.astype(np.float64) ** self.alpha, 0.0)
        exact = len(self.sets) * shares / shares.sum()
        found = np.maximum(np.floor(exact), counts > 0).astype(np.int64)
        rest = len(self.sets) - int(found.sum())
        order = np.argsort(np.where(counts > 0, found - exact, np.inf), kind="stable")
        for place in range(rest):
            found[order[place % int((counts > 0).sum())]] += 1
        while rest < 0:
            found[int(found.argmax())] -= 1
            rest += 1
        return [int(quota) for quota in found]
