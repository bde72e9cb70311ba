"""A learning rate that rises in the first steps, and falls where the loss no longer does."""

import math
from collections.abc import Mapping

import keras

from tltf.training.optimizers.learning_rates import Rise

STATE = ("best", "wait", "cooldown_counter")
"""The attributes of the callback that a resumed run goes on with."""


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Keras's ReduceLROnPlateau after a rise, which can go on from the state of an interrupted fit.

    Keras resets the state when a fit begins; this one goes on from `restored`. Keras takes a NaN in
    the first epoch as the best loss, which no loss is below; this one never does. Epochs that end within the rise
    are not watched. With several steps in one call of the device all have the rate of its first step.
    """

    restored: Mapping[str, float] | None = None
    has_begun = False
    rise = Rise(0.0, 0)
    has_risen = False
    num_steps_done = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Takes the state over, once."""
        if not self.has_risen:
            self._count_steps()
        if self.has_begun:  # the rest of an interrupted epoch is a fit of its own
            return
        self.has_begun = True
        super().on_train_begin(logs)
        for name, value in (self.restored or {}).items():
            setattr(self, name, value)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Sets the rate of the next step while it rises."""
        if not self.has_risen:
            rate = self.rise.peak * (self.num_steps_done + 1) / self.rise.num_steps
            self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Sets the peak once the rise is over, which one call of the device with many steps may pass.

        Afterwards nothing is read from the device.
        """
        if not self.has_risen:
            self._count_steps()
            if self.has_risen:
                self.model.optimizer.learning_rate = self.rise.peak

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Watches the loss, once the rate has risen."""
        if self.has_risen:
            super().on_epoch_end(epoch, logs)
        elif logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)

    def _count_steps(self) -> None:
        self.num_steps_done = int(self.model.optimizer.iterations.numpy())
        self.has_risen = self.num_steps_done >= self.rise.num_steps

    def _is_improvement(self, monitor_value: float, reference_value: float | None) -> bool:
        is_better = super()._is_improvement(monitor_value, reference_value)
        return math.isfinite(monitor_value) and is_better

    def state(self) -> dict[str, float]:
        """The values of STATE; those that are not known before the first epoch has ended are left out."""
        values = {name: getattr(self, name) for name in STATE}
        return {name: float(value) for name, value in values.items() if value is not None}


def plateau(has_validation: bool, rise: Rise, state: Mapping[str, float] | None = None) -> Plateau:
    """The callback that takes a fifth of the rate after two epochs without a better loss.

    Args:
        has_validation: whether there is a val_loss to watch; otherwise the training loss is watched.
        rise: of the rate before that.
        state: values of STATE to go on from.
    """
    monitor = "val_loss" if has_validation else "loss"
    callback = Plateau(monitor=monitor, factor=0.2, patience=2)
    callback.rise, callback.restored = rise, state
    callback.has_risen = not rise.num_steps
    return callback
