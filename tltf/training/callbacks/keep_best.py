"""Keeps the weights of the best epoch, and ends a training that no longer improves."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TypedDict

import keras
import numpy as np

from tltf.heads.classify import Classify
from tltf.heads.head import Head


class BestEpoch(TypedDict):
    """The best epoch of a phase so far, and how long ago it was.

    Keys:
        quality: the head's metric on validation, see `quality_of`; -inf where no epoch was finite.
        loss: the validation loss; inf where no epoch was finite.
        epoch: number of the epoch in the phase; 1 is the first, 0 stands for the start.
        waited: number of epochs since then.
    """

    quality: float
    loss: float
    epoch: int
    waited: int


@dataclasses.dataclass(frozen=True)
class ChosenBy:
    """What epochs are judged by, where it is not the metric of the head.

    Args:
        metric: its name in the logs, behind `val_`.
        lower_is_better: whether it is an error.
    """

    metric: str
    lower_is_better: bool = False


def quality_of(head: Head | type[Head] | ChosenBy, value: float) -> float:
    """The value of a metric as a number that is larger where the head is better."""
    return -value if head.lower_is_better else value


def best_epoch(quality: float = -math.inf, loss: float = math.inf, epoch: int = 0) -> BestEpoch:
    """The BestEpoch of an epoch that has just ended; values that are not finite count as no epoch."""
    if not np.isfinite([quality, loss]).all():
        quality, loss = -math.inf, math.inf
    return {"quality": quality, "loss": loss, "epoch": epoch, "waited": 0}


class KeepBest(keras.callbacks.Callback):
    """Holds the weights of the epoch with the best validation metric; the loss decides ties.

    A value that is not finite is never the best.

    Args:
        read_weights: () -> dict of arrays.
        patience_epochs: the training stops after this many epochs without a better one; 0 never stops
            it.
        state: `state` of an earlier instance, to go on from.
        weights: the best weights of that instance.
        head: Head that names the metric, or a ChosenBy.
    """

    def __init__(
        self,
        read_weights: Callable[[], dict[str, np.ndarray]],
        patience_epochs: int = 0,
        state: BestEpoch | None = None,
        weights: dict[str, np.ndarray] | None = None,
        head: Head | type[Head] | ChosenBy = Classify,
    ) -> None:
        super().__init__()
        self.read_weights, self.patience_epochs = read_weights, patience_epochs
        self.head = head
        self.state = state.copy() if state else best_epoch()
        self.weights = weights or {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Compares the epoch with the best so far."""
        numbers = logs or {}
        loss = numbers["val_loss"]
        value = quality_of(self.head, numbers[f"val_{self.head.metric}"])
        better = (value, -loss) > (self.state["quality"], -self.state["loss"])
        if better and np.isfinite([loss, value]).all():
            self.state = best_epoch(value, loss, epoch + 1)
            self.weights = self.read_weights()
            return
        self.state["waited"] += 1
        if self.patience_epochs and self.state["waited"] >= self.patience_epochs:
            self.model.stop_training = True
