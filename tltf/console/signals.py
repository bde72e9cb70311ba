"""SIGTERM and SIGINT: the first signal stops a command in order, the second at once.

Outside of a `defer_signals` block the first signal raises KeyboardInterrupt, which neither
`except Exception` nor `except ValueError` catches. Inside of it the signal is only noted, for the
training step that asks `is_end_requested()`. Python runs signal handlers between its own
instructions, so a long call into C++ would delay them. Therefore a thread that the signal itself
wakes ends the process after GRACE_S seconds, whatever the main thread does, so that the process
ends within ten seconds. Its files are then as they are after a kill: whole or absent.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TypeVar

GRACE_S = 9.0
EXIT_CODE = 75
SIGNALS = (signal.SIGTERM, signal.SIGINT)


Item = TypeVar("Item")


class _State:
    """The state that the handlers and the code that asks share."""

    def __init__(self) -> None:
        self.is_requested = self.is_deferring = False


_state = _State()


def is_end_requested() -> bool:
    """Whether a signal has asked the command to end."""
    return _state.is_requested


def stop_when_requested(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items one by one, and raises KeyboardInterrupt between two where a signal was noted."""
    for item in items:
        if is_end_requested():
            raise KeyboardInterrupt
        yield item


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """A block in which a signal is noted instead of raised; the block must ask `is_end_requested()`.

    A signal that comes after the last time that it asked raises at the end of the block.
    """
    before, _state.is_deferring = _state.is_deferring, True
    try:
        yield
    finally:
        _state.is_deferring = before
    if _state.is_requested and not before:
        raise KeyboardInterrupt


@contextlib.contextmanager
def handle_signals() -> Iterator[None]:
    """A block in which SIGTERM and SIGINT do what this module says, if it runs in the main thread."""
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


def _handle(number: int, frame: FrameType | None) -> None:
    if not _state.is_requested:
        _state.is_requested = True
        if not _state.is_deferring:
            raise KeyboardInterrupt


def _watch(reader: int, ended: threading.Event) -> None:
    """Reads the numbers of signals as they come, until the pipe is closed."""
    is_first = True
    while content := os.read(reader, 1):
        if content[0] not in SIGNALS:
            continue
        if not is_first:
            os._exit(EXIT_CODE)
        threading.Thread(target=_end_later, args=(ended,), daemon=True).start()
        is_first = False


def _end_later(ended: threading.Event) -> None:
    if not ended.wait(GRACE_S):
        line = f"tltf: error[{EXIT_CODE}] interrupted, and busy for {GRACE_S:g} s; fix: run the same command again"
        print(line, file=sys.stderr, flush=True)
        os._exit(EXIT_CODE)
