"""One line of progress per epoch, and the time of the first step."""

import time
from collections.abc import Callable, Mapping
from typing import TextIO

import keras

from tltf.console.progress import Progress, seconds_text


class NoteFirstStep(keras.callbacks.Callback):
    """Calls `note()` when the first step of a fit, or the first steps that run together, has ended.

    Args:
        note: () -> None.
    """

    def __init__(self, note: Callable[[], None]) -> None:
        super().__init__()
        self._note: Callable[[], None] | None = note

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Calls `note` the first time."""
        if self._note:
            self._note()
            self._note = None


class ShowProgress(keras.callbacks.Callback):
    """One bar per epoch on a terminal, otherwise one line per epoch.

    Args:
        phase: name of the phase.
        num_examples: number of examples in one epoch.
        batch_size: examples per step, over all devices together.
        num_epochs: number of epochs of the phase.
        file: the stream to write to; None for standard error.
    """

    def __init__(
        self,
        phase: str,
        num_examples: int,
        batch_size: int,
        num_epochs: int,
        *,
        file: TextIO | None = None,
    ) -> None:
        super().__init__()
        self.phase, self.num_examples, self.batch_size = phase, num_examples, batch_size
        self.num_epochs, self.file = num_epochs, file
        self._progress: Progress
        self._logs: Mapping[str, float] = {}
        self._start, self._seconds = 0.0, list[float]()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Opens the epoch's bar."""
        what = f"{self.phase}, epoch {epoch + 1}/{self.num_epochs}"
        self._progress, self._logs = Progress(what, self.num_examples, file=self.file), {}
        self._start = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Moves the bar; numbers are fetched from the device only when it is redrawn."""
        self._logs = logs or {}
        done = min((batch + 1) * self.batch_size, self.num_examples)
        self._progress.add(done - self._progress.done, self._note)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Closes the bar with the metrics of the epoch and the remaining time of the phase."""
        self._logs = logs or {}
        self._seconds.append(time.monotonic() - self._start)
        left = (self.num_epochs - epoch - 1) * sorted(self._seconds)[len(self._seconds) // 2]
        note = self._note() + (f", about {seconds_text(left)} left" if left > 0 else "")
        self._progress.close(note)

    def _note(self) -> str:
        """The metrics in words."""
        shown = {name: float(value) for name, value in self._logs.items()}
        return ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
