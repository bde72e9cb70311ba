"""A rate that falls where the validation loss stays."""

import math
from typing import Any

import keras


def plateau(has_validation: bool, state: Any = None) -> "_Plateau":
    """ReduceLROnPlateau: a fifth of the rate after two epochs without a better loss.

    Args:
        has_validation: whether val_loss is there to watch; else the training loss is.
        state: values of PLATEAU_STATE to go on from.
    """
    monitor = "val_loss" if has_validation else "loss"
    callback = _Plateau(monitor=monitor, factor=0.2, patience=2)
    callback.restored = state
    return callback


class _Plateau(keras.callbacks.ReduceLROnPlateau):
    """Keras resets its state when a fit begins; this one goes on from `restored`.

    Keras takes a NaN in the first epoch as the best, which nothing falls below; this one never.
    """

    restored: dict | None = None
    has_begun = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.has_begun:  # an epoch that was interrupted is a fit of its own
            return
        self.has_begun = True
        super().on_train_begin(logs)
        for name, value in (self.restored or {}).items():
            setattr(self, name, value)

    def _is_improvement(self, monitor_value: float, reference_value: float | None) -> Any:
        is_better = super()._is_improvement(monitor_value, reference_value)
        return math.isfinite(monitor_value) and is_better
