"""Rates and remaining times against a clock that the test turns."""

import io
import os
import pty
import termios

import pytest

from tltf.console.progress import Progress, seconds_text


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_one_line_at_the_end_without_a_terminal():
    clock, file = Clock(), io.StringIO()
    with Progress("scan", 300, "files", file=file, clock=clock) as progress:
        for _ in range(3):
            clock.now += 2
            progress.add(100, lambda: "2 skipped")
        clock.now += 4
    assert file.getvalue() == "scan: 300 of 300 files, 50 files/s, 2 skipped, 10 s\n"


@pytest.mark.parametrize(("took_s", "lines"), [(1.9, 0), (2.1, 1)])
def test_a_step_that_is_over_at_once_shows_nothing(took_s, lines):
    clock, file = Clock(), io.StringIO()
    with Progress("read", 3, file=file, after_s=2.0, clock=clock) as progress:
        progress.add(3)
        clock.now += took_s
    assert file.getvalue().count("\n") == lines


def test_a_bar_waits_too():
    file = Terminal()
    with Progress("read", 3, file=file, after_s=60) as progress:
        for _ in range(3):
            progress.add(1)
    assert "read" not in file.getvalue()


def test_a_long_step_says_now_and_then_what_remains():
    clock, file = Clock(), io.StringIO()
    progress = Progress("features", 1000, file=file, clock=clock)
    clock.now = 10
    progress.add(100)
    assert file.getvalue() == ""
    clock.now = 40
    progress.add(300)
    assert file.getvalue() == ("features: 400 of 1,000 examples, 10 examples/s, about 1 min left\n")


def test_a_failed_step_writes_no_last_line():
    file = io.StringIO()
    with pytest.raises(KeyError), Progress("scan", 10, file=file):
        raise KeyError
    assert file.getvalue() == ""


def test_unknown_total_has_no_remaining_time():
    clock = Clock()
    progress = Progress("read", file=io.StringIO(), clock=clock)
    clock.now = 1
    progress.add(5)
    assert progress.remaining_text() == ""
    assert progress.rate == 5


def test_terminal_gets_a_bar_with_its_note():
    file = Terminal()
    with Progress("scan", 10, "files", file=file) as progress:
        progress.add(10)
        progress.note = "loss 0.5"
    shown = file.getvalue()
    assert "scan: 100%" in shown
    assert "10/10" in shown
    assert "loss 0.5" in shown


def test_a_step_that_does_not_stay_leaves_nothing():
    file, terminal = io.StringIO(), Terminal()
    with Progress("epoch", 10, file=file, stays=False) as progress:
        progress.add(10)
    assert file.getvalue() == ""
    with Progress("epoch", 10, file=terminal, stays=False) as progress:
        progress.add(10)
    assert terminal.getvalue().rsplit("\r", 2)[1].strip() == ""


@pytest.mark.parametrize(("columns", "longest"), [(0, 80), (50, 50), (120, 120)])
def test_the_bar_fits_the_terminal_and_one_without_a_width_has_80(columns, longest):
    """A terminal as the system makes it, with the width that a container or `script` sets."""
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, columns))
    with os.fdopen(writer, "w") as file, Progress("epoch 1/2", 10, file=file) as progress:
        progress.add(5, "loss 0.5")
        file.flush()
        shown = os.read(reader, 10_000).decode()
    os.close(reader)
    lines = [part.strip("\n") for part in shown.split("\r")]
    assert any("50%" in line for line in lines) or "epoch 1/2" in shown
    assert max(map(len, lines)) in (longest, longest - 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (9.99, "10.0 s"),
        (59.4, "59 s"),
        (59.9, "1 min"),
        (200, "3 min 20 s"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_seconds_read_like_a_clock(seconds, text):
    assert seconds_text(seconds) == text
