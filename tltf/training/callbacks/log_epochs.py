"""What watches a fit: the console, metrics.jsonl and TensorBoard."""

import importlib.util
import time

import keras

from tltf.config import call_strings
from tltf.console.progress import Progress, seconds_text


class LogEpochs(keras.callbacks.Callback):
    """Writes an epoch's numbers to `log` and keeps them in `rows`.

    A row: phase, epoch (1 is the first of its phase), step (updates so far, all phases on the
    same optimizer), learning_rate, seconds, then every metric of Keras under its own name.

    Args:
        log: a `metrics_log.MetricsLog`, or anything with `write(dict)`.
        phase: name of the phase.
    """

    def __init__(self, log, phase):
        super().__init__()
        self.log, self.phase, self.rows = log, phase, []
        self._start = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's clock."""
        self._start = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Writes the row, validation included."""
        optimizer = self.model.optimizer
        row = {
            "phase": self.phase,
            "epoch": epoch + 1,
            "step": int(optimizer.iterations.numpy()),
            "learning_rate": float(keras.ops.convert_to_tensor(optimizer.learning_rate).numpy()),
            "seconds": time.monotonic() - self._start,
        }
        row |= {name: float(value) for name, value in (logs or {}).items() if name not in row}
        self.rows.append(row)
        self.log.write(row)


class NoteFirstStep(keras.callbacks.Callback):
    """Calls `note()` when the first step of a fit, or the steps that run together, has ended.

    Args:
        note: () -> None.
    """

    def __init__(self, note):
        super().__init__()
        self._note = note

    def on_train_batch_end(self, batch, logs=None):
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

    def __init__(self, phase, num_examples, batch_size, num_epochs, *, file=None):
        super().__init__()
        self.phase, self.num_examples, self.batch_size = phase, num_examples, batch_size
        self.num_epochs, self.file = num_epochs, file
        self._progress, self._logs, self._start, self._seconds = None, {}, 0.0, []

    def on_epoch_begin(self, epoch, logs=None):
        """Opens the epoch's bar."""
        what = f"{self.phase}, epoch {epoch + 1}/{self.num_epochs}"
        self._progress, self._logs = Progress(what, self.num_examples, file=self.file), {}
        self._start = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar; numbers are fetched from the device only when it is redrawn."""
        self._logs = logs or {}
        done = min((batch + 1) * self.batch_size, self.num_examples)
        self._progress.add(done - self._progress.done, self._note)

    def on_epoch_end(self, epoch, logs=None):
        """Closes the bar with the epoch's metrics and the phase's remaining time."""
        self._logs = logs or {}
        self._seconds.append(time.monotonic() - self._start)
        left = (self.num_epochs - epoch - 1) * sorted(self._seconds)[len(self._seconds) // 2]
        note = self._note() + (f", about {seconds_text(left)} left" if left > 0 else "")
        self._progress.close(note)

    def _note(self):
        shown = {name: float(value) for name, value in self._logs.items()}
        return ", ".join(f"{name} {value:.4g}" for name, value in shown.items())


def tensorboard(folder):
    """Keras's TensorBoard callback writing to `folder`.

    Raises:
        FlagError: the package tensorboard, extra `tracking`, is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise call_strings.missing_extra(ModuleNotFoundError(name="tensorboard"), "tracking")
    return keras.callbacks.TensorBoard(str(folder), write_graph=False, profile_batch=0)
