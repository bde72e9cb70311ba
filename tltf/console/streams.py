"""Standard output and error that outlive their reader, and that print characters of any encoding."""

import codecs
import contextlib
import errno
import io
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, cast

LOG = "console.log"
LOSSLESS, BLOCK = "tltf.escaped", "\u2588"
_GONE = (errno.EPIPE, errno.EIO)
"""The errors of a write whose pipe has no reader, and of one whose terminal has hung up."""


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces characters that the console's encoding lacks: bars by #, others by their numbers."""
    if isinstance(error, UnicodeEncodeError):
        text = error.object[error.start : error.end]
        if text == BLOCK * len(text):
            return "#" * len(text), error.end
    return codecs.backslashreplace_errors(error)


codecs.register_error(LOSSLESS, _escape)


@contextlib.contextmanager
def escape_unencodable() -> Iterator[None]:
    """A block that escapes characters which the console's encoding lacks, where it would fail."""
    streams: list[Any] = [  # of any class with `reconfigure`
        stream
        for stream in (sys.stdout, sys.stderr)
        if getattr(stream, "errors", "") in ("strict", "surrogateescape")
        and hasattr(stream, "reconfigure")
    ]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors=LOSSLESS)
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            with contextlib.suppress(OSError):  # where nobody reads what it holds
                stream.reconfigure(errors=errors)


@contextlib.contextmanager
def survive_closed_output(folder: pathlib.Path | str) -> Iterator[None]:
    """A block that goes on when nobody reads its output, which then goes to `folder`/console.log.

    The first write that fails puts that file in the place of the broken descriptor, so that it also
    gets what libraries and child processes write. SIGHUP is ignored.

    Args:
        folder: the folder of the log; while it does not exist, or where it is "", the output is
            dropped.
    """
    before = sys.stdout, sys.stderr
    streams = [_Stream(cast(io.TextIOWrapper, stream), folder) for stream in before]
    sys.stdout, sys.stderr = streams
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

    def __init__(self, stream: io.TextIOWrapper, folder: pathlib.Path | str) -> None:
        self._stream, self._folder = stream, folder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text; returns its length."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._replace(error)
            if self._stream.write_through:  # it holds nothing back
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what the stream has held back."""
        try:
            self._stream.flush()
        except OSError as error:
            self._replace(error)

    def _replace(self, error: OSError) -> None:
        """Makes the descriptor that of the log, which also gets what the stream still holds."""
        if error.errno not in _GONE:
            raise error
        handle = _open_log(self._folder)
        os.dup2(handle, self._stream.fileno())
        os.close(handle)
        self._stream.flush()


def _open_log(folder: pathlib.Path | str) -> int:
    """The descriptor of the log in a folder; that of the null device where there is no folder."""
    if folder and os.path.isdir(folder):
        with contextlib.suppress(OSError):
            path = pathlib.Path(folder) / LOG
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    return os.open(os.devnull, os.O_WRONLY)
