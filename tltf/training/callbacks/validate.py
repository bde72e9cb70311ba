"""Validation between epochs, exact over all examples."""

from collections.abc import Callable

import keras


class Validate(keras.callbacks.Callback):
    """Adds a split's loss and the head's metric, exact over all its examples, to an epoch's logs.

    Keras's own validation averages over batches of padded replicas; this one sums.

    Args:
        measure: () -> (loss, metric).
        prefix: what the names in the logs begin with.
        metric: name of the metric.
        on_interrupt: (epoch) -> None, called where KeyboardInterrupt breaks `measure` off, before the
            error is raised again.
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
        """Measures, and adds the loss and the metric to `logs`."""
        try:
            loss, value = self.measure()
        except KeyboardInterrupt:
            if self.on_interrupt:
                self.on_interrupt(epoch)
            raise
        if logs is not None:
            logs[f"{self.prefix}_loss"], logs[f"{self.prefix}_{self.metric}"] = loss, value
