"""Lines on standard error while a command works: a name, then a text, at most 80 columns wide."""

import contextlib
import dataclasses
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TextIO

NAME = 10
"""Letters of the name of a line."""
TEXT = 68
"""Letters of the text behind the name and a space."""


@dataclasses.dataclass
class _State:
    """How lines are written now.

    Args:
        is_quiet: whether they are left out.
        indent: what stands before each.
    """

    is_quiet: bool = False
    indent: str = ""


_state = _State()


@contextlib.contextmanager
def quiet(is_quiet: bool = True) -> Iterator[None]:
    """A block without lines and bars of progress; with False it changes nothing."""
    before = _state.is_quiet
    _state.is_quiet = before or is_quiet
    try:
        yield
    finally:
        _state.is_quiet = before


@contextlib.contextmanager
def indented(indent: str = "  ") -> Iterator[None]:
    """A block whose lines are part of a larger step."""
    before = _state.indent
    _state.indent = before + indent
    try:
        yield
    finally:
        _state.indent = before


def is_quiet() -> bool:
    """Whether lines are left out."""
    return _state.is_quiet


def wrap(name: str, text: str) -> list[str]:
    """The lines of a text behind its name; none for an empty text."""
    parts = textwrap.wrap(text, TEXT, break_long_words=False, break_on_hyphens=False)
    return [f"{'' if place else name:<{NAME}} {part}" for place, part in enumerate(parts)]


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are as wide as their longest cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def say(name: str, text: str) -> None:
    """Writes a named line."""
    for line in wrap(name, text):
        write(line)


def write(line: str, file: TextIO | None = None) -> None:
    """Writes a line as it is, behind the indent; to standard error where no stream is given."""
    if not _state.is_quiet:
        print(f"{_state.indent}{line}".rstrip(), file=file or sys.stderr, flush=True)


def amount_text(amount: int) -> str:
    """A number of weights such as `770`, `1,155`, `147K`, `22.6M` or `1.2B`."""
    for least, unit in ((1_000_000_000, "B"), (1_000_000, "M")):
        if amount >= least:
            return f"{amount / least:.1f}{unit}"
    return f"{amount:,}" if amount < 10_000 else f"{round(amount / 1000):,}K"


def bytes_text(amount: float) -> str:
    """A size such as `12 KB`, `84 MB` or `1.3 GB`."""
    if amount < 1e6:
        return f"{max(round(amount / 1e3), 1)} KB"
    return f"{amount / 1e6:,.0f} MB" if amount < 1e9 else f"{amount / 1e9:,.1f} GB"
