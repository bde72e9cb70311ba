"""What libraries say on standard error: Python's warnings in one line, decoders' complaints not at all."""

import contextlib
import io
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from tltf.errors import printable

DECODERS = re.compile(
    rb"Corrupt JPEG data: |Premature end of JPEG file|Invalid SOS parameters for sequential JPEG"
    rb"|Warning: unknown JFIF revision number|Inconsistent progression sequence for component"
    rb"|Unknown Adobe color transform code"
)
"""How the lines begin that libjpeg writes; the scan has looked at the files by its own means."""
LAST_LINES_S = 1.0


@contextlib.contextmanager
def one_line_warnings() -> Iterator[Any]:
    """A block in which a Python warning prints as `tltf: warning: what`, without a place in a source."""
    before = warnings.formatwarning
    warnings.formatwarning = _line
    try:
        yield
    finally:
        warnings.formatwarning = before


def _line(message: Any, category: Any, filename: Any, lineno: Any, line: Any = None) -> Any:
    return f"tltf: warning: {printable(str(message))}\n"


@contextlib.contextmanager
def without_decoders() -> Iterator[Any]:
    """A block in which the lines of DECODERS do not come to standard error.

    They are written to descriptor 2 by C code, which knows no Python stream. So that descriptor is a
    pipe in the block, and a thread passes on what is no such line. Python's own standard error goes
    past it: no line of ours is held up, or lost when the process ends at once.
    """
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    own, past = sys.stderr, _Descriptor(kept)
    reader, writer = os.pipe()
    sys.stderr = _like(own, past)
    os.dup2(writer, 2)
    os.close(writer)
    passing = threading.Thread(target=_pass_on, args=(reader, kept), daemon=True)
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
    """Writes to `descriptor`, which may change: loggers keep the stream that was there at first."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor

    def writable(self) -> Any:
        return True

    def write(self, content: Any) -> Any:
        return os.write(self.descriptor, content)

    def fileno(self) -> Any:
        return self.descriptor

    def isatty(self) -> Any:
        return os.isatty(self.descriptor)


def _like(stream: Any, raw: _Descriptor) -> Any:
    """A text stream on `raw` in place of one on descriptor 2; of another one, that one."""
    try:
        stream.flush()
        if stream.fileno() != 2:
            return stream
    except (AttributeError, OSError, ValueError):
        return stream
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors,
                            line_buffering=True, write_through=stream.write_through)  # fmt: skip


def _pass_on(reader: int, kept: int) -> None:
    """Copies lines from a pipe until it is closed; it is read on where nobody takes them."""
    with open(reader, "rb") as lines, open(kept, "wb", buffering=0) as taken:
        for line in lines:
            if not DECODERS.match(line):
                with contextlib.suppress(OSError):
                    taken.write(line)
