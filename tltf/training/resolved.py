"""Options whose `auto` has been replaced by a value."""

from typing import TypeVar

Number = TypeVar("Number", int, float)


def resolved(value: Number | None) -> Number:
    """The value of an option after `config.defaults.resolve`.

    Raises:
        ValueError: it is still None, which stands for `auto`.
    """
    if value is None:
        raise ValueError("an option is still `auto`: config.defaults.resolve has not seen it")
    return value
