"""The service of tltf.monitor: looks at rows that are new, rings alarms, and tells of them."""

import dataclasses
import datetime
import itertools
import pathlib
import time
import warnings
from collections.abc import Sequence

from tltf import errors
from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import ALARMS
from tltf.config.catalogs.row import Row
from tltf.config.checks import require
from tltf.config.command_options import MonitorOptions
from tltf.console import command, signals
from tltf.errors import FlagError, choices_text
from tltf.runs import layout, model_folder
from tltf.serving.monitoring import look, page, reference, state, webhook
from tltf.serving.monitoring.alarms.alarm import Alarm, View
from tltf.serving.monitoring.answers import Answers
from tltf.serving.monitoring.growing_file import Record
from tltf.serving.monitoring.live_input import LiveInput, open_input
from tltf.serving.monitoring.look import Look
from tltf.serving.monitoring.reference import Reference
from tltf.serving.monitoring.state import State

SAVED_EVERY_S = 5.0
"""Seconds between two times that the state is written while many windows are looked at."""


@dataclasses.dataclass(frozen=True)
class Watched:
    """The result of a call.

    Args:
        reference: of the run.
        state: after the call.
        looks: at windows of this call.
        rung: looks with alarms that nobody was told of before.
        waiting: rows that do not fill a window yet.
        notes: what is to be said of the reference and of the input.
        alarms: the alarms with their call strings.
        page: the path of the page.
        text: what the command prints.
    """

    reference: Reference
    state: State
    looks: list[Look]
    rung: list[Look]
    waiting: int
    notes: list[str]
    alarms: list[tuple[str, Alarm]]
    page: pathlib.Path
    text: str

    @property
    def exit_code(self) -> int:
        """ALARM where an alarm rings, else 0."""
        return errors.ALARM if self.rung else 0


def pick_alarms(text: str) -> list[tuple[str, Alarm]]:
    """`(call string, alarm)` of each alarm that --alarm names.

    Raises:
        FlagError: an alarm does not exist, or its arguments are wrong.
    """
    calls: tuple[Call[Row], ...] = call_strings.pick_each(ALARMS, text, "alarm")
    if not calls:
        raise FlagError("names no alarm", flag="alarm", fix="--alarm=drift")
    return [(call.text.strip(), call.build()) for call in calls]


def check(options: MonitorOptions) -> None:
    """Checks what can be checked before anything is read.

    Raises:
        FlagError: a flag is missing or wrong.
    """
    require("run", options.run)
    require("input", options.input)
    for text in call_strings.split_outside(options.alarm, "|", "alarm"):
        call_strings.pick(ALARMS, text, "alarm")
    if options.webhook:
        webhook.check(options.webhook)


def run(options: MonitorOptions) -> Watched:
    """Looks at the rows of the input that were not looked at before.

    Raises:
        FlagError: a flag is wrong, or there is no run or no input.
        DataError: the input is not of this run, or the run has no reference.
        ModelError: files of the run or of the watch are refused.
        StorageError: another process is watching, or a file cannot be written.
    """
    check(options)
    alarms = pick_alarms(options.alarm)
    run_folder = pathlib.Path(options.run)
    require_task(run_folder, options.task)
    own_folder = reference.folder_of(run_folder, options.task) / layout.MONITOR
    folder = pathlib.Path(options.output) if options.output else own_folder
    found = reference.read_current(run_folder, options.task)
    with state.claim(folder):
        own, notes = (found, []) if found else _made_reference(run_folder, options.task)
        for _, alarm in alarms:
            alarm.check(own.about)
        before, more = _begin(folder, options, own)
        live = open_input(options, own.about, before)
        watch = _Watch(own, alarms, folder)
        looks, waiting = watch.look_through(before, live, options)
        after = watch.state
        rung = after.rung()
        notes = [*notes, *_role_notes(own), *more, *live.notes]
        path = folder / layout.MONITOR_HTML
        if looks or not path.exists():
            page.write(path, after, own, alarms, options, notes)
        after = _tell(after, rung, options, path)
        state.write(folder, after)
    expected = page.expected_text(alarms, after.looks, options.window)
    text = page.terminal_lines(looks, rung, waiting, own, notes, expected, path)
    return Watched(own, after, looks, rung, waiting, notes, alarms, path, "\n".join(text))


def require_task(run_folder: pathlib.Path, task: str) -> None:
    """Checks that --task names one of several heads of a run, or is empty for a run of one.

    Raises:
        FlagError, ModelError: there is no model, or no such task.
    """
    stored = model_folder.open_folder(run_folder).manifest["core"].get("class_names")
    tasks = list(stored) if isinstance(stored, dict) else []
    if tasks and task not in tasks:
        said = (
            f"has no task {task!r}" if task else "has several heads, which are watched one by one"
        )
        what = f"the run {said} (choices: {choices_text(task, tasks)})"
        raise FlagError(what, flag="task", fix=f"--task={tasks[0]}")
    if task and not tasks:
        what = f"{task!r} is named, and the run has one head, which needs no name"
        raise FlagError(what, flag="task", fix="leave --task out")


