"""The text of --space: which flags a search changes, and between which values.

Grammar: `flag: kind` joined with `;`. A kind is `log(low, high)`, `uniform(low, high)`, `int(low, high)`, or a
list of values in square brackets, which may be call strings such as `lora(rank=4)`.
"""

import ast
import dataclasses
from collections.abc import Mapping

from tltf.config import checks, flag_fields, flagfiles
from tltf.config.call_strings import split_outside
from tltf.config.flag_fields import Flag, FlagValue, flag_text
from tltf.config.options import Options, flag_values, flags_of, replace
from tltf.errors import FlagError, TltfError, choices_text, nearest

LOG, UNIFORM, WHOLE = "log", "uniform", "int"
KINDS = {LOG: "log(1e-5, 1e-2)", UNIFORM: "uniform(0, .5)", WHOLE: "int(1, 6)"}
"""Name of a range -> an example."""
OTHER_NAMES = {
    "loguniform": LOG,
    "log_uniform": LOG,
    "float": UNIFORM,
    "integer": WHOLE,
    "randint": WHOLE,
}
"""What ranges are called elsewhere -> their name here."""
LIST = "[first, second, third]"
NOT_SEARCHED = (
    *("data", "target_data", "unlabelled_data", "split", "limit", "seed", "seeds", "metric"),
    *("near_duplicates", "max_bad_fraction", "allow_empty_classes", "follow_links"),
    *("unknown_classes", "strict", "skip_bad_shards", "output", "title", "resume", "overwrite"),
    *("checkpoint_minutes", "baseline", "explain", "export", "export_format", "track", "quiet"),
    *("dry_run", "strategy", "logical_devices", "watch_test", "calibrate", "abstain", "keep"),
)
"""Flags that say what trials are judged on, or that change nothing of what they are judged by."""


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both among them.

    Args:
        low: the smallest.
        high: the largest, above `low`.
        is_log: whether equal ratios are equally likely, not equal differences.
        is_whole: whether they are whole numbers.
    """

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False


@dataclasses.dataclass(frozen=True)
class Choice:
    """Some values of a flag, at least one, each once; None is `auto`."""

    values: tuple[FlagValue, ...]


Kind = Range | Choice
Space = Mapping[str, Kind]
"""Name of a flag -> its values, in the order in which they were written."""


def parse(text: str) -> Space:
    """The Space of a text.

    Raises:
        FlagError: a part of the text cannot be read; it says which one.
    """
    known = {name: flag for name, flag in flags_of(Options).items() if name not in NOT_SEARCHED}
    space: dict[str, Kind] = {}
    for part in split_outside(text, ";", "space"):
        name, colon, kind = (piece.strip() for piece in part.partition(":"))
        if not colon or not kind:
            what = f"{part.strip()!r} is not FLAG: KIND"
            raise FlagError(what, flag="space", fix=f"--space='{_as_pair(part, known)}'")
        name = name.lstrip("-")
        if name not in known:
            raise _unknown(name, kind, known)
        if name in space:
            raise FlagError(f"{name} is there twice", flag="space")
        space[name] = _kind(name, kind, known[name])
    if not space:
        raise FlagError("is empty", flag="space", fix="--space='learning_rate: log(1e-5, 1e-2)'")
    return space


def check_values(space: Space, options: Options) -> None:
    """Checks that each listed value is one that a run of these options takes, before anything is trained.

    Raises:
        FlagError: a value does not exist or does not fit; it says which one.
    """
    for name, kind in space.items():
        for value in kind.values if isinstance(kind, Choice) else ():
            try:
                checks.resolve(replace(options, **{name: value}), needs_output=False)
            except TltfError as error:
                what = f"{flag_text(value)!r} of {name}: {error.what}"
                raise FlagError(what, flag="space", fix=error.fix) from error


def _as_pair(part: str, known: Mapping[str, Flag]) -> str:
    """What a part without a colon may be meant to be."""
    name, _, rest = part.strip().replace("=", " ", 1).partition(" ")
    is_pair = name in known and rest.strip()
    return f"{name}: {rest.strip()}" if is_pair else f"learning_rate: {KINDS[LOG]}"


def _unknown(name: str, kind: str, known: Mapping[str, Flag]) -> FlagError:
    if name in flags_of(Options):
        what = f"--{name} is the same for all trials, since they are compared with each other"
        return FlagError(what, flag="space", fix=f"leave it out of --space, and give --{name}=...")
    what = f"there is no flag {name!r} to search (choices: {choices_text(name, known)})"
    near = nearest(name, known, limit=1)
    return FlagError(what, flag="space", fix=f"--space='{near[0]}: {kind}'" if near else "")


def _kind(name: str, text: str, flag: Flag) -> Kind:
    """The Range or the Choice of a text."""
    if text.startswith("[") and text.endswith("]"):
        return _choice(name, text, flag)
    kind, bracket, rest = text.partition("(")
    kind = OTHER_NAMES.get(kind.strip().lower(), kind.strip())
    if kind not in KINDS or not bracket:
        what = (
            f"{text!r} of {name} is no kind of values (kinds: {', '.join(KINDS.values())}, {LIST})"
        )
        is_value = not bracket and not nearest(kind, KINDS)
        fix = f"--{name}={text}, without it in --space" if is_value else ""
        near = nearest(kind, KINDS, limit=1)
        fix = f"--space='{name}: {KINDS[near[0]]}'" if near else fix
        raise FlagError(what, flag="space", fix=fix or f"--space='{name}: [{text}]'")
    if not rest.endswith(")"):
        raise FlagError(f"{text!r} of {name} has no closing bracket", flag="space", fix=f"{text})")
    return _range(name, text, kind, rest[:-1], flag)


def _range(name: str, text: str, kind: str, inner: str, flag: Flag) -> Range:
    if flag.kind not in (int, float):
        what = f"{text!r} are numbers, and {name} takes {flag_fields.KINDS[flag.kind]}"
        raise FlagError(what, flag="space", fix=f"--space='{name}: {LIST}'")
    is_whole = flag.kind is int
    if (kind == UNIFORM and is_whole) or (kind == WHOLE and not is_whole):
        other = WHOLE if is_whole else UNIFORM
        what = f"{name} takes {flag_fields.KINDS[flag.kind]}, and {kind} gives others"
        raise FlagError(what, flag="space", fix=f"--space='{name}: {other}({inner})'")
    texts = [part.strip() for part in split_outside(inner, ",", "space")]
    if len(texts) != 2:
        what = f"{text!r} of {name} needs its smallest and its largest number"
        raise FlagError(what, flag="space", fix=f"--space='{name}: {KINDS[kind]}'")
    low, high = (_value(name, part, flag) for part in texts)
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        raise FlagError(f"{text!r} of {name} has an end that is no number", flag="space")
    if low >= high:
        raise FlagError(f"{text!r} of {name} does not rise", flag="space")
    if kind == LOG and low <= 0:
        what = f"{text!r} of {name} begins at {texts[0]}, and a logarithm needs more than 0"
        raise FlagError(what, flag="space", fix=f"--space='{name}: {KINDS[LOG]}'")
    return Range(low, high, kind == LOG, is_whole)


def _choice(name: str, text: str, flag: Flag) -> Choice:
    parts = [part.strip() for part in split_outside(text[1:-1], ",", "space")]
    values = [_value(name, _unquoted(part), flag) for part in parts]
    if not values:
        raise FlagError(f"the list of {name} is empty", flag="space", fix=f"{name}: {LIST}")
    double = next((value for value in values if values.count(value) > 1), None)
    if double is not None:
        what = f"{flag_text(double)!r} is twice in the list of {name}"
        raise FlagError(what, flag="space", fix="give each value once")
    return Choice(tuple(values))


def _unquoted(text: str) -> str:
    if text[:1] in ("'", '"'):
        try:
            return str(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            return text
    return text


def _value(name: str, text: str, flag: Flag) -> FlagValue:
    """The value of a flag that a text spells, within the bounds of the flag."""
    try:
        found = flagfiles.parse(Options, [f"--{name}={text}"])[0]
    except FlagError as error:
        raise FlagError(f"{text!r} of {name}: {error.what}", flag="space") from error
    return flag_values(found)[name]


def kind_text(kind: Kind) -> str:
    """A kind as --space has it."""
    if isinstance(kind, Choice):
        return "[" + ", ".join(_listed(value) for value in kind.values) + "]"
    name = LOG if kind.is_log else WHOLE if kind.is_whole else UNIFORM
    return f"{name}({kind.low:g}, {kind.high:g})"


def _listed(value: FlagValue) -> str:
    """A value as a list has it, quoted where a comma or a semicolon would end it."""
    text = flag_text(value)
    is_plain = len(split_outside(text, ",")) == len(split_outside(text, ";")) == 1
    return text if is_plain and text.strip() else repr(text)
