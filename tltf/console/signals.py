"""SIGTERM and SIGINT: the first stops a command in order, the second at once.

Outside of a `defer_signals` block the first raises KeyboardInterrupt, which no `except Exception` and no
`except ValueError` takes for an error of its own. Inside, it is only noted, for the training step
that asks `requested()`. Python runs signal handlers between its own instructions, so a long call
into C++ would hold them up: a thread that the signal itself wakes ends the process after GRACE_S,
whatever the main thread does, so that it is over within ten seconds. All files are then as after a
kill: whole or not there.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

GRACE_S = 9.0
EXIT_CODE = 75
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _State:
    """What the handlers and the code that asks share."""

    def __init__(self) -> None:
        self.is_requested = self.is_deferring = False


_state = _State()


def is_end_requested() -> bool:
    """Whether a signal has asked for an end."""
    return _state.is_requested


def stop_when_requested(items: Any) -> Iterator[Any]:
    """Gives the items one by one; where a signal was noted it raises KeyboardInterrupt in between."""
    for item in items:
        if is_end_requested():
            raise KeyboardInterrupt
        yield item


@contextlib.contextmanager
def defer_signals() -> Iterator[Any]:
    """A block in which a signal is noted instead of raised; the block must ask `requested()`.

    One that came too late to be asked for is raised at the end.
    """
    before, _state.is_deferring = _state.is_deferring, True
    try:
        yield
    finally:
        _state.is_deferring = before
    if _state.is_requested and not before:
        raise KeyboardInterrupt


@contextlib.contextmanager
def handle_signals() -> Iterator[Any]:
    """A block in which SIGTERM and SIGINT do what this module says; the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.is_requested = _state.is_deferring = False
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    ended = threading.Event()
    before = {number: signal.signal(number, _handle) for number in SIGNALS}
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, ended), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        _state.is_requested = False
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        watch.join()
        os.close(reader)


def _handle(number: int, frame: Any) -> None:
    if not _state.is_requested:
        _state.is_requested = True
        if not _state.is_deferring:
            raise KeyboardInterrupt


def _watch(reader: int, ended: Any) -> None:
    """Reads the numbers of signals as they come, until the pipe is closed."""
    is_first = True
    while content := os.read(reader, 1):
        if content[0] not in SIGNALS:
            continue
        if not is_first:
            os._exit(EXIT_CODE)
        threading.Thread(target=_end_later, args=(ended,), daemon=True).start()
        is_first = False


def _end_later(ended: Any) -> None:
    if not ended.wait(GRACE_S):
        line = f"tltf: error[{EXIT_CODE}] interrupted, and busy for {GRACE_S:g} s; fix: run the same command again"
        print(line, file=sys.stderr, flush=True)
        os._exit(EXIT_CODE)
