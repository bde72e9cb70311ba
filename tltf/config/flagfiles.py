"""Flags on the command line and in flagfiles, read with their origin, and written.

A flagfile has one `--name=value` per line. A line that starts with # is a comment; nothing
else is, since a value may hold # and quotes. `--flagfile=other.flags` pulls in another file, its
path relative to the file that names it. A later flag wins over an earlier one. `configs/NAME` is the
flagfile of tltf itself where there is no such file.
"""

import dataclasses
import os
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict, cast

from absl import flags as absl_flags

from tltf.config import habits, paths
from tltf.config.flag_fields import KINDS, Flag, FlagValue, check, flag_text
from tltf.config.options import AnyOptions, OptionsGroup, flag_values, flags_of, make
from tltf.errors import FlagError, choices_text, nearest
from tltf.files import atomic_files

SWITCHES = ("help", "helpfull", "debug")
POSITIONAL = ("run", "input", "data", "backbone", "output")
"""Flags that arguments without a name are taken for, in the order in which people write them."""
CONSOLE_FLAGS = (*SWITCHES, "list", "flagfile")
PACKAGE = pathlib.Path(__file__).resolve().parents[1]
CONFIGS = "configs"
"""The folder of tltf's own flagfiles: in the package where a wheel is installed, else beside it."""
MOST_CHOICES = 40
"""The number of flagfiles that an error lists; tltf has fewer of its own."""


@dataclasses.dataclass(frozen=True)
class WrittenFlag:
    """One flag as it was written: its name, its text (None without a `=`), and `file:line`.

    With `is_rest` it was written without its name, see `Flag.takes_rest`.
    """

    name: str
    text: str | None
    place: str
    is_rest: bool = False


class ConsoleFlags(TypedDict, total=False):
    """Those flags of the console that the arguments have."""

    help: bool
    helpfull: bool
    debug: bool
    list: str


def parse(kind: type[AnyOptions], argv: Sequence[str]) -> tuple[AnyOptions, ConsoleFlags]:
    """`(options, console)` from command-line arguments.

    Args:
        kind: an options dataclass.
        argv: arguments without the program's name.

    Raises:
        FlagError: a flag that cannot be read; nothing has been imported or opened but flagfiles.
    """
    flags = flags_of(kind)
    values: dict[str, FlagValue] = {}
    console = ConsoleFlags()
    for written in read(argv, flags):
        if written.name == "list":
            console["list"] = written.text or ""
        elif written.name in SWITCHES:
            console[written.name] = bool(_typed(written, bool))  # type: ignore[literal-required]
        elif written.is_rest and values.get(written.name):
            joined = f"{values[written.name]},{_value(written, flags[written.name])}"
            values[written.name] = joined
        else:
            values[written.name] = _value(written, flags[written.name])
    return make(kind, **values), console


def read(argv: Sequence[str], flags: Mapping[str, Flag]) -> Iterator[WrittenFlag]:
    """Every flag of the arguments, those of flagfiles in the place of the flagfile."""
    arguments, rest = iter(argv), [name for name, flag in flags.items() if flag.takes_rest]
    for token in arguments:
        if is_positional(token) and rest:
            yield WrittenFlag(rest[0], token, "", is_rest=True)
            continue
        if is_positional(token):
            fix = _named_fix([token, *_positional(list(arguments), flags)], argv, flags)
            raise FlagError(f"{token!r} is not a flag; flags are written --name=value", fix=fix)
        written = _token(token, "", flags)
        needs_value = written.text is None and not _is_switch(written.name, flags)
        if needs_value:
            written = dataclasses.replace(written, text=next(arguments, None))
        if written.text is None and needs_value:
            raise FlagError("needs a value", flag=written.name, fix=f"--{written.name}=VALUE")
        if written.name == "flagfile":
            yield from read_flagfile(_find(pathlib.Path(), written.text or ""), flags)
        else:
            yield written


