"""How accurate a model is on each step's test rows after each step: forgetting and transfer."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.errors import ShapeError


@dataclasses.dataclass(frozen=True)
class StepAccuracies:
    """The accuracy matrix of T steps.

    Args:
        values: float64[T, T]; R[i, j] is the accuracy on the test rows of step j after step i was
            learned, both from 0; NaN where it was not measured, as for classes that the model cannot
            know yet.
        chances: float64[T], the accuracy on the test rows of each step of answers that are drawn at
            random.
        names: of the steps.
    """

    values: np.ndarray
    chances: np.ndarray
    names: Sequence[str]

    def __post_init__(self) -> None:
        count = len(self.names)
        if self.values.shape != (count, count) or self.chances.shape != (count,):
            what = f"{count} steps have {count} x {count} accuracies (received {self.values.shape})"
            raise ShapeError(what)

    def average(self, step: int = -1) -> float:
        """The mean accuracy on the steps so far after a step: Lopez-Paz & Ranzato 2017, eq. 2."""
        last = range(len(self.names))[step]
        return float(np.mean(self.values[last, : last + 1]))

    def incremental(self) -> float:
        """The mean over all steps of `average` after each: Rebuffi et al. 2017, section 4."""
        return float(np.mean([self.average(step) for step in range(len(self.names))]))

    def forgotten(self) -> np.ndarray:
        """float64[T - 1]: of each step but the last, by how much it was better than it is in the end.

        max_l R[l, j] - R[T - 1, j] over l < T - 1: Chaudhry et al. 2018, arXiv:1801.10112, eq. 3.
        """
        before = self.values[:-1, :-1]
        best: np.ndarray = np.nanmax(before, axis=0)
        return best - self.values[-1, :-1]

    def forgetting(self) -> float:
        """The mean of `forgotten`; Chaudhry et al. 2018, arXiv:1801.10112, eq. 4."""
        return float(np.mean(self.forgotten()))

    def backward_transfer(self) -> float:
        """The mean of R[T - 1, j] - R[j, j] over j < T - 1: Lopez-Paz & Ranzato 2017, eq. 3."""
        return float(np.mean(self.values[-1, :-1] - np.diagonal(self.values)[:-1]))

    def forward_transfer(self) -> float | None:
        """The mean of R[j - 1, j] - chance over j > 0: Lopez-Paz & Ranzato 2017, arXiv:1706.08840, eq. 4.

        Departs: the accuracy at random weights is that of answers drawn at random. None where it was
        not measured, since steps bring classes that were not known before.
        """
        ahead = np.diagonal(self.values, 1)
        if np.isnan(ahead).any():
            return None
        return float(np.mean(ahead - self.chances[1:]))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; what was not measured is null."""
        return {
            "names": list(self.names),
            "accuracies": [
                [None if np.isnan(value) else value for value in row]
                for row in self.values.tolist()
            ],
            "chances": self.chances.tolist(),
            "average_accuracy": self.average(),
            "incremental_accuracy": self.incremental(),
            "forgetting": self.forgetting(),
            "backward_transfer": self.backward_transfer(),
            "forward_transfer": self.forward_transfer(),
        }
