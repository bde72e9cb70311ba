"""One line of progress for each epoch, and the time of the first step."""

import time
from collections.abc import Callable
from typing import Any

import keras

from tltf.console.progress import Progress, seconds_text


class NoteFirstStep(keras.callbacks.Callback):
    """Calls `note()` when the first step of a fit, or the steps that run together, has ended.

    Args:
        note: () -> None.
    """

    def __init__(self, note: Callable[..., Any]) -> None:
        super().__init__()
        self._note: Callable[..., Any] | None = note

    def on_train_batch_end(self, batch: Any, logs: Any = None) -> None:
        """Notes once."""
        if self._note:
            self._note()
            self._note = None


class ShowProgress(keras.callbacks.Callback):
    """One bar an epoch on a terminal, else one line an epoch.

    Args:
        phase: name of the phase.
        num_examples: of one epoch.
        batch_size: the global batch.
        num_epochs: of the phase.
        file: the stream; standard error where None.
    """

    def __init__(
        self, phase: str, num_examples: int, batch_size: Any, num_epochs: int, *, file: Any = None
    ) -> None:
        super().__init__()
        self.phase, self.num_examples, self.batch_size = phase, num_examples, batch_size
        self.num_epochs, self.file = num_epochs, file
        self._progress: Any = None
        self._logs: dict[str, Any] = {}
        self._start, self._seconds = 0.0, list[float]()

    def on_epoch_begin(self, epoch: Any, logs: Any = None) -> None:
        """Opens the epoch's bar."""
        what = f"{self.phase}, epoch {epoch + 1}/{self.num_epochs}"
        self._progress, self._logs = Progress(what, self.num_examples, file=self.file), {}
        self._start = time.monotonic()

    def on_train_batch_end(self, batch: Any, logs: Any = None) -> None:
        """Moves the bar; numbers are fetched from the device only when it is redrawn."""
        self._logs = logs or {}
        done = min((batch + 1) * self.batch_size, self.num_examples)
        self._progress.add(done - self._progress.done, self._note)

    def on_epoch_end(self, epoch: Any, logs: Any = None) -> None:
        """Closes the bar with the epoch's metrics and the phase's remaining time."""
        self._logs = logs or {}
        self._seconds.append(time.monotonic() - self._start)
        left = (self.num_epochs - epoch - 1) * sorted(self._seconds)[len(self._seconds) // 2]
        note = self._note() + (f", about {seconds_text(left)} left" if left > 0 else "")
        self._progress.close(note)

    def _note(self) -> Any:
        shown = {name: float(value) for name, value in self._logs.items()}
        return ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
