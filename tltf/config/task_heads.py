"""Several heads on one network, as --head names them: `stars: regress; topic: classify(hidden=[64])`.

Each name before a colon is a task: the column of its labels, the name of its outputs, and what the
report calls it. The part `weights:` says how the losses of the tasks are weighed against each other.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import HEADS
from tltf.config.catalogs.row import HeadRow, Row
from tltf.errors import FlagError, choices_text

TASKS = "tasks"
"""The kind of labels of which a row has some for each of several tasks; see `label_kinds.KINDS`."""
SEPARATOR = ";"
WEIGHTS = "weights"
"""The part of a text of several heads that is not a task."""
BALANCED, EQUAL, FIXED = "balanced", "equal", "fixed"
UNCERTAINTY, GRADNORM = "uncertainty", "gradnorm"
WEIGHINGS = (BALANCED, EQUAL, FIXED, UNCERTAINTY, GRADNORM)
ALPHA = "alpha"
"""The argument of `gradnorm` beside the weights that it begins with."""
JOINT = HeadRow("tltf.heads.joint:joint", {}, "several heads on one network", kind=TASKS)
"""The row of several heads together, which are not an entry of HEADS: their names are the user's."""
EXAMPLE = "--head='stars: regress; topic: classify'"


@dataclasses.dataclass(frozen=True)
class Weighing:
    """How the losses of several tasks are weighed against each other.

    Args:
        name: `balanced`, each by 1 / the loss of the best constant answer on the training rows;
            `equal`; `fixed`, by the weights given; or by weights that are trained: `uncertainty`,
            Kendall et al. 2018, see `tltf.heads.joint`, or `gradnorm`, Chen et al. 2018, see
            `tltf.heads.task_weights`.
        weights: task -> factor on its loss, above 0; of `gradnorm` the one to begin with; {} where none
            is given.
        alpha: of `gradnorm`, how strongly tasks that learn slowly are favoured; 0 or more.
    """

    name: str = BALANCED
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    alpha: float = 1.5

    def __str__(self) -> str:
        own = {ALPHA: self.alpha} if self.name == GRADNORM else {}
        given = {**own, **self.weights}
        return call_strings.render(self.name, given) if given else self.name


@dataclasses.dataclass(frozen=True)
class TaskCalls(Call[HeadRow]):
    """The calls of several heads on one network, which are built as one head.

    Args:
        tasks: name of a task -> the call of its head.
        weighing: how their losses are weighed.
    """

    tasks: Mapping[str, Call[HeadRow]] = dataclasses.field(default_factory=dict)
    weighing: Weighing = dataclasses.field(default_factory=Weighing)

    def build(self, *first: Any, **also: Any) -> Any:
        """The joint head, whose outputs have no widths yet."""
        heads = {task: call.build() for task, call in self.tasks.items()}
        return self.load()(heads, self.weighing)

    def with_tasks(
        self, tasks: Mapping[str, Call[HeadRow]], weighing: Weighing | None = None
    ) -> "TaskCalls":
        """The calls of the same tasks with other arguments, and perhaps another weighing."""
        return make(tasks, weighing or self.weighing)

    def __str__(self) -> str:
        return _joined(self.tasks, self.weighing, str)


def make(tasks: Mapping[str, Call[HeadRow]], weighing: Weighing) -> TaskCalls:
    """The TaskCalls of the calls of several heads."""
    text = _joined(tasks, weighing, lambda call: call.text)
    return TaskCalls(TASKS, JOINT.target, {}, JOINT, text, (), tasks, weighing)


def _joined(
    tasks: Mapping[str, Call[HeadRow]], weighing: Weighing, shown: Callable[[Call[HeadRow]], str]
) -> str:
    parts = [f"{task}: {shown(call)}" for task, call in tasks.items()]
    weights = [] if weighing.name == BALANCED else [f"{WEIGHTS}: {weighing}"]
    return f"{SEPARATOR} ".join([*parts, *weights])


def pick_head(text: str | Call[HeadRow]) -> Call[HeadRow]:
    """The checked Call of --head: that of one head, or the TaskCalls of several.

    Args:
        text: a call string of HEADS, or several with names, separated by semicolons; or the Call
            that one was resolved to, which is returned as it is.

    Raises:
        FlagError: a name or an argument does not exist, or a task has no name that can be used.
    """
    if isinstance(text, Call) or not are_several(text):
        return call_strings.pick(HEADS, text, "head")
    texts = named_parts(text, "head", EXAMPLE)
    weighing = texts.pop(WEIGHTS, BALANCED)
    if len(texts) < 2:
        what = f"{text!r} names {len(texts)} head beside the weights, and weights are of several"
        raise FlagError(what, flag="head", fix=EXAMPLE)
    calls = {task: call_strings.pick(HEADS, own, "head") for task, own in texts.items()}
    return make(calls, _pick_weighing(weighing, calls))


