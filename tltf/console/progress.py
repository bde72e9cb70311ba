"""The progress of a long step on standard error: a bar on a terminal, else single lines."""

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

import tqdm

from tltf.console import lines

LINES_EVERY_S = 30.0
SHOWN_AFTER_S = 2.0
"""`after_s` of steps that are mostly over at once."""
COLUMNS = 80
"""Width of a terminal that reports none, as those of containers and of `script` may."""
BAR_OF_A_PART = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
"""The bar of a step whose own remaining time is not shown."""
Note = str | Callable[[], str]
"""A text, or a function that gives one when it is shown."""


class Progress:
    """The progress of a step that counts something: its rate, its remaining time and a note.

    On a terminal it is one bar that is drawn again at most ten times per second; elsewhere it is a
    line when the step ends, and one every LINES_EVERY_S seconds of a longer step. It is used in a
    `with` statement.

    Args:
        what: the step, as it is shown.
        total: the count at its end; None where it is unknown.
        unit: what is counted, in the plural.
        file: the stream; standard error where None.
        after_s: seconds; a shorter step shows nothing.
        left: gives the time that is left of a larger step, in words, which is shown in place of that
            of this one.
        stays: whether the bar stays when the step ends, and without a terminal the last line is
            written.
        clock: gives the time in seconds; tests have their own.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        unit: str = "examples",
        *,
        file: TextIO | None = None,
        after_s: float = 0.0,
        stays: bool = True,
        left: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.total, self.unit, self.after_s = what, total, unit, after_s
        self.file, self.stays, self.left = file or sys.stderr, stays, left
        self.done = 0
        self.note: Note = ""
        self._clock = clock
        self._start = self._shown = self._last = clock()
        self._first: tuple[float, int] | None = None
        self._is_shown = not lines.is_quiet()
        self._bar = self._new_bar() if self._is_shown and self.file.isatty() else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(is_complete=kind is None)

    def add(self, count: int, note: Note = "") -> None:
        """Counts `count` more; the note is shown behind the numbers."""
        self.done += count
        self.note = note or self.note
        self._last = self._clock()
        self._first = self._first or (self._last, self.done)
        if self._bar is not None:
            if self._bar.update(count):
                self._bar.set_postfix_str(self._note_text())
        elif self._is_shown and self._last - self._shown >= LINES_EVERY_S:
            self._shown = self._last
            self._line(self.remaining_text())

    def close(self, note: Note = "", is_complete: bool = True) -> None:
        """Ends the step with a last note; without a terminal this writes its line."""
        self.note = note or self.note
        if self._bar is not None:
            self._bar.set_postfix_str(_text(self.note), refresh=False)
            self._bar.close()
            self._bar = None
            return
        seconds = self._clock() - self._start
        if self._is_shown and is_complete and self.stays and seconds >= self.after_s:
            self._line(seconds_text(seconds))

    @property
    def rate(self) -> float:
        """Counts per second up to the latest count, without the first, which builds graphs.

        It is 0 before any time has passed.
        """
        start, before = self._first or (self._start, 0)
        if self._last <= start or self.done <= before:
            start, before = self._start, 0
        elapsed = self._last - start
        return (self.done - before) / elapsed if elapsed > 0 else 0.0

    def remaining_text(self) -> str:
        """A text such as `about 2 min left`; empty at the end, and where nothing is known of it."""
        if self.left:
            return self.left()
        if not self.total or not self.rate or self.done >= self.total:
            return ""
        return f"about {seconds_text((self.total - self.done) / self.rate)} left"

    def _note_text(self) -> str:
        """The note behind a bar, which does not show the time of a larger step by itself."""
        return ", ".join(filter(None, [_text(self.note), self.left() if self.left else ""]))

    def _line(self, last: str) -> None:
        of = f"{self.done:,}" + (f" of {self.total:,}" if self.total else "")
        parts = [f"{of} {self.unit}", f"{self.rate:,.0f} {self.unit}/s", _text(self.note), last]
        print(f"{self.what}: {', '.join(filter(None, parts))}", file=self.file, flush=True)

    def _new_bar(self) -> tqdm.tqdm:
        return tqdm.tqdm(
            total=self.total,
            desc=self.what,
            unit=f" {self.unit}",
            file=self.file,
            leave=self.stays,
            ncols=None if _has_width(self.file) else COLUMNS,
            dynamic_ncols=_has_width(self.file),
            mininterval=0.1,
            smoothing=0.1,
            delay=self.after_s,
            bar_format=BAR_OF_A_PART if self.left else None,
        )


def _has_width(file: TextIO) -> bool:
    """Whether tqdm can measure the terminal of a stream; a width of 0 would hide its bar."""
    try:
        return os.get_terminal_size(file.fileno()).columns > 0
    except (OSError, ValueError):
        return True


def seconds_text(seconds: float) -> str:
    """A duration such as `0.4 s`, `12 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {seconds} s" if seconds else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")


def _text(note: Note) -> str:
    return note() if callable(note) else note
