"""One row of progress per epoch, and the time of the first step."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

import keras

from tltf.console import lines
from tltf.console.progress import Progress, seconds_text
from tltf.training.callbacks.keep_best import KeepBest
from tltf.training.callbacks.stop_when_learned import EPOCHS, StopWhenLearned


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
    """A table of the epochs, in which a row appears when its epoch ends.

    On a terminal the epoch that is in progress has a bar below the table. Rows have at most 80
    columns.

    Args:
        phase: name of the phase.
        num_examples: number of examples in one epoch.
        batch_size: examples per step, over all devices together.
        num_epochs: number of epochs of the phase.
        best: KeepBest of the phase, which is called before; None without validation.
        num_epochs_after: epochs of the phases that come after this one.
        learned: StopWhenLearned of the phase, which is called before; None without it.
        file: the stream to write to; None for standard error.
        clock: gives the time in seconds; tests have their own.
    """

    def __init__(
        self,
        phase: str,
        num_examples: int,
        batch_size: int,
        num_epochs: int,
        *,
        best: KeepBest | None = None,
        num_epochs_after: int = 0,
        learned: StopWhenLearned | None = None,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.phase, self.num_examples, self.batch_size = phase, num_examples, batch_size
        self.num_epochs, self.num_epochs_after, self.best = num_epochs, num_epochs_after, best
        self.file, self._clock, self.learned = file, clock, learned
        self._progress: Progress
        self._logs: Mapping[str, float] = {}
        self._epoch, self._start, self._seconds = 0, 0.0, list[float]()
        self._first: tuple[float, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Opens the epoch's bar."""
        what = f"epoch {epoch + 1}/{self.num_epochs}"
        self._epoch, self._logs, self._start = epoch, {}, self._clock()
        self._progress = Progress(
            what, self.num_examples, file=self.file, stays=False, left=self._left_now
        )

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Moves the bar; numbers are fetched from the device only when it is redrawn."""
        self._logs = logs or {}
        done = min((batch + 1) * self.batch_size, self.num_examples)
        self._first = self._first or (self._clock() - self._start, done)
        self._progress.add(done - self._progress.done, self._note)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Clears the bar and writes the row of the epoch; the first one has a header."""
        self._progress.close()
        seconds = self._clock() - self._start
        columns = self._columns(epoch, logs or {}, seconds)
        self._seconds.append(seconds)
        if len(self._seconds) == 1:
            mark = "; * is the best on validation so far" if self.best else ""
            count = f"{self.num_epochs} epoch{'s' * (self.num_epochs > 1)}"
            self._print(f"{self.phase}: {count} of {self.num_examples:,} examples{mark}")
            self._print("  ".join(title.rjust(width) for title, _, width in columns))
        self._print("  ".join(text.rjust(width) for _, text, width in columns))
        if self.learned and self.learned.has_ended:
            self._print(
                f"{self.phase}: ends after epoch {epoch + 1}, as the training rows are learned: "
                f"{EPOCHS} epochs with a loss below {self.learned.limit:.2g}"
            )

    def _columns(
        self, epoch: int, logs: Mapping[str, float], seconds: float
    ) -> list[tuple[str, str, int]]:
        """`(title, text, width)` of each column of a row."""
        is_watched = any(name.startswith("test_") for name in logs)
        is_best = bool(
            self.best and self.best.state["epoch"] == epoch + 1 and self.best.state["waited"] == 0
        )
        num = self.num_epochs
        columns = [
            ("epoch", f"{epoch + 1}/{num}", max(5, len(f"{num}/{num}"))),
            ("train loss", _number_text("loss", logs.get("loss")), 10),
        ]
        if "val_loss" in logs:
            columns.append(("val loss", _number_text("loss", logs["val_loss"]), 8))
        for name in (name for name in logs if name.startswith(("val_", "test_"))):
            if name.endswith("_loss"):
                continue
            title, text = (
                _title(name, num_words=1 if is_watched else 2),
                _number_text(name, logs[name]),
            )
            if self.best and name.startswith("val_"):
                title, text = f"{title}  ", f"{text} {'*' if is_best else ' '}"
            columns.append((title, text, len(title)))
        if not is_watched:
            columns.append(("time", duration_text(seconds), 10))
        return [*columns, ("left", self._left_text(epoch, seconds), 10)]

    def _left_text(self, epoch: int, seconds: float) -> str:
        """The time that this phase and later ones still take, at the pace of a middle epoch.

        The first step, which builds the graph, is left out of the pace of the first epoch.
        """
        num_left = self.num_epochs - epoch - 1 + self.num_epochs_after
        if not num_left:
            return "-"
        if not self._seconds and self._first and self._first[1] < self.num_examples:
            first_s, done = self._first
            seconds = (seconds - first_s) * self.num_examples / (self.num_examples - done)
        return duration_text(num_left * self._middle([*self._seconds[1:], seconds]))

    def _left_now(self) -> str:
        """The same time in the middle of an epoch, from the steps that it has done; may be empty."""
        done, whole = self._progress.done, self.num_examples
        rate = self._progress.rate
        first_s, before = self._first or (0.0, 0)
        if not rate or done <= before or self._clock() - self._start <= first_s:
            return ""
        seconds = self._middle([*self._seconds[1:], whole / rate])
        num_left = self.num_epochs - self._epoch - 1 + self.num_epochs_after
        return f"{duration_text(seconds * (num_left + (whole - done) / whole))} left in all"

    @staticmethod
    def _middle(seconds: Sequence[float]) -> float:
        return sorted(seconds)[len(seconds) // 2]

    def _note(self) -> str:
        """The training loss so far."""
        loss = self._logs.get("loss")
        return "" if loss is None else f"loss {_number_text('loss', loss)}"

    def _print(self, line: str) -> None:
        lines.write(line, self.file)


def duration_text(seconds: float) -> str:
    """A duration in at most 10 letters, such as `12 s`, `3 min 20 s`, `45 min` or `12 h`."""
    minutes = round(seconds / 60)
    if minutes < 10:
        return seconds_text(seconds)
    if minutes < 600:
        return seconds_text(60 * minutes)
    return f"{round(minutes / 60)} h"


def _title(name: str, num_words: int) -> str:
    """`val absolute error` of `val_mean_absolute_error`: the role and the last words of a metric."""
    role, *words = name.split("_")
    return " ".join([role, *words[-num_words:]])


def _number_text(name: str, value: float | None) -> str:
    """Accuracies in percent, losses with four digits behind the point, others with four digits."""
    if value is None:
        return "-"
    value = float(value)
    if name.endswith("accuracy"):
        return f"{value:.1%}"
    if name == "loss":
        return f"{value:.4f}" if abs(value) < 1000 else f"{value:.3g}"
    return f"{value:.4g}"
