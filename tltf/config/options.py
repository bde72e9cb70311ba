"""The options of a run, and how options of any command are made, changed and listed by flag.

An options dataclass is a group of flags, or a group of such groups (see `option_groups`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar, cast, overload

from tltf.config import habits
from tltf.config.flag_fields import Flag, FlagValue, check
from tltf.config.option_groups import (
    CacheOptions,
    DataOptions,
    ModelOptions,
    OutputOptions,
    RuntimeOptions,
)
from tltf.config.train_options import TrainOptions
from tltf.errors import FlagError, choices_text


@dataclasses.dataclass(frozen=True)
class Options:
    """All flags of a training run."""

    data: DataOptions = dataclasses.field(default_factory=DataOptions)
    model: ModelOptions = dataclasses.field(default_factory=ModelOptions)
    train: TrainOptions = dataclasses.field(default_factory=TrainOptions)
    runtime: RuntimeOptions = dataclasses.field(default_factory=RuntimeOptions)
    cache: CacheOptions = dataclasses.field(default_factory=CacheOptions)
    output: OutputOptions = dataclasses.field(default_factory=OutputOptions)


class OptionsGroup(Protocol):
    """Any options dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


AnyOptions = TypeVar("AnyOptions", bound=OptionsGroup)


def flags_of(kind: type[OptionsGroup]) -> dict[str, Flag]:
    """Name -> Flag for each flag of an options dataclass."""
    flags: dict[str, Flag] = {}
    for field in dataclasses.fields(kind):
        if "flag" in field.metadata:
            flags[field.name] = field.metadata["flag"]
        else:
            flags |= flags_of(_group_of(field))
    return flags


@overload
def make(**values: FlagValue) -> Options: ...


@overload
def make(kind: type[AnyOptions], /, **values: FlagValue) -> AnyOptions: ...


def make(kind: type = Options, /, **values: FlagValue) -> object:
    """Options from flag names and values; the same checks as on the command line.

    Raises:
        FlagError: an unknown name, or a value of the wrong type or out of bounds.
    """
    flags = flags_of(kind)
    for name, value in values.items():
        if name not in flags:
            raise _unknown_flag(name, value, flags)
        check(name, value, flags[name])
    return _assemble(kind, values)


def _unknown_flag(name: str, value: FlagValue, flags: Mapping[str, Flag]) -> FlagError:
    """The FlagError for a keyword that is not a flag, with the one that is meant as Python writes it."""
    what = f"there is no flag {name!r} (choices: {choices_text(name, flags)})"
    text = None if value is None else str(value)
    advice = habits.flag(name, text, list(flags))
    if advice is None:
        return FlagError(what, flag=name)
    meant: FlagValue = value if advice.text == text else advice.text
    fix = advice.sentence or f"{advice.flag}={'...' if meant is None else repr(meant)}"
    return FlagError(what, flag=name, fix=fix)


def replace(options: AnyOptions, **values: FlagValue) -> AnyOptions:
    """A copy of `options` with other values, named by flag."""
    return make(type(options), **{**flag_values(options), **values})


def run_options(options: Options) -> Options:
    """The options of a run alone, of a command that has more flags than a run."""
    values = flag_values(options)
    return make(**{name: values[name] for name in flags_of(Options)})


def flag_values(options: OptionsGroup) -> dict[str, FlagValue]:
    """Flag name -> value."""
    result: dict[str, FlagValue] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        result.update({field.name: value} if "flag" in field.metadata else flag_values(value))
    return result


def _assemble(kind: type[AnyOptions], values: Mapping[str, FlagValue]) -> AnyOptions:
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if "flag" not in field.metadata:
            arguments[field.name] = _assemble(_group_of(field), values)
        elif field.name in values:
            value = values[field.name]
            kind_of_value = field.metadata["flag"].kind
            arguments[field.name] = value if value is None else kind_of_value(value)
    return kind(**arguments)


def _group_of(field: dataclasses.Field[Any]) -> type[OptionsGroup]:
    """The options dataclass that a field without a flag holds."""
    return cast(type[OptionsGroup], field.default_factory)
