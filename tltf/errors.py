"""The kinds of errors, each with the exit code of a command that fails by it.

An error prints as one line: `tltf: error[CODE] <file>:<row> --flag: what; fix: hint`. The classes below
have the codes 2 to 7; 70 is a bug in tltf, 75 an interruption, after which the same command goes on, and
ALARM is no error.
"""

import difflib
import pathlib
import unicodedata
from collections.abc import Collection
from typing import Any

ALARM = 10
"""The exit code of tltf.monitor where an alarm rings: the watch worked, and somebody should look."""
_ESCAPED = ("Cc", "Zl", "Zp")
"""Unicode categories of the characters that break a line or control a terminal."""


class TltfError(ValueError):
    """A fault of the input, the configuration or the machine, never of tltf itself.

    Args:
        what: the fault, with what was received and what is allowed, the most similar first.
        flag: the name, without dashes, of the flag that is at fault; empty for none.
        place: the file, or `file:row`, that is at fault; empty for none.
        fix: what the user can do, as a flag where that is possible.
    """

    code = 70
    scan: Any = None
    """The counts of the scan up to this error, with all faults: a `data.source.ScanCounts`.

    They are written to data_report.jsonl; None where no data was being read. This module imports
    nothing of tltf, so the attribute has no narrower type.
    """

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
    """A failure of a file system, a download or a device."""

    code = 5


class NotPublishedError(TltfError):
    """An update of a run that is not good enough to take its place."""

    code = 7


class NumericError(TltfError):
    """A loss or a gradient that is not finite."""

    code = 6


def printable(text: str) -> str:
    """`text` on one line, with escapes for line breaks, control characters and what is not UTF-8."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        repr(character)[1:-1] if _must_be_escaped(character) else character for character in safe
    )


def shown_names(names: tuple[str, ...], most: int = 6) -> str:
    """The first `most` names and the last one, on one line."""
    more = f", ... {names[-1]}" if len(names) > most else ""
    return printable(", ".join(names[:most]) + more)


def _must_be_escaped(character: str) -> bool:
    return character != "\t" and unicodedata.category(character) in _ESCAPED


LEAST_SIMILARITY = 0.85
"""Least similarity (`difflib` ratio, 0..1) of a suggestion; tests/config/habits_test.py measures it."""
NEVER_SUGGESTED = ("overwrite",)
"""Names that are not suggested, since a typing error must not cost a finished run."""


def nearest(name: str, choices: Collection[str], limit: int = 3) -> list[str]:
    """Up to `limit` of the `choices` that `name` may be a typing error of, the likeliest first.

    Such a choice has the same letters in another order, one other letter, or a similarity of at
    least LEAST_SIMILARITY; of equally similar ones the first of `choices` comes first. The list is
    empty where no choice is that near, since a wrong suggestion is worse than none.
    """
    lowered = {
        _normalize(choice): str(choice) for choice in choices if str(choice) not in NEVER_SUGGESTED
    }
    typed = _normalize(name)
    near = difflib.get_close_matches(typed, lowered, n=len(lowered) or 1, cutoff=LEAST_SIMILARITY)
    close = sorted(
        (key for key in lowered if key in near),
        key=lambda key: -difflib.SequenceMatcher(None, key, typed).ratio(),
    )
    slips = [key for key in lowered if sorted(key) == sorted(typed) or _is_one_off(key, typed)]
    return [lowered[match] for match in list(dict.fromkeys([*slips, *close]))[:limit]]


def _is_one_off(a: str, b: str) -> bool:
    """Whether two words of the same length, four letters or more, differ in exactly one letter."""
    return len(a) == len(b) >= 4 and sum(x != y for x, y in zip(a, b, strict=True)) == 1


def _normalize(name: object) -> str:
    return str(name).lower().replace("-", "_")


def choices_text(name: object, choices: Collection[str], limit: int = 12) -> str:
    """`choices` as a list for an error message: the most similar to `name` first, the rest in order."""
    lowered = {_normalize(choice): choice for choice in choices}
    like = difflib.get_close_matches(_normalize(name), lowered, n=3, cutoff=0.4)
    first = [lowered[key] for key in like]
    ordered = first + [choice for choice in choices if choice not in first]
    return ", ".join(ordered[:limit]) + (", ..." if len(ordered) > limit else "")
