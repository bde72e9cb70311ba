"""What the temperatures of a head come to: probabilities before and after they are calibrated."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from tltf.data import label_kinds
from tltf.evaluation import bootstrap, label_metrics, reliability
from tltf.evaluation.baseline_row import Gain
from tltf.evaluation.reliability import ReliabilityBin
from tltf.evaluation.split_metrics import from_known_keys

if TYPE_CHECKING:
    from tltf.heads.head import Head

DETAILS = "calibration"
"""The name of Calibration in `SplitMetrics.details`."""


@dataclasses.dataclass(frozen=True)
class Stated:
    """Stated probabilities with what they are about.

    Args:
        probabilities: float64[M], of the answers, or of all pairs of a row and a label.
        is_true: bool[M], whether the answer is right, or the row has the label.
        losses: float64[N], the loss of each row.
        num_per_row: M / N.
    """

    probabilities: np.ndarray
    is_true: np.ndarray
    losses: np.ndarray
    num_per_row: int

    @property
    def error(self) -> float:
        """The calibration error, 0..1; see `reliability.expected_calibration_error`."""
        return reliability.expected_calibration_error(self.probabilities, self.is_true)

    def sums(self) -> np.ndarray:
        """float64[1 + bins, N]: the loss of each row, and its gaps of confidence and truth per bin."""
        num_rows = len(self.losses)
        found = np.zeros((1 + reliability.NUM_BINS, num_rows))
        found[0] = self.losses
        places = 1 + reliability.bin_indices(self.probabilities)
        rows = np.repeat(np.arange(num_rows), self.num_per_row)
        np.add.at(found, (places, rows), self.probabilities - self.is_true)
        return found


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The probabilities of a split before they are calibrated, beside those after it.

    Args:
        temperatures: one for all classes, or one per label.
        calibration_error: before, 0..1.
        loss: before, the mean cross-entropy in nats.
        reliability: bins of the probabilities before.
        gains: `loss` and `calibration_error`, after minus before, with paired intervals.
    """

    temperatures: list[float]
    calibration_error: float
    loss: float
    reliability: list[ReliabilityBin]
    gains: dict[str, Gain]

    @classmethod
    def from_details(cls, details: dict[str, Any]) -> "Calibration | None":
        """The Calibration among the details of a split's metrics; None where there is none.

        Details may come from a file that somebody has changed: values of another form count as none.
        """
        values = details.get(DETAILS)
        try:
            rows = [from_known_keys(ReliabilityBin, row) for row in (values or {})["reliability"]]
            gains = {k: from_known_keys(Gain, row) for k, row in (values or {})["gains"].items()}
            found = from_known_keys(cls, values or {})
            float(found.calibration_error), list(map(float, found.temperatures))
            return dataclasses.replace(found, reliability=rows, gains=gains)
        except (KeyError, TypeError, AttributeError, ValueError):
            return None


def details(
    head: "Head", labels: np.ndarray, logits: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """The Calibration of a head's logits, by its name, as plain JSON; {} for a head without temperatures.

    Args:
        head: Head of the model that is judged.
        labels: int[N], or uint8[N, C] for several labels per row.
        logits: float32[N, L], the outputs of the core.
        seed: of the bootstrap.
    """
    if not head.temperatures:
        return {}
    before = stated(head.without_temperatures(), labels, logits)
    after = stated(head, labels, logits)
    total = len(before.probabilities)

    def means(totals: np.ndarray) -> dict[str, np.ndarray]:
        gaps = np.abs(totals[1:]).sum(axis=0)
        return {"loss": totals[0] / len(labels), "calibration_error": gaps / total}

    found = bootstrap.differences([after.sums(), before.sums()], means, seed=seed)
    bins = reliability.reliability_bins(before.probabilities, before.is_true)
    measured = Calibration(
        list(head.temperatures), before.error, float(before.losses.mean()), bins, found.gains
    )
    return {DETAILS: dataclasses.asdict(measured)}


def stated(head: "Head", labels: np.ndarray, logits: np.ndarray) -> Stated:
    """What a head states for logits of labelled rows; see `details` for the arguments."""
    scores = np.asarray(head.scores(logits), np.float64)
    if head.target == label_kinds.CLASS:
        is_right = scores.argmax(axis=1) == labels
        return Stated(scores.max(axis=1), is_right, bootstrap.example_losses(labels, scores), 1)
    losses = label_metrics.losses_of(labels, scores)
    return Stated(scores.ravel(), np.ravel(labels) > 0, losses, scores.shape[1])
