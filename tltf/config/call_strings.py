"""Call strings such as `partial(last_groups=2)`: how they are parsed, checked and built.

Grammar: `name`, `name()` or `name(key=value, ...)`. A value is a number, `true`, `false`,
`none`, a quoted string, a list in square brackets, a call of its own, or plain text up to
the next comma outside of brackets and quotes. Code from outside is named
`package.module:name(...)`.
"""

import ast
import dataclasses
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from tltf.config import habits
from tltf.config.catalogs.row import Row
from tltf.errors import FlagError, choices_text, nearest

_OPEN, _CLOSE = "([{", ")]}"
_OUTSIDE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
IN_MEMORY = "in_memory"
"""The name in place of a source for data that only a Python program has."""
_WORDS = {"true": True, "false": False, "none": None}

AnyRow = TypeVar("AnyRow", bound=Row)


@dataclasses.dataclass(frozen=True)
class Call(Generic[AnyRow]):
    """A checked call: `build` imports the target and calls it with the arguments.

    Args:
        name: the catalog's name, or `package.module:callable`.
        target: `package.module:callable`.
        kwargs: every argument by name, defaults filled in.
        row: the catalog's row; None for code from outside.
        text: the call string as it was written.
        written: names of the arguments that the text has, in its order.
    """

    name: str
    target: str
    kwargs: dict[str, Any]
    row: AnyRow | None = None
    text: str = ""
    written: tuple[str, ...] = ()

    def build(self, *first: Any, **also: Any) -> Any:
        """The target's result; `first` and `also` come before the arguments of the string."""
        return self.load()(*first, **also, **self.kwargs)

    def load(self) -> Callable[..., Any]:
        """The target itself."""
        return load_target(self.target, self.row)

    def check(self) -> None:
        """Raises FlagError where the row says that these arguments fit no data."""
        if self.row and self.row.check:
            load_target(self.row.check)(**self.kwargs)

    def change(self, **values: Any) -> "Call[AnyRow]":
        """The call with other values of some arguments, which its text then has."""
        kwargs, written = self.kwargs | values, tuple(dict.fromkeys((*self.written, *values)))
        text = render(self.name, {name: kwargs[name] for name in written})
        return dataclasses.replace(self, kwargs=kwargs, text=text, written=written)

    def __str__(self) -> str:
        return render(self.name, self.kwargs)


def render(name: str, kwargs: dict[str, Any]) -> str:
    """The call string that `parse` reads back as `name` and `kwargs`."""
    return f"{name}({', '.join(f'{key}={_literal(value)}' for key, value in kwargs.items())})"


def parse(text: str, flag: str = "") -> tuple[str, dict[str, str]]:
    """`(name, arguments)` of a call string; the arguments are raw texts by name.

    Raises:
        FlagError: the text is not a call string.
    """
    text = text.strip()
    name, bracket, rest = text.partition("(")
    if bracket and not rest.endswith(")"):
        raise FlagError(f"{text!r} has no closing bracket", flag=flag, fix=f"{text})")
    name, arguments = name.strip(), dict[str, str]()
    if not name:
        raise FlagError(f"{text!r} has no name", flag=flag, fix="name(key=value, ...)")
    for part in split_outside(rest[:-1], ",", flag) if bracket else []:
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            what = f"{part.strip()!r} in {text!r} is not key=value"
            raise FlagError(what, flag=flag, fix=_quoting(name, rest[:-1]))
        if key in arguments:
            raise FlagError(f"{key} is given twice in {text!r}", flag=flag)
        arguments[key] = value.strip()
    return name, arguments


_BEGIN = re.compile(r"(?:^|,)\s*([A-Za-z_]\w*)\s*=")
"""The beginning of an argument; what stands between two of them is a value, whatever is in it."""


def _quoting(name: str, inner: str) -> str:
    """The fix for a value that was cut at its comma: the values between the names, quoted."""
    begins = list(_BEGIN.finditer(inner))
    if not begins or inner[: begins[0].start()].strip():
        return "write arguments as key=value, and quote a value that has a comma: text='a, b'"
    ends = [begin.start() for begin in begins[1:]] + [len(inner)]
    values = [
        (begin[1], inner[begin.end() : end].strip())
        for begin, end in zip(begins, ends, strict=True)
    ]
    cut = [(key, value) for key, value in values if "," in value and value[:1] not in "\"'[("]
    if not cut:
        return "write arguments as key=value, and quote a value that has a comma: text='a, b'"
    return f"quote the value: {', '.join(f'{key}={value!r}' for key, value in cut)}"


