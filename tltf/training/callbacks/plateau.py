"""A learning rate that falls where the loss no longer does."""

import math
from collections.abc import Mapping

import keras

STATE = ("best", "wait", "cooldown_counter")
"""The attributes of the callback that a resumed run goes on with."""


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Keras's ReduceLROnPlateau, which can go on from the state of an interrupted fit.

    Keras resets the state when a fit begins; this one goes on from `restored`. Keras takes a NaN in
    the first epoch as the best loss, which no loss is below; this one never does.
    """

    restored: Mapping[str, float] | None = None
    has_begun = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Takes the state over, once."""
        if self.has_begun:  # the rest of an interrupted epoch is a fit of its own
            return
        self.has_begun = True
        super().on_train_begin(logs)
        for name, value in (self.restored or {}).items():
            setattr(self, name, value)

    def _is_improvement(self, monitor_value: float, reference_value: float | None) -> bool:
        is_better = super()._is_improvement(monitor_value, reference_value)
        return math.isfinite(monitor_value) and is_better

    def state(self) -> dict[str, float]:
        """The values of STATE; those that are not known before the first epoch has ended are left out."""
        values = {name: getattr(self, name) for name in STATE}
        return {name: float(value) for name, value in values.items() if value is not None}


def plateau(has_validation: bool, state: Mapping[str, float] | None = None) -> Plateau:
    """The callback that takes a fifth of the rate after two epochs without a better loss.

    Args:
        has_validation: whether there is a val_loss to watch; otherwise the training loss is watched.
        state: values of STATE to go on from.
    """
    monitor = "val_loss" if has_validation else "loss"
    callback = Plateau(monitor=monitor, factor=0.2, patience=2)
    callback.restored = state
    return callback
