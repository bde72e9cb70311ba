"""Several data sets for one network, as --data names them: `a: csv(...); b: image_folder(...)`.

Each name before a colon is that of a task of --head, whose labels the data set has. The part `alpha:` says
how often rows of each data set are drawn.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from tltf.config import call_strings, task_heads
from tltf.config.call_strings import Call
from tltf.config.catalogs.row import Row
from tltf.config.catalogs.sources import SOURCES
from tltf.config.task_heads import SEPARATOR, TaskCalls
from tltf.errors import FlagError

ALPHA = "alpha"
"""The part of a text of several data sets that is not a data set."""
USUAL_ALPHA = 0.5
EXAMPLE = "--data='a: csv(path=a.csv, text=text); b: csv(path=b.csv, text=text)'"
NAME = "data_sets"
_BEGIN = re.compile(r"\s*\w+\s*:\s*\w")
"""The beginning of a part, `a: csv`."""


@dataclasses.dataclass(frozen=True)
class DataCalls(Call[Row]):
    """The calls of several data sets, each with the labels of one task.

    Args:
        sets: name of a task -> the call of its data set.
        alpha: rows of a data set of n rows are drawn in proportion to n^alpha; 0 draws all data sets
            equally often, 1 all rows.
    """

    sets: Mapping[str, Call[Row]] = dataclasses.field(default_factory=dict)
    alpha: float = USUAL_ALPHA

    @property
    def first(self) -> Call[Row]:
        """The call of the first data set."""
        return next(iter(self.sets.values()))


def make(sets: Mapping[str, Call[Row]], alpha: float = USUAL_ALPHA) -> DataCalls:
    """The DataCalls of the calls of several data sets."""
    parts = [f"{task}: {call.text}" for task, call in sets.items()]
    parts += [] if alpha == USUAL_ALPHA else [f"{ALPHA}: {alpha:g}"]
    text = f"{SEPARATOR} ".join(parts)
    return DataCalls(NAME, "", {}, None, text, (), sets, alpha)


def are_several(text: str) -> bool:
    """Whether a text of --data names several data sets; a path may have a semicolon in its name."""
    parts = call_strings.split_outside(text, SEPARATOR, "data") if SEPARATOR in text else []
    return len(parts) > 1 and all(_BEGIN.match(part) for part in parts)


def texts_of(text: str) -> dict[str, str]:
    """Name -> call string of each data set of a text of several; the part `alpha` is left out."""
    return {name: own for name, own in _named(text).items() if name != ALPHA}


def _named(text: str, flag: str = "data") -> dict[str, str]:
    return task_heads.named_parts(text, flag, EXAMPLE)


def pick(text: str, flag: str, pick_one: Callable[[str], Call[Row]]) -> DataCalls:
    """The checked DataCalls of a text of several data sets.

    Args:
        text: of --data.
        flag: name of the flag.
        pick_one: call string of one data set -> its Call.

    Raises:
        FlagError: a name or an argument does not exist, a data set comes in steps, or alpha is
            below 0 or above 1.
    """
    parts = _named(text, flag)
    alpha = _pick_alpha(parts.pop(ALPHA, str(USUAL_ALPHA)), flag)
    if len(parts) < 2:
        what = f"{text!r} names {len(parts)} data set beside {ALPHA}, which is of several"
        raise FlagError(what, flag=flag, fix=EXAMPLE)
    return make({task: pick_one(own) for task, own in parts.items()}, alpha)


def _pick_alpha(text: str, flag: str) -> float:
    value: Any = call_strings.read_arguments(f"{ALPHA}(value={text})", flag)["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        what = f"{ALPHA} is a number from 0 to 1 (received {text})"
        raise FlagError(what, flag=flag, fix=f"{ALPHA}: {USUAL_ALPHA}")
    return float(value)


def require_tasks(data: Call[Row], head: Call[Any]) -> None:
    """Checks that several data sets and several heads have the same names.

    Args:
        data: the call of --data.
        head: the call of --head.

    Raises:
        FlagError: they have others, or there is one head.
    """
    if not isinstance(data, DataCalls):
        return
    tasks = list(head.tasks) if isinstance(head, TaskCalls) else []
    if set(tasks) == set(data.sets):
        return
    named = f"the heads {', '.join(tasks)}" if tasks else "one head"
    fix = "; ".join(f"{name}: classify" for name in data.sets)
    what = f"names the data sets {', '.join(data.sets)}, and --head names {named}"
    raise FlagError(what, flag="data", fix=f"--head='{fix}'")


def change_paths(text: str, change: Callable[[str], str]) -> str:
    """A text of --data with `change(path)` in place of each of its paths, also in calls within calls.

    Args:
        text: of one data set or of several; it is returned as it is where nothing changes.
        change: path -> path.
    """
    if not are_several(text):
        return call_strings.change_paths(text, SOURCES, change)
    parts = _named(text)
    changed = {
        name: call_strings.change_paths(own, SOURCES, change) if name != ALPHA else own
        for name, own in parts.items()
    }
    if changed == parts:
        return text
    return f"{SEPARATOR} ".join(f"{name}: {own}" for name, own in changed.items())