def read_arguments(text: str, flag: str = "") -> dict[str, Any]:
    """The arguments of a call string by name, for a name that no catalog has.

    Raises:
        FlagError: the text is not a call string.
    """
    _, raw = parse(text, flag)
    return {key: _value(value) for key, value in raw.items()}


def name_of(text: str) -> str:
    """The name in a call string, whose arguments are not read."""
    return text.partition("(")[0].strip()


def is_outside(name: str) -> bool:
    """Whether a name has the form of code from outside, `package.module:name`."""
    return _OUTSIDE.match(name) is not None


def change_paths(text: str, catalog: Mapping[str, Row], change: Callable[[str], str]) -> str:
    """A call string with `change(path)` in place of each of its paths, also in calls within it.

    Args:
        text: a call string; it is returned as it is where nothing changes, or where the catalog
            does not have its name.
        catalog: name -> Row, of the call and of those within it; `paths` of a row names the arguments that
            hold a path or a list of paths, and `calls` those that hold call strings.
        change: path -> path.

    Raises:
        FlagError: the text is not a call string.
    """
    row = catalog.get(name_of(text))
    if row is None:
        return text
    name, raw = parse(text)
    texts = dict(raw)
    for key in raw.keys() & {*row.paths, *row.calls}:
        is_list = isinstance(row.args[key], tuple)

        def changed_of(part: Any, is_call: bool = key in row.calls) -> str:
            return change_paths(str(part), catalog, change) if is_call else change(str(part))

        value = _typed(raw[key], () if is_list else "", "", "")
        changed = tuple(map(changed_of, value)) if is_list else changed_of(value)
        if changed != value:
            texts[key] = _literal(changed)
    if texts == raw:
        return text
    return f"{name}({', '.join(f'{key}={value}' for key, value in texts.items())})"


def split_outside(text: str, separator: str, flag: str = "") -> list[str]:
    """The parts of `text` between separators that stand outside of brackets and quotes."""
    parts, start, depth, quote = [], 0, 0, ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and (position == 0 or text[position - 1] in "=,[( |"):
            quote = character
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
        elif character == separator and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    if quote or depth:
        what = f"{text!r} has a quote or a bracket that is not closed"
        raise FlagError(what, flag=flag, fix="quote the value that has it in its name: text='a (b'")
    parts.append(text[start:])
    return [part for part in parts if part.strip()]


def pick(catalog: Mapping[str, AnyRow], text: str | Call[AnyRow], flag: str = "") -> Call[AnyRow]:
    """The checked `Call` that `text` asks for.

    Args:
        catalog: name -> Row.
        text: a call string, or the Call that one was resolved to, which is returned as it is.
        flag: the flag that an error names.

    Raises:
        FlagError: unknown name or argument, a missing argument, or a value of another type.
    """
    if isinstance(text, Call):
        return text
    try:
        name, raw = parse(text, flag)
    except FlagError as error:
        raise _with_first_argument(catalog, text, flag) or error from error
    if name not in catalog:
        if is_outside(name):
            kwargs = read_arguments(text, flag)
            return Call(name, name, kwargs, None, text, tuple(raw))
        raise unknown_name(catalog, name, text, flag)
    row = catalog[name]
    for key in raw:
        if key not in row.args:
            near = choices_text(key, row.args) or "none"
            raise FlagError(
                f"{name} has no argument {key!r} (received {text}; choices: {near})",
                flag=flag,
                fix=_without_unknown(name, raw, row, flag),
            )
    missing = [k for k, v in row.args.items() if isinstance(v, type) and k not in raw]
    if missing:
        example = ", ".join(f"{key}=..." for key in missing)
        raise FlagError(
            f"{name} needs {', '.join(missing)} (received {text})",
            flag=flag,
            fix=f"--{flag}={name}({example})",
        )
    kwargs = _defaults(row)
    for key, value in raw.items():
        kwargs[key] = _typed(value, row.args[key], f"{name}({key}=...)", flag)
    return Call(name, row.target, kwargs, row, text, tuple(raw))


def pick_each(
    catalog: Mapping[str, AnyRow], text: str | Sequence[Call[AnyRow]], flag: str = ""
) -> tuple[Call[AnyRow], ...]:
    """The `Call` of each call string in a text that joins them with `|`; arguments as `pick`."""
    if not isinstance(text, str):
        return tuple(text)
    return tuple(pick(catalog, part, flag) for part in split_outside(text, "|", flag))


