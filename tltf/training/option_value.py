"""The values of options in which every `auto` has been replaced."""

from typing import TypeVar

Number = TypeVar("Number", int, float)


def value_of(option: Number | None) -> Number:
    """The value of an option after `config.defaults.resolve`.

    Raises:
        ValueError: the option is still None, which stands for `auto`.
    """
    if option is None:
        raise ValueError("an option is still `auto`: config.defaults.resolve has not seen it")
    return option
