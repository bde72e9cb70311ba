"""Checkpoints in the course of a fit."""

import time
from collections.abc import Callable

import keras

from tltf.console import signals
from tltf.training.fit_state import Place


class SaveState(keras.callbacks.Callback):
    """Saves at the end of each epoch, after all other callbacks, and in between.

    In between: where so much time has passed, and where a signal has asked for an end, which
    then comes as KeyboardInterrupt; after the last step before the epoch is judged.

    Args:
        save: (Place) -> None.
        begun: Place from which the phase goes on.
        interval_s: seconds; 0 saves at the end of epochs only.
    """

    def __init__(self, save: Callable[[Place], None], begun: Place, interval_s: float) -> None:
        super().__init__()
        self.save, self.begun, self.interval_s = save, begun, interval_s
        self._epoch = self._before = 0
        self._saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes how much of the epoch was done before."""
        self._epoch = epoch
        self._before = self.begun.steps if epoch == self.begun.epochs else 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Saves if it is time; if only the time says so, the last step leaves it to the epoch."""
        is_last = batch + 1 >= self.params["steps"]
        is_due = 0 < self.interval_s < time.monotonic() - self._saved
        if (is_due and not is_last) or signals.is_end_requested():
            self._save(Place(self._epoch, self._before + batch + 1))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves."""
        self._save(Place(epoch + 1))

    def _save(self, place: Place) -> None:
        self.save(place)
        self._saved = time.monotonic()
        if signals.is_end_requested():
            raise KeyboardInterrupt
