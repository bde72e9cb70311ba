"""A flag as a field of an options dataclass: its default, bounds and help, and the text of its values."""

import dataclasses
import math
from typing import TypeVar

from tltf.config import habits
from tltf.errors import FlagError, choices_text

FlagValue = bool | float | str | None
"""What a flag can hold; None is written `auto`."""
Value = TypeVar("Value", bound=FlagValue)
MOST_SHOWN = 80
"""Letters of a value that an error shows, such as those of a whole table."""
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclasses.dataclass(frozen=True)
class Flag:
    """What is known of a flag beside its name.

    Args:
        default: the value where the flag is not given; None is `auto`.
        help: what it does, as --help prints it.
        kind: the type of its values, a key of KINDS.
        choices: the values that it takes; () where it takes any.
        above: a number that values must exceed; None for no such bound.
        least: the smallest value.
        most: the largest value.
        below: a number that values must stay below.
        takes_rest: whether arguments without a name are values of this flag, joined with commas.
    """

    default: FlagValue
    help: str
    kind: type
    choices: tuple[str, ...] = ()
    above: float | None = None
    least: float | None = None
    most: float | None = None
    below: float | None = None
    takes_rest: bool = False


def flag(
    default: Value,
    help_text: str,
    *,
    kind: type | None = None,
    choices: tuple[str, ...] = (),
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    takes_rest: bool = False,
) -> Value:
    """A dataclass field that is also a flag of type `kind`; a default of None is `auto`."""
    described = Flag(
        default, help_text, kind or type(default), choices, above, least, most, below, takes_rest
    )
    return dataclasses.field(default=default, metadata={"flag": described})


def flag_text(value: FlagValue) -> str:
    """A flag's value as it is written in a flagfile."""
    if value is None:
        return "auto"
    return str(value).lower() if isinstance(value, bool) else str(value)


def check(name: str, value: FlagValue, flag: Flag) -> None:
    """Raises FlagError where a flag's value has another type or is out of bounds."""
    kind = flag.kind
    if value is None and flag.default is None:
        return
    if type(value) is not kind and not (kind is float and type(value) is int):
        shown = " ".join(repr(value).split())
        shown = shown if len(shown) <= MOST_SHOWN else f"{shown[: MOST_SHOWN - 4]} ..."
        fix = "tltf.fit takes data that a program holds" if name == "data" else ""
        raise FlagError(f"takes {KINDS[kind]} (received {shown})", flag=name, fix=fix)
    if flag.choices and value not in flag.choices:
        near = habits.choice(name, str(value), flag.choices) or flag_text(flag.default)
        raise FlagError(
            f"has no choice {value!r} (choices: {choices_text(value, flag.choices)})",
            flag=name,
            fix=f"--{name}={near}",
        )
    if isinstance(value, (int, float)) and kind is not bool:
        _check_number(name, value, flag)


def _check_number(name: str, value: float, flag: Flag) -> None:
    if not math.isfinite(value):
        raise FlagError(f"takes a finite number (received {value})", flag=name)
    bounds = [
        (">", flag.above, value.__gt__),
        (">=", flag.least, value.__ge__),
        ("<=", flag.most, value.__le__),
        ("<", flag.below, value.__lt__),
    ]
    for sign, bound, holds in bounds:
        if bound is not None and not holds(type(value)(bound)):
            raise FlagError(
                f"takes a number {sign} {bound} (received {value})",
                flag=name,
                fix=f"--{name}={flag_text(flag.default)}",
            )
