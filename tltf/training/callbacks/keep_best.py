"""Callbacks of a fit that judge its epochs and keep what is worth it."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tltf.heads.classify import Classify


def quality(head: Any, value: float) -> Any:
    """The value of a head's metric as a number of which more is better."""
    return -value if head.lower_is_better else value


def best_state(
    quality: float = -math.inf, loss: float = math.inf, epoch: int = 0
) -> dict[str, float]:
    """The state of a `KeepBest` whose best so far is that; a value that is not finite is none."""
    if not np.isfinite([quality, loss]).all():
        quality, loss = -math.inf, math.inf
    return {"quality": quality, "loss": loss, "epoch": epoch, "waited": 0}


class KeepBest(keras.callbacks.Callback):
    """Holds the weights of the epoch with the best validation metric, loss deciding ties.

    A value that is not finite is never the best.

    Args:
        read_weights: () -> dict of arrays.
        patience_epochs: stops after so many epochs without a better one; 0 never stops.
        state: `state` of a former instance, to go on from.
        weights: its best weights.
        head: what names the metric.
    """

    def __init__(
        self,
        read_weights: Callable[..., Any],
        patience_epochs: int = 0,
        state: dict[str, float] | None = None,
        weights: dict[str, Any] | None = None,
        head: Any = Classify,
    ) -> None:
        super().__init__()
        self.read_weights, self.patience_epochs = read_weights, patience_epochs
        self.head = head
        self.state, self.weights = dict(state or best_state()), weights or {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compares the epoch with the best so far."""
        loss, value = logs["val_loss"], quality(self.head, logs[f"val_{self.head.metric}"])
        better = (value, -loss) > (self.state["quality"], -self.state["loss"])
        if better and np.isfinite([loss, value]).all():
            self.state = best_state(value, loss, epoch + 1)
            self.weights = self.read_weights()
            return
        self.state["waited"] += 1
        if self.patience_epochs and self.state["waited"] >= self.patience_epochs:
            self.model.stop_training = True


PLATEAU_STATE = ("best", "wait", "cooldown_counter")
