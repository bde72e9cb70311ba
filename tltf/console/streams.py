"""Standard output and error that outlive their reader, and what the console cannot spell."""

import codecs
import contextlib
import errno
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

LOG = "console.log"
LOSSLESS, BLOCK = "tltf.escaped", "\u2588"
_GONE = (errno.EPIPE, errno.EIO)
"""What a write gets whose pipe has no reader; whose terminal has hung up."""


def _escaped(error: Any) -> Any:
    """Of a character that a console's encoding lacks: bars become #, the rest its number."""
    text = error.object[error.start : error.end]
    if text == BLOCK * len(text):
        return "#" * len(text), error.end
    return codecs.backslashreplace_errors(error)


codecs.register_error(LOSSLESS, _escaped)


@contextlib.contextmanager
def encodable() -> Iterator[Any]:
    """A block that prints what the console's encoding lacks in another spelling, in place of failing."""
    streams = [stream for stream in (sys.stdout, sys.stderr)
               if getattr(stream, "errors", "") in ("strict", "surrogateescape")
               and hasattr(stream, "reconfigure")]  # fmt: skip
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors=LOSSLESS)
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            with contextlib.suppress(OSError):  # nobody reads what it holds
                stream.reconfigure(errors=errors)


@contextlib.contextmanager
def survive_closed_output(folder: pathlib.Path | str) -> Iterator[Any]:
    """A block that prints on when nobody reads: into `folder`/console.log from then on.

    The first write that fails puts that file in the place of the broken descriptor, so what
    libraries and child processes write comes there too. SIGHUP is ignored.

    Args:
        folder: of the log; while it does not exist, or where it is "", the rest goes nowhere.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams = [_Stream(stream, folder) for stream in before]
    is_main = threading.current_thread() is threading.main_thread()
    has_hangup = is_main and hasattr(signal, "SIGHUP")
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN) if has_hangup else None
    try:
        yield
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before
        if has_hangup:
            signal.signal(signal.SIGHUP, handler)


class _Stream:
    """A text stream whose descriptor is replaced when a write to it fails."""

    def __init__(self, stream: Any, folder: pathlib.Path | str) -> None:
        self._stream, self._folder = stream, folder

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return getattr(self._stream, name)

    def write(self, text: str) -> Any:
        """Writes a text; returns its length."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._replace(error)
            if self._stream.write_through:  # it holds nothing back
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what is held back."""
        try:
            self._stream.flush()
        except OSError as error:
            self._replace(error)

    def _replace(self, error: Any) -> None:
        """Leads the descriptor into the log, and what the stream still holds with it."""
        if error.errno not in _GONE:
            raise error
        handle = _opened(self._folder)
        os.dup2(handle, self._stream.fileno())
        os.close(handle)
        self._stream.flush()


def _opened(folder: Any) -> int:
    if folder and os.path.isdir(folder):
        with contextlib.suppress(OSError):
            path = pathlib.Path(folder) / LOG
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    return os.open(os.devnull, os.O_WRONLY)