def _with_first_argument(catalog: Mapping[str, AnyRow], text: str, flag: str) -> FlagError | None:
    """The FlagError for a call such as `kfold(3)`, whose only value has no name; None for others."""
    name, _, rest = text.strip().partition("(")
    value, row = rest.removesuffix(")").strip(), catalog.get(name.strip())
    if not rest.endswith(")") or not value or set(value) & set("=,") or row is None or not row.args:
        return None
    first = next(iter(row.args))
    what = f"{value!r} in {text!r} is not key=value"
    return FlagError(what, flag=flag, fix=f"--{flag}='{name.strip()}({first}={value})'")


def _without_unknown(name: str, raw: dict[str, str], row: Row, flag: str) -> str:
    """The fix for unknown arguments: the call with those that are meant, and without the others."""
    meant = {key if key in row.args else habits.argument(key, row.args): key for key in raw}
    written = [f"{key}={raw[old]}" for key, old in meant.items() if key]
    needed = [k for k, v in row.args.items() if isinstance(v, type) and k not in meant]
    arguments = ", ".join([*written, *(f"{key}=..." for key in needed)])
    return f"--{flag}={name}" + (f"({arguments})" if arguments else "")


def unknown_name(catalog: Mapping[str, Row], name: str, text: str, flag: str) -> FlagError:
    """The FlagError for a name that `catalog` does not have."""
    meant = habits.value(flag, text.strip())
    near = [meant] if meant != text.strip() else nearest(name, catalog, limit=1)
    rest = "" if meant != text.strip() else text.strip()[len(name) :]
    fix = f"--{flag}={near[0]}{rest}" if near else f"--list={_list_of(flag)}"
    entry = {"": "entry", "track": "tracker"}.get(flag, flag)
    what = f"there is no {entry} {name!r} (received {text}; "
    return FlagError(what + f"choices: {choices_text(name, catalog)})", flag=flag, fix=fix)


def _list_of(flag: str) -> str:
    """What --list calls the catalog of a flag."""
    lists = {
        "data": "sources",
        "abstain": "abstentions",
        "explain": "explainers",
        "export_format": "formats",
        "query": "queries",
        "track": "trackers",
    }
    return lists.get(flag, f"{flag}s")


def load_target(target: str, row: Row | None = None) -> Callable[..., Any]:
    """The object `package.module:name`.

    Raises:
        FlagError: the module or the name does not exist; it names the extra that installs it.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise missing_extra(error, row.extra if row else "") from error
    except AttributeError as error:
        raise FlagError(f"the module {module} has no {attribute!r}") from error


def load_outside(target: str) -> Callable[..., Any]:
    """The object `package.module:name` of code that is not tltf's; see `load_target`."""
    return load_target(target)


def missing_extra(error: ModuleNotFoundError, extra: str) -> FlagError:
    """The FlagError for a module that is not installed."""
    fix = f"pip install {error.name}"
    if extra:
        fix = f"install the extra {extra}: pip install -e '.[{extra}]' in the clone of tltf"
    return FlagError(f"this needs the package {error.name!r}, which is not installed", fix=fix)


def _defaults(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.args.items() if not isinstance(value, type)}


def _value(text: str) -> Any:
    """The literal that `text` spells, else `text` itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if text.startswith("[") and text.endswith("]"):
        return tuple(_value(part.strip()) for part in split_outside(text[1:-1], ","))
    try:
        return ast.literal_eval(text.lstrip("0") or "0" if text.isdigit() else text)
    except (ValueError, SyntaxError):
        return text


def _typed(text: str, default: Any, where: str, flag: str) -> Any:
    kind = default if isinstance(default, type) else type(default)
    value = _value(text)
    if kind is str:
        quoted = isinstance(value, str) and text[:1] in "\"'"
        return value if quoted else text
    if kind is type(None):
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple and not isinstance(value, tuple):
        return (value,)
    if type(value) is not kind:
        raise FlagError(f"{where} takes a {kind.__name__} (received {text})", flag=flag)
    return value


def _literal(value: Any) -> str:
    if isinstance(value, str):
        plain = value and _value(value) == value and not set(value) & set(",()[]{}=\"'| \t\r\n")
        return value if plain else repr(value)
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value)
