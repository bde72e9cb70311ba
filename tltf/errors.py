"""What goes wrong, each kind with the exit code that a command ends with.

An error prints as one line: `tltf: error[CODE] <file>:<row> --flag: what; fix: hint`.
"""

import difflib
import pathlib
import unicodedata
from collections.abc import Collection
from typing import Any

_ESCAPED = ("Cc", "Zl", "Zp")
"""Categories of characters that break a line or steer a terminal."""


class TltfError(ValueError):
    """A fault of the input, the configuration or the machine; never of tltf itself.

    Args:
        what: the fact, with what was received and what is allowed, nearest first.
        flag: the flag's name without dashes, where one is to blame.
        place: the file, or `file:row`, where one is to blame.
        fix: what to do, best as a flag.
    """

    code = 70
    scan: Any = None
    """The ScanCounts of the data until then, with all its faults, for data_report.jsonl; None without."""

    def __init__(
        self, what: str, *, flag: str = "", place: pathlib.Path | str = "", fix: str = ""
    ) -> None:
        super().__init__(what)
        self.what, self.flag, self.place, self.fix = what, flag, str(place), fix

    def __str__(self) -> str:
        where = " ".join(filter(None, [printable(self.place), self.flag and f"--{self.flag}"]))
        line = f"tltf: error[{self.code}] " + (f"{where}: " if where else "") + printable(self.what)
        return line + (f"; fix: {printable(self.fix)}" if self.fix else "")


class FlagError(TltfError):
    """A flag or a configuration that cannot be used."""

    code = 2


class DataError(TltfError):
    """Examples, labels or splits that cannot be used."""

    code = 3


class ModelError(TltfError):
    """A model, weights or a checkpoint that is refused."""

    code = 4


class ShapeError(ModelError):
    """Tensors whose shapes do not fit together."""


class StorageError(TltfError):
    """A file system, a download or a device that failed."""

    code = 5


class NumericError(TltfError):
    """A loss or a gradient that is not finite."""

    code = 6


def printable(text: str) -> Any:
    """`text` on one line: line breaks, control characters and what is not UTF-8 are escaped."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        repr(character)[1:-1] if _must_be_escaped(character) else character for character in safe
    )


def shown_names(names: tuple[str, ...], most: int = 6) -> str:
    """The first names on one line, so that folders that are not classes are seen."""
    more = f", ... {names[-1]}" if len(names) > most else ""
    return printable(", ".join(names[:most]) + more)


def _must_be_escaped(character: str) -> bool:
    return character != "\t" and unicodedata.category(character) in _ESCAPED


LIKE = 0.85
"""Share of the letters that a suggestion has in common; tests/config/habits_test.py measures it."""
DESTROYING = ("overwrite",)
"""What is never suggested: a slip of the fingers must not cost a finished run."""


def nearest(name: str, choices: Collection[str], limit: int = 3) -> list[str]:
    """Up to `limit` of `choices` that are a slip of the fingers from `name`, the likeliest first.

    Letters that are swapped, one that is another, or LIKE in common. Empty where none is as near as
    that: a wrong suggestion is worse than none.
    """
    lowered = {_spelled(choice): str(choice) for choice in choices if str(choice) not in DESTROYING}
    typed = _spelled(name)
    close = difflib.get_close_matches(typed, lowered, n=limit, cutoff=LIKE)
    slips = [key for key in lowered if sorted(key) == sorted(typed) or _is_one_off(key, typed)]
    return [lowered[match] for match in list(dict.fromkeys([*slips, *close]))[:limit]]


def _is_one_off(a: str, b: str) -> bool:
    """Whether words of one length, of four letters and more, differ in one letter."""
    return len(a) == len(b) >= 4 and sum(x != y for x, y in zip(a, b, strict=True)) == 1


def _spelled(name: str) -> str:
    return str(name).lower().replace("-", "_")


def choices_text(name: Any, choices: Collection[str], limit: int = 12) -> str:
    """`choices` as a list for an error, the likest to `name` first and the rest in order."""
    lowered = {_spelled(choice): choice for choice in choices}
    like = difflib.get_close_matches(_spelled(name), lowered, n=3, cutoff=0.4)
    first = [lowered[key] for key in like]
    ordered = first + [choice for choice in choices if choice not in first]
    return ", ".join(ordered[:limit]) + (", ..." if len(ordered) > limit else "")
