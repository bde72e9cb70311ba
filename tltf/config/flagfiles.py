"""Flags on the command line and in flagfiles, read with their origin, and written.

A flagfile has one `--name=value` a line. A line that starts with # is a comment; nothing
else is: a value may hold # and quotes. `--flagfile=other.flags` pulls in another file, its
path relative to the file that names it. A later flag wins over an earlier one.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags as absl_flags

from tltf.config import habits, paths
from tltf.config.options import KINDS, Options, check, fields_of, flag_text, flat, make
from tltf.errors import FlagError, nearest
from tltf.files import atomic_files

SWITCHES = ("help", "helpfull", "debug")
CONSOLE_FLAGS = (*SWITCHES, "list", "flagfile")


@dataclasses.dataclass(frozen=True)
class Given:
    """One flag as it was written: name, text (None where there was no `=`), file:line."""

    name: str
    text: str | None
    place: str


def parse(kind: Any, argv: Sequence[str]) -> Any:
    """`(options, console)` from command-line arguments.

    Args:
        kind: an options dataclass.
        argv: arguments without the program's name.

    Returns:
        The options and a dict of the console's own flags: help, helpfull, debug (bool), list (text).

    Raises:
        FlagError: what cannot be read; nothing has been imported or opened but flagfiles.
    """
    fields = {name: field for name, (_, field) in fields_of(kind).items()}
    values, console = {}, {}
    for given in read(argv, fields):
        if given.name in CONSOLE_FLAGS:
            is_switch = given.name in SWITCHES
            console[given.name] = _typed(given, bool) if is_switch else given.text
        else:
            values[given.name] = _parsed(given, fields[given.name])
    return make(kind, **values), console


def read(argv: Sequence[str], fields: dict[str, Any]) -> Iterator[Any]:
    """Every `Given` of the arguments, flagfiles unfolded in place, aliases resolved."""
    arguments = iter(argv)
    for token in arguments:
        given = _token(token, "", fields)
        needs_value = given.text is None and not _is_switch(given.name, fields)
        if needs_value:
            given = dataclasses.replace(given, text=next(arguments, None))
        if given.text is None and needs_value:
            raise FlagError("lacks a value", flag=given.name, fix=f"--{given.name}=VALUE")
        if given.name == "flagfile":
            yield from read_flagfile(given.text, fields)
        else:
            yield given


def read_flagfile(
    path: Any, fields: dict[str, Any], including: tuple[pathlib.Path, ...] = ()
) -> Iterator[Any]:
    """Every `Given` of a flagfile and of those that it pulls in."""
    path = pathlib.Path(path)
    if path.resolve() in including:
        raise FlagError("pulls itself in", flag="flagfile", place=str(path))
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        near = nearest(path.name, [p.name for p in path.parent.glob("*.flags")], limit=1)
        fix = f"--flagfile={path.parent / near[0]}" if near else ""
        raise FlagError(f"cannot read {path}: {reason}", flag="flagfile", fix=fix) from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        given = _token(line.strip(), f"{path}:{number}", fields)
        if given.name == "flagfile":
            inner = path.parent / (given.text or "")
            yield from read_flagfile(inner, fields, (*including, path.resolve()))
        elif given.text is None and not _is_switch(given.name, fields):
            raise FlagError("lacks a value", flag=given.name, place=given.place)
        else:
            yield given


def write(path: pathlib.Path | str, options: Any, comment: str) -> None:
    """Writes every flag of `options`, one per line, after the comment's lines; whole or not at all."""
    head = [f"# {line}" for line in comment.splitlines()]
    body = [f"--{name}={flag_text(value)}" for name, value in flatten(options).items()]
    with atomic_files.replace_file(path) as file:
        file.write("\n".join(head + body) + "\n")


def flatten(options: Options) -> dict[str, Any]:
    """Flag name -> value, paths absolute, without the flags that say what to do this time only."""
    momentary = ("dry_run", "overwrite", "resume")
    kept = {name: value for name, value in flat(options).items() if name not in momentary}
    return {name: paths.absolute(name, value) for name, value in kept.items()}


def _token(token: Any, place: Any, fields: Any) -> Any:
    if not token.startswith("-") or token.strip("-") == "":
        raise FlagError(f"{token!r} is not a flag; flags are written --name=value", place=place)
    name, equals, text = token.lstrip("-").partition("=")
    name = name.strip()
    text = text if equals else None
    if name in fields or name in CONSOLE_FLAGS:
        return Given(name, text, place)
    positive = name.removeprefix("no")
    if positive != name and _is_switch(positive, fields) and text is None:
        return Given(positive, "false", place)
    raise FlagError(f"no flag --{name}", place=place, fix=_meant(name, text, fields))


def _meant(name: str, text: str | None, fields: dict[str, Any]) -> str:
    """The fix for an unknown flag: one that is there, with a value that it takes, or a sentence."""
    advice = habits.flag(name, text, [*fields, *CONSOLE_FLAGS])
    if advice is None:
        return "--help lists the flags"
    if advice.sentence:
        return advice.sentence
    meant = f"--{advice.flag}"
    if advice.text is None:
        return meant if _is_switch(advice.flag, fields) else f"{meant}=VALUE"
    try:
        if advice.flag in fields:
            _parsed(Given(advice.flag, advice.text, ""), fields[advice.flag])
    except FlagError as error:
        return error.fix or f"{meant}=VALUE"
    quoted = f"'{advice.text}'" if set(advice.text) & set("() |") else advice.text
    return f"{meant}={quoted}"


def _is_switch(name: str, fields: dict[str, Any]) -> bool:
    return name in SWITCHES or (name in fields and fields[name].metadata["kind"] is bool)


_PARSERS: dict = {
    bool: absl_flags.BooleanParser(),
    int: absl_flags.IntegerParser(),
    float: absl_flags.FloatParser(),
    str: absl_flags.ArgumentParser(),
}


def _parsed(given: Given, field: Any) -> bool | float | str | None:
    if given.text is not None:
        given = dataclasses.replace(given, text=paths.expand_home(given.name, given.text))
        if field.default is None and (given.text or "").strip() == "auto":
            return None
    value = _typed(given, field.metadata["kind"])
    try:
        check(given.name, value, field)
    except FlagError as error:
        raise FlagError(error.what, flag=error.flag, place=given.place, fix=error.fix) from error
    return value


def _typed(given: Given, kind: type) -> bool | float | str:
    """The value of a kind that a flag's text spells; a switch without a text is on."""
    text = "true" if given.text is None else given.text
    try:
        return _PARSERS[kind].parse(text.strip() if kind is not str else text)
    except (ValueError, TypeError) as error:
        what = f"takes {KINDS[kind]} (received {text})"
        raise FlagError(what, flag=given.name, place=given.place) from error
