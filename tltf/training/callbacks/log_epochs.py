"""What watches a fit: the console, metrics.jsonl and TensorBoard."""

import importlib.util
import pathlib
import time
from typing import Any, Protocol

import keras

from tltf.config import call_strings


class EpochLog(Protocol):
    """Takes the numbers of epochs, as `metrics_log.MetricsLog` does."""

    def write(self, row: dict[str, Any]) -> None:
        """Takes an epoch's row."""


class NoLog:
    """Stands in for MetricsLog where no run folder is kept."""

    def write(self, row: dict[str, Any]) -> None:
        """Forgets the row."""

    def close(self) -> None:
        """Has nothing to close."""


class LogEpochs(keras.callbacks.Callback):
    """Writes an epoch's numbers to `log` and keeps them in `rows`.

    A row: phase, epoch (1 is the first of its phase), step (updates so far, all phases on the
    same optimizer), learning_rate, seconds, then every metric of Keras under its own name.

    Args:
        log: EpochLog.
        phase: name of the phase.
        rows: list to which the rows are added; None begins one.
    """

    def __init__(self, log: EpochLog, phase: str, rows: list[dict[str, Any]] | None = None) -> None:
        super().__init__()
        self.log, self.phase = log, phase
        self.rows: list[dict[str, Any]] = [] if rows is None else rows
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the epoch's clock."""
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
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


def tensorboard(folder: pathlib.Path | str) -> keras.callbacks.Callback:
    """Keras's TensorBoard callback writing to `folder`.

    Raises:
        FlagError: the package tensorboard, extra `tracking`, is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise call_strings.missing_extra(ModuleNotFoundError(name="tensorboard"), "tracking")
    return keras.callbacks.TensorBoard(str(folder), write_graph=False, profile_batch=0)