def read_flagfile(
    path: pathlib.Path | str, flags: Mapping[str, Flag], including: tuple[pathlib.Path, ...] = ()
) -> Iterator[WrittenFlag]:
    """Every flag of a flagfile and of those that it pulls in."""
    path = pathlib.Path(path)
    if path.resolve() in including:
        raise FlagError("pulls itself in", flag="flagfile", place=str(path))
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        written = _read_line(line.strip(), f"{path}:{number}", flags)
        if written is None:
            continue
        if written.name == "flagfile":
            inner = _find(path.parent, written.text or "")
            yield from read_flagfile(inner, flags, (*including, path.resolve()))
        elif written.text is None and not _is_switch(written.name, flags):
            raise FlagError("needs a value", flag=written.name, place=written.place)
        else:
            yield written


def _read_line(line: str, place: str, flags: Mapping[str, Flag]) -> WrittenFlag | None:
    """The flag of a line; None for one of an earlier version that asks for nothing."""
    name, equals, text = line.lstrip("-").partition("=")
    if name in habits.RETIRED and name not in flags and not is_positional(line):
        meant = habits.retired(name, text if equals else None)
        return WrittenFlag(*meant, place) if meant and meant[0] in flags else None
    return _token(line, place, flags)


def _find(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The flagfile that `name` means in a folder; tltf's own if it is called so and none is there."""
    path = folder / name
    parts = pathlib.PurePath(name).parts
    if parts[:1] == (CONFIGS,) and ".." not in parts and not os.path.lexists(path):
        own = [configs.joinpath(*parts[1:]) for configs in _own_configs()]
        return next((file for file in own if file.is_file()), path)
    return path


def _own_configs() -> list[pathlib.Path]:
    """The folder of tltf's own flagfiles; none for a package that was copied alone."""
    is_clone = (PACKAGE.parent / "setup.cfg").is_file()
    folders = [PACKAGE / CONFIGS, *([PACKAGE.parent / CONFIGS] if is_clone else [])]
    return [folder for folder in folders if folder.is_dir()]


def _unreadable(path: pathlib.Path, error: OSError | UnicodeDecodeError) -> FlagError:
    """The error for a flagfile that cannot be read, with the one that may be meant, or all."""
    what = f"cannot read {path}: {getattr(error, 'strerror', None) or 'is not UTF-8 text'}"
    if not isinstance(error, FileNotFoundError):
        return FlagError(what, flag="flagfile")
    names = {file.name: f"{path.parent / file.name}" for file in path.parent.glob("*.flags")}
    for folder in _own_configs():
        for file in sorted(folder.glob("*.flags")):
            names.setdefault(file.name, f"{CONFIGS}/{file.name}")
    near = nearest(path.name, names, limit=1)
    choices = choices_text(f"{path}", names.values(), MOST_CHOICES) if names else "none"
    fix = f"--flagfile={names[near[0]]}" if near else ""
    return FlagError(f"{what} (choices: {choices})", flag="flagfile", fix=fix)


def write(path: pathlib.Path | str, options: OptionsGroup, comment: str) -> None:
    """Writes every flag of `options`, one per line, after the comment's lines; whole or not at all."""
    head = [f"# {line}" for line in comment.splitlines()]
    with atomic_files.replace_file(path) as file:
        file.write("\n".join(head + texts(flatten(options))) + "\n")


def write_given(path: pathlib.Path | str, options: OptionsGroup, head: Sequence[str]) -> None:
    """Writes the flags that are not the defaults, but for --output, with paths that are right from everywhere.

    Args:
        path: of the file.
        options: the options.
        head: lines of a comment.
    """
    defaults = flags_of(type(options))
    own = {
        name: value
        for name, value in flatten(options).items()
        if value != defaults[name].default and name != "output"
    }
    with atomic_files.replace_file(path) as file:
        file.write("\n".join([*(f"# {line}" for line in head), *texts(own)]) + "\n")


def texts(values: Mapping[str, FlagValue]) -> list[str]:
    """`--name=value` of each flag, as a flagfile and a command line have it."""
    return [f"--{name}={flag_text(value)}" for name, value in values.items()]


def flatten(options: OptionsGroup) -> dict[str, FlagValue]:
    """Flag name -> value, paths absolute, without the flags that say what to do this time only."""
    momentary = ("dry_run", "overwrite", "resume", "quiet")
    kept = {name: value for name, value in flag_values(options).items() if name not in momentary}
    return {name: paths.make_absolute(name, value) for name, value in kept.items()}


def is_positional(token: str) -> bool:
    """Whether an argument has no name."""
    return not token.startswith("-") or token.strip("-") == ""


def _positional(tokens: Sequence[str], flags: Mapping[str, Flag]) -> list[str]:
    """The arguments that are neither a flag nor the value of the flag before them."""
    found = list[str]()
    for before, token in zip(["", *tokens], tokens, strict=False):
        is_value = before.startswith("-") and "=" not in before
        if is_positional(token) and not (is_value and not _is_switch(before.lstrip("-"), flags)):
            found.append(token)
    return found


def _named_fix(tokens: Sequence[str], argv: Sequence[str], flags: Mapping[str, Flag]) -> str:
    """Positional arguments with the flags that they are meant for; empty where that is not known."""
    given = {token.lstrip("-").partition("=")[0] for token in argv if not is_positional(token)}
    free = [name for name in POSITIONAL if name in flags and name not in given]
    pairs = [f"--{name}={token}" for name, token in zip(free, tokens, strict=False)]
    return shlex.join(pairs) if len(pairs) == len(tokens) else ""


def _token(token: str, place: str, flags: Mapping[str, Flag]) -> WrittenFlag:
    if is_positional(token):
        raise FlagError(f"{token!r} is not a flag; flags are written --name=value", place=place)
    name, equals, text = token.lstrip("-").partition("=")
    name = name.strip()
    value = text if equals else None
    if name in flags or name in CONSOLE_FLAGS:
        return WrittenFlag(name, value, place)
    positive = name.removeprefix("no")
    if positive != name and _is_switch(positive, flags) and value is None:
        return WrittenFlag(positive, "false", place)
    raise FlagError(f"there is no flag --{name}", place=place, fix=_meant(name, value, flags))


def _meant(name: str, text: str | None, flags: Mapping[str, Flag]) -> str:
    """The fix for an unknown flag: one that is there, with a value that it takes, or a sentence."""
    advice = habits.flag(name, text, [*flags, *CONSOLE_FLAGS])
    if advice is None:
        return "--help lists the flags"
    if advice.sentence:
        return advice.sentence
    meant = f"--{advice.flag}"
    if advice.text is None:
        return meant if _is_switch(advice.flag, flags) else f"{meant}=VALUE"
    try:
        if advice.flag in flags:
            _value(WrittenFlag(advice.flag, advice.text, ""), flags[advice.flag])
    except FlagError as error:
        return error.fix or f"{meant}=VALUE"
    quoted = f"'{advice.text}'" if set(advice.text) & set("() |") else advice.text
    return f"{meant}={quoted}"


def _is_switch(name: str, flags: Mapping[str, Flag]) -> bool:
    return name in SWITCHES or (name in flags and flags[name].kind is bool)


_PARSERS: dict[type, absl_flags.ArgumentParser] = {
    bool: absl_flags.BooleanParser(),
    int: absl_flags.IntegerParser(),
    float: absl_flags.FloatParser(),
    str: absl_flags.ArgumentParser(),
}


def _value(written: WrittenFlag, flag: Flag) -> FlagValue:
    """The value of a flag that passes its check."""
    if written.text is not None:
        written = dataclasses.replace(written, text=paths.expand_home(written.name, written.text))
        if flag.default is None and (written.text or "").strip() == "auto":
            return None
    value = _typed(written, flag.kind)
    try:
        check(written.name, value, flag)
    except FlagError as error:
        raise FlagError(error.what, flag=error.flag, place=written.place, fix=error.fix) from error
    return value


def _typed(written: WrittenFlag, kind: type) -> bool | float | str:
    """The value of a kind that a flag's text spells; a switch without a text is on."""
    text = "true" if written.text is None else written.text
    try:
        return cast(
            bool | float | str, _PARSERS[kind].parse(text.strip() if kind is not str else text)
        )
    except (ValueError, TypeError) as error:
        what = f"takes {KINDS[kind]} (received {text})"
        raise FlagError(what, flag=written.name, place=written.place) from error
