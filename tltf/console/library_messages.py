"""Messages of libraries on standard error: warnings take one line, and those of decoders are hidden."""

import contextlib
import io
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

from tltf.errors import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

DECODERS = re.compile(
    rb"Corrupt JPEG data: |Premature end of JPEG file|Invalid SOS parameters for sequential JPEG"
    rb"|Warning: unknown JFIF revision number|Inconsistent progression sequence for component"
    rb"|Unknown Adobe color transform code"
)
"""The beginnings of lines that libjpeg writes; the scan has checked the files by its own means."""
LAST_LINES_S = 1.0
"""Seconds that the last lines of a block have to be copied."""


@contextlib.contextmanager
def one_line_warnings() -> Iterator[None]:
    """A block in which a Python warning prints as `tltf: warning: TEXT`, without its place in the code."""
    before = warnings.formatwarning
    warnings.formatwarning = _warning_line
    try:
        yield
    finally:
        warnings.formatwarning = before


def _warning_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return f"tltf: warning: {printable(str(message))}\n"


@contextlib.contextmanager
def hide_decoder_messages() -> Iterator[None]:
    """A block in which the lines of DECODERS do not reach standard error.

    C code writes them to descriptor 2 and knows nothing of Python's streams. So in the block that
    descriptor is a pipe, and a thread passes on every other line. Python's own standard error does
    not go through the pipe, so that no line of ours is held up, or lost when the process ends at once.
    """
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    own, past = sys.stderr, _Descriptor(kept)
    reader, writer = os.pipe()
    sys.stderr = _redirect(own, past)
    os.dup2(writer, 2)
    os.close(writer)
    passing = threading.Thread(target=_copy_lines, args=(reader, kept), daemon=True)
    passing.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        sys.stderr, past.descriptor = own, 2
        os.dup2(kept, 2)
        passing.join(LAST_LINES_S)  # a child process may still hold the pipe


class _Descriptor(io.RawIOBase):
    """A raw stream to `descriptor`, which may change, since loggers keep the stream that they got."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, content: "ReadableBuffer") -> int:
        return os.write(self.descriptor, content)

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)


def _redirect(stream: TextIO, raw: _Descriptor) -> TextIO:
    """A text stream on `raw` in place of a stream on descriptor 2; any other stream as it is."""
    try:
        stream.flush()
        if stream.fileno() != 2:
            return stream
    except (AttributeError, OSError, ValueError):
        return stream
    replaced = cast(io.TextIOWrapper, stream)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        replaced.encoding,
        replaced.errors,
        line_buffering=True,
        write_through=replaced.write_through,
    )


def _copy_lines(reader: int, kept: int) -> None:
    """Copies lines from a pipe until it is closed, and reads on where nobody takes them."""
    with open(reader, "rb") as lines, open(kept, "wb", buffering=0) as taken:
        for line in lines:
            if not DECODERS.match(line):
                with contextlib.suppress(OSError):
                    taken.write(line)