def _made_reference(run_folder: pathlib.Path, task: str) -> tuple[Reference, list[str]]:
    """`(reference, notes)` of a run without a reference of its present model."""
    command.load_tensorflow("making the reference of the run")
    from tltf.serving.monitoring import recording

    made = recording.make(run_folder, task)
    return made, ["The run had no reference of its model; it was made from the run's own data."]


def _role_notes(own: Reference) -> list[str]:
    """What must be said of reference rows that are not validation rows; [] otherwise."""
    if own.about.role == "validation":
        return []
    return [f"The run has no validation split, so its reference is its {own.about.role} split."]


def _begin(
    folder: pathlib.Path, options: MonitorOptions, own: Reference
) -> tuple[State, list[str]]:
    """`(state, notes)` before the call."""
    place = str(pathlib.Path(options.input).expanduser().absolute())
    found = state.read(folder)
    model = own.about.model_sha256
    if found is None:
        return State(place, model), []
    if found.input != place:
        what = f"{folder} watches {found.input}, not {place}"
        raise FlagError(what, flag="output", fix=f"another --output, or --input={found.input}")
    if found.model_sha256 != model:
        found = dataclasses.replace(found, model_sha256=model, looks=(), untold=())
        return found, ["The run was trained anew, so the series begins anew; the input goes on."]
    return found, []


class _Watch:
    """Looks at windows one by one, and keeps the state.

    Args:
        own: the reference of the run.
        alarms: with their call strings.
        folder: of the state.
    """

    def __init__(
        self, own: Reference, alarms: Sequence[tuple[str, Alarm]], folder: pathlib.Path
    ) -> None:
        self._reference, self._alarms, self._folder = own, alarms, folder
        self._usual = look.summarize(own.answers, own.about)
        alphas = [alarm.alpha for text, alarm in alarms if call_strings.name_of(text) == "drift"]
        self._permutations = look.permutations_for(min(alphas, default=1.0))
        self._saved_s = time.monotonic()
        self.state: State

    def look_through(
        self, before: State, live: LiveInput, options: MonitorOptions
    ) -> tuple[list[Look], int]:
        """`(looks, waiting rows)` of the rows of an input; `state` is then after the last look.

        Whatever ends it, the state of the last whole look is written.
        """
        self.state, looks = before, list[Look]()
        takes_rest = not before.num_looks if options.rest is None else options.rest
        try:
            records = signals.stop_when_requested(live.records())
            while window := list(itertools.islice(records, options.window)):
                if len(window) < options.window and not takes_rest:
                    return looks, len(window)
                looks.append(self._look(live, window))
                self._save(is_last=False)
        finally:
            self._save(is_last=True)
        return looks, 0

    def _look(self, live: LiveInput, window: Sequence[Record]) -> Look:
        answers: Answers = live.rows.read(window)
        when = answers.time or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        number = self.state.num_looks + 1
        found = look.look_at(answers, self._reference, number, when, self._permutations)
        view = View(
            found, self._reference.about, self._usual, len(self._reference), self.state.looks
        )
        rings = [alarm.ring(view, text) for text, alarm in self._alarms]
        found = dataclasses.replace(found, rings=tuple(filter(None, rings)))
        self.state = self.state.with_look(found, live.position_after(window), live.seen_in(window))
        return found

    def _save(self, *, is_last: bool) -> None:
        if is_last or time.monotonic() - self._saved_s > SAVED_EVERY_S:
            state.write(self._folder, self.state)
            self._saved_s = time.monotonic()


def _tell(after: State, rung: Sequence[Look], options: MonitorOptions, path: pathlib.Path) -> State:
    """Posts alarms to the webhook; the state in which they are told unless that failed."""
    if not rung or not options.webhook:
        return after.told()
    reason = webhook.post(options.webhook, message(rung, options, path))
    if reason:
        warnings.warn(f"{reason}; they are posted again at the next look", stacklevel=2)
        return after
    return after.told()


def message(rung: Sequence[Look], options: MonitorOptions, path: pathlib.Path) -> dict[str, object]:
    """What is posted: `text` for people, and `alarms` for programs."""
    found = [
        {
            "window": row.number,
            "time": row.time,
            "num_rows": row.num_rows,
            **dataclasses.asdict(ring),
        }
        for row in rung
        for ring in row.rings
    ]
    name = pathlib.Path(options.run).absolute().name
    lines = [f"window {row['window']} ({row['time']}): {row['text']}" for row in found]
    return {
        "text": "\n".join([f"tltf monitor: alarm on {name}", *lines]),
        "run": name,
        "input": options.input,
        "page": str(path.absolute()),
        "alarms": found,
    }
