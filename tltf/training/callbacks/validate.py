"""Validation that is exact over all examples."""

from collections.abc import Callable
from typing import Any

import keras


class Validate(keras.callbacks.Callback):
    """Adds a split's loss and the head's metric, exact over all its examples, to an epoch's logs.

    Keras's own validation averages over batches of padded replicas; this one sums.

    Args:
        measure: () -> (loss, metric).
        prefix: of the names in the logs.
        metric: its name.
        broken_off: (epoch) -> None, called before a KeyboardInterrupt of `measure` goes on.
    """

    def __init__(
        self,
        measure: Callable[[], tuple[float, float]],
        prefix: str = "val",
        metric: str = "accuracy",
        broken_off: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.measure, self.prefix, self.metric = measure, prefix, metric
        self.broken_off = broken_off

    def on_epoch_end(self, epoch: Any, logs: Any = None) -> None:
        """Measures."""
        try:
            loss, value = self.measure()
        except KeyboardInterrupt:
            if self.broken_off:
                self.broken_off(epoch)
            raise
        logs[f"{self.prefix}_loss"], logs[f"{self.prefix}_{self.metric}"] = loss, value
