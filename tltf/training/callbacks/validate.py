"""Validation that is exact over all examples."""

from collections.abc import Callable

import keras


class Validate(keras.callbacks.Callback):
    """Adds a split's loss and the head's metric, exact over all its examples, to an epoch's logs.

    Keras's own validation averages over batches of padded replicas; this one sums.

    Args:
        measure: () -> (loss, metric).
        prefix: of the names in the logs.
        metric: name of the metric.
        on_interrupt: (epoch) -> None, called before a KeyboardInterrupt of `measure` goes on.
    """

    def __init__(
        self,
        measure: Callable[[], tuple[float, float]],
        prefix: str = "val",
        metric: str = "accuracy",
        on_interrupt: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        self.measure, self.prefix, self.metric = measure, prefix, metric
        self.on_interrupt = on_interrupt

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measures."""
        try:
            loss, value = self.measure()
        except KeyboardInterrupt:
            if self.on_interrupt:
                self.on_interrupt(epoch)
            raise
        if logs is not None:
            logs[f"{self.prefix}_loss"], logs[f"{self.prefix}_{self.metric}"] = loss, value
