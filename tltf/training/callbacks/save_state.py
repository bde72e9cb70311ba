"""Saves checkpoints in the course of a fit."""

import time
from collections.abc import Callable

import keras

from tltf.console import signals
from tltf.training.fit_state import Place


class SaveState(keras.callbacks.Callback):
    """Saves at the end of each epoch, after all other callbacks, and within epochs.

    It saves within an epoch where the interval has passed, and where a signal has asked for the end:
    then it raises KeyboardInterrupt. After the last step it saves before the epoch is judged.

    Args:
        save: (Place) -> None.
        start: Place from which the phase goes on.
        interval_s: seconds between two checkpoints within an epoch; 0 saves at the end of epochs
            only.
    """

    def __init__(self, save: Callable[[Place], None], start: Place, interval_s: float) -> None:
        super().__init__()
        self.save, self.start, self.interval_s = save, start, interval_s
        self._epoch = self._before = 0
        self._saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes how much of the epoch was done before."""
        self._epoch = epoch
        self._before = self.start.steps if epoch == self.start.epochs else 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Saves where the interval has passed or a signal has come.

        After the last step the interval does not count: the epoch itself is about to be saved.
        """
        is_last = batch + 1 >= self.params["steps"]
        is_due = 0 < self.interval_s < time.monotonic() - self._saved
        if (is_due and not is_last) or signals.is_end_requested():
            self._save(Place(self._epoch, self._before + batch + 1))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the epoch."""
        self._save(Place(epoch + 1))

    def _save(self, place: Place) -> None:
        self.save(place)
        self._saved = time.monotonic()
        if signals.is_end_requested():
            raise KeyboardInterrupt
