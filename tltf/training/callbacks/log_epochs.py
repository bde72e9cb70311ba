"""Writes the numbers of each epoch of a fit to metrics.jsonl and to what else keeps them."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import keras

from tltf.training.callbacks.stop_when_learned import StopWhenLearned


class EpochLog(Protocol):
    """A log of epochs, such as `metrics_log.MetricsLog`."""

    def write(self, row: dict[str, Any]) -> None:
        """Adds the row of an epoch."""

    def close(self) -> None:
        """Ends the log."""


class EveryLog:
    """A log that hands each row to several logs, in their order.

    Args:
        logs: the logs; () for one that keeps nothing, where there is no run folder.
    """

    def __init__(self, logs: Sequence[EpochLog] = ()) -> None:
        self.logs = tuple(logs)

    def write(self, row: dict[str, Any]) -> None:
        """Adds the row of an epoch to each log."""
        for log in self.logs:
            log.write(row)

    def close(self) -> None:
        """Ends each log."""
        for log in self.logs:
            log.close()


class LogEpochs(keras.callbacks.Callback):
    """Writes an epoch's numbers to `log` and keeps them in `rows`.

    A row has phase, epoch (1 is the first of its phase), step (the number of updates so far by the
    optimizer of the phase), learning_rate, seconds, then every metric of Keras under its own name. Where
    no epoch of the phase can be kept but the last, `is_passed` is true; where the phase ends as its rows are
    learned, `is_learned` is.

    Args:
        log: EpochLog.
        phase: name of the phase.
        rows: the list to which the rows are added; None begins one.
        is_passed: whether the phase is one on the way to another, which alone is judged.
        learned: StopWhenLearned of the phase, which is called before; None without it.
    """

    def __init__(
        self,
        log: EpochLog,
        phase: str,
        rows: list[dict[str, Any]] | None = None,
        is_passed: bool = False,
        learned: StopWhenLearned | None = None,
    ) -> None:
        super().__init__()
        self.log, self.phase, self.is_passed, self.learned = log, phase, is_passed, learned
        self.rows: list[dict[str, Any]] = [] if rows is None else rows
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the epoch's clock."""
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the row of the epoch, with what validation has added to `logs`."""
        optimizer = self.model.optimizer
        row = {
            "phase": self.phase,
            "epoch": epoch + 1,
            "step": int(optimizer.iterations.numpy()),
            "learning_rate": float(keras.ops.convert_to_tensor(optimizer.learning_rate).numpy()),
            "seconds": time.monotonic() - self._start,
        }
        row |= {name: float(value) for name, value in (logs or {}).items() if name not in row}
        if self.is_passed:
            row["is_passed"] = True
        if self.learned and self.learned.has_ended:
            row["is_learned"] = True
        self.rows.append(row)
        self.log.write(row)
