"""A rate that falls where the validation loss stays."""

import math
from collections.abc import Mapping

import keras

STATE = ("best", "wait", "cooldown_counter")
"""The attributes of the callback that a resumed run goes on with."""


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Keras resets its state when a fit begins; this one goes on from `restored`.

    Keras takes a NaN in the first epoch as the best, which nothing falls below; this one never does.
    """

    restored: Mapping[str, float] | None = None
    has_begun = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Takes the state up, once."""
        if self.has_begun:  # an epoch that was interrupted is a fit of its own
            return
        self.has_begun = True
        super().on_train_begin(logs)
        for name, value in (self.restored or {}).items():
            setattr(self, name, value)

    def _is_improvement(self, monitor_value: float, reference_value: float | None) -> bool:
        is_better = super()._is_improvement(monitor_value, reference_value)
        return math.isfinite(monitor_value) and is_better

    def state(self) -> dict[str, float]:
        """The values of STATE, without those that are not known before the first epoch has ended."""
        values = {name: getattr(self, name) for name in STATE}
        return {name: float(value) for name, value in values.items() if value is not None}


def plateau(has_validation: bool, state: Mapping[str, float] | None = None) -> Plateau:
    """ReduceLROnPlateau: a fifth of the rate after two epochs without a better loss.

    Args:
        has_validation: whether val_loss is there to watch; else the training loss is.
        state: values of STATE to go on from.
    """
    monitor = "val_loss" if has_validation else "loss"
    callback = Plateau(monitor=monitor, factor=0.2, patience=2)
    callback.restored = state
    return callback