def texts_of(text: str) -> list[str]:
    """The call strings in a text of --head: one, or those of several heads."""
    if not are_several(text):
        return [text]
    return [own for name, own in named_parts(text, "head", EXAMPLE).items() if name != WEIGHTS]


def are_several(text: str) -> bool:
    """Whether a text of --head names several heads."""
    return SEPARATOR in text and len(call_strings.split_outside(text, SEPARATOR, "head")) > 1


def named_parts(text: str, flag: str, example: str) -> dict[str, str]:
    """Name -> call string of the parts of a text such as `stars: regress; topic: classify`.

    Args:
        text: of several heads or data sets.
        flag: the flag that it is a value of.
        example: what an error shows.

    Raises:
        FlagError: a part has no name that can be used, or two have one name.
    """
    parts = call_strings.split_outside(text, SEPARATOR, flag)
    found = dict(_named(part, text, flag, example) for part in parts)
    if len(found) < len(parts):
        raise FlagError(f"two parts of {text!r} have one name", flag=flag, fix=example)
    return found


def _named(part: str, text: str, flag: str, example: str) -> tuple[str, str]:
    """`(task, call string)` of a part such as `stars: regress`."""
    name, colon, own = (piece.strip() for piece in part.partition(":"))
    if not colon or not name or not own:
        what = f"{part.strip()!r} in {text!r} has no name of a task before a colon"
        raise FlagError(what, flag=flag, fix=example)
    if not (name.isascii() and name.isidentifier()):
        what = f"{name!r} cannot be the name of a task, since outputs of an export are named by it"
        fix = "letters, digits and _; --data='csv(..., label=\"stars: Number of stars; ...\")'"
        raise FlagError(what, flag=flag, fix=fix)
    return name, own


def _pick_weighing(text: str, tasks: Mapping[str, Call[HeadRow]]) -> Weighing:
    """The Weighing of the part `weights:`.

    Raises:
        FlagError: there is no such weighing, or a weight is not above 0 or of no task.
    """
    name, raw = call_strings.parse(text, "head")
    fix = f"{WEIGHTS}: {FIXED}({', '.join(f'{task}=1' for task in tasks)}), or {UNCERTAINTY}"
    if name not in WEIGHINGS or (raw and name not in (FIXED, GRADNORM)):
        what = f"there is no weighing {text!r} of losses (choices: {', '.join(WEIGHINGS)})"
        raise FlagError(what, flag="head", fix=fix)
    own = (ALPHA,) if name == GRADNORM else ()
    unknown = [task for task in raw if task not in (*tasks, *own)]
    if unknown:
        near = choices_text(unknown[0], tasks)
        what = f"{unknown[0]!r} in {text!r} is not one of the tasks (choices: {near})"
        raise FlagError(what, flag="head", fix=fix)
    weights = call_strings.read_arguments(text, "head")
    alpha = weights.pop(ALPHA, Weighing.alpha) if own else Weighing.alpha
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not alpha >= 0:
        what = f"{ALPHA} of {name} is a number from 0 on (received {raw[ALPHA]})"
        raise FlagError(what, flag="head", fix=f"{WEIGHTS}: {GRADNORM}({ALPHA}=1.5)")
    for task, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not weight > 0:
            what = f"the weight of {task} is a number above 0 (received {raw[task]})"
            raise FlagError(what, flag="head", fix=fix)
    if name == FIXED and not weights:
        raise FlagError("fixed names no weight", flag="head", fix=fix)
    return Weighing(name, {task: float(weight) for task, weight in weights.items()}, float(alpha))


def columns_of(call: Call[Row], tasks: Mapping[str, Any]) -> dict[str, str]:
    """Task -> the column of its labels: that of its name, unless `label` of the source says another.

    Args:
        call: of --data, whose argument `label` may be `stars: Number of stars; topic: subject`.
        tasks: by name.

    Raises:
        FlagError: the source has no argument `label`, or that names something else.
    """
    if "label" not in call.kwargs:
        what = f"{call.name} has one label per row, and --head names {len(tasks)} heads"
        raise FlagError(what, flag="data", fix="--data='csv(path=all.csv, text=text)'")
    text = str(call.kwargs["label"])
    if "label" not in call.written:
        return {task: task for task in tasks}
    parts = [part.partition(":") for part in call_strings.split_outside(text, SEPARATOR, "data")]
    given = {task.strip(): column.strip() for task, _, column in parts}
    odd = [task for task, column in given.items() if task not in tasks or not column]
    if odd:
        what = f"label={text!r} names one column, and --head names the tasks {', '.join(tasks)}"
        fix = "leave label= out, or label='" + "; ".join(f"{t}: COLUMN" for t in tasks) + "'"
        raise FlagError(what, flag="data", fix=fix)
    return {task: given.get(task, task) for task in tasks}
