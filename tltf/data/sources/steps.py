"""Data that comes in steps: several data sets in turn, or the classes of one, a few at a time.

What a step may learn from is decided here and nowhere else: its own rows, and those rows of earlier
steps that the memory holds, see `kept_rows`. The test rows of all steps so far judge it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tltf.config import call_strings
from tltf.config.catalogs import SOURCES, SPLITS
from tltf.data import joined_rows, kept_rows, label_kinds, loader, run_data
from tltf.data.source import TEST, TRAIN, LoadSettings, Source, require_labels
from tltf.errors import FlagError, choices_text

STEP, MEMORY, ALL = ROWS = ("step", "memory", "all")
"""What a step trains on: its rows and the memory; the memory alone; the rows of all steps so far."""
SPLIT = "holdout"
"""How rows are split where their data has no splits."""
_ID = "step_{}/"
"""The beginning of the ids of a step's rows."""


@dataclasses.dataclass(frozen=True)
class _Asked:
    """The arguments that both sources share, see `sequence`."""

    step: int
    memory: int
    choice: str
    rows: str
    kept: str


def sequence(
    settings: LoadSettings,
    steps: Sequence[str] = (),
    step: int = 0,
    memory: int = 0,
    choice: str = kept_rows.RESERVOIR,
    rows: str = STEP,
    kept: str = "",
) -> Source:
    """Several data sets as steps, such as domains in turn.

    Args:
        settings: LoadSettings.
        steps: call strings of SOURCES, at least two.
        step: the step whose rows are wanted, from 1; 0 for the rows of all steps. With 0 tltf.train
            trains every step, one after the other.
        memory: rows of earlier steps that are kept, at most.
        choice: which ones: reservoir, balanced or herding, see `kept_rows.update`.
        rows: what a step trains on: `step` for its own rows and the memory, `memory` for the memory
            alone, which has rows of the step too, `all` for the rows of all steps so far.
        kept: the file of the memory; empty for none.

    Returns:
        A Source whose rows have roles, and ids that begin with `step_N/`. Its classes are those of
        the steps so far, in the order in which they came.

    Raises:
        FlagError: fewer than two steps, one that is code, or an argument out of its range.
        DataError: the rows cannot be used.
        ModelError: the file of the memory cannot be read.
    """
    if len(steps) < 2:
        what = f"a sequence has two steps or more (received {len(steps)})"
        raise FlagError(
            what,
            flag="data",
            fix="--data='sequence(steps=[vader(domain=movie), vader(domain=tweets)])'",
        )
    parts = [_load(text, settings) for text in steps]
    for part in parts[1:]:
        joined_rows.require_same_kind(parts[0], part)
    names = list(dict.fromkeys(name for part in parts for name in part.class_names))
    asked = _Asked(step, memory, choice, rows, kept)
    return _rows_of(_number(parts), names, asked, "sequence")


def class_steps(
    settings: LoadSettings,
    data: str,
    classes: int = 2,
    order: int = 0,
    step: int = 0,
    memory: int = 0,
    choice: str = kept_rows.RESERVOIR,
    rows: str = STEP,
    kept: str = "",
) -> Source:
    """The classes of one data set as steps, a few new ones in each.

    Args:
        settings: LoadSettings.
        data: call string of SOURCES.
        classes: classes of each step; the last step may have fewer.
        order: seed of the order of the classes; 0 takes them as the data names them.
        step: see `sequence`.
        memory: see `sequence`.
        choice: see `sequence`.
        rows: see `sequence`.
        kept: see `sequence`.

    Returns:
        A Source, as `sequence` gives it.

    Raises:
        FlagError: fewer than two steps, data that is code, or an argument out of its range.
        DataError: the rows cannot be used.
        ModelError: the file of the memory cannot be read.
    """
    whole = _load(data, settings)
    names = list(whole.class_names)
    if classes < 1 or classes >= len(names):
        what = f"{len(names)} classes in steps of {classes} are not two steps or more"
        raise FlagError(what, flag="data", fix=f"classes={max(1, len(names) // 2)}")
    if order:
        names = [names[place] for place in np.random.default_rng(order).permutation(len(names))]
    whole = whole.reorder_classes(names)
    labels = np.asarray(whole.labels)
    starts = range(0, len(names), classes)
    parts = [
        whole.take(np.flatnonzero((labels >= start) & (labels < start + classes)))
        for start in starts
    ]
    numbered = dataclasses.replace(_number(parts), scan=whole.scan)
    return _rows_of(numbered, names, _Asked(step, memory, choice, rows, kept), "class_steps")


def numbers_of(source: Source) -> np.ndarray:
    """int64[N]: the step of each row of a Source of this module, from 1."""
    before = len(_ID.partition("{}")[0])
    return np.array([int(str(name)[before:].partition("/")[0]) for name in source.ids], np.int64)


def _load(text: str, settings: LoadSettings) -> Source:
    """The rows of one data set with their roles."""
    call = call_strings.pick(SOURCES, text, "data")
    run_data.require_no_code("data", call.text, SOURCES, f"the step {call.text}")
    source = loader.load(
        call, seed=settings.seed, scan=settings.scan, least_classes=1, target=settings.target
    )
    require_labels(source)
    kind = label_kinds.kind_of(np.asarray(source.labels))
    if not kind.is_one_class:
        what = f"steps take rows of one class each, and {call.text} has {kind.phrase}"
        raise FlagError(what, flag="data", fix="--head=classify")
    roles = call_strings.pick(SPLITS, SPLIT, "split").build(source, settings.seed)
    return joined_rows.with_roles(source, roles)


def _number(parts: Sequence[Source]) -> Source:
    """The rows of all steps as those of one data set, with the number of its step before each id."""
    names = list(dict.fromkeys(name for part in parts for name in part.class_names))
    numbered = [
        joined_rows.prefixed(part.reorder_classes(names), _ID.format(number))
        for number, part in enumerate(parts, 1)
    ]
    return joined_rows.join(numbered, "steps")


def _rows_of(whole: Source, names: Sequence[str], asked: _Asked, name: str) -> Source:
    """The rows of a step, or of all steps.

    Args:
        whole: the rows of all steps.
        names: the classes, in the order in which they come.
        asked: which rows.
        name: of the source.
    """
    numbers = numbers_of(whole)
    _require(asked, int(numbers.max()), name)
    whole = dataclasses.replace(whole.reorder_classes(names), name=name)
    whole = joined_rows.without_copies(whole, whole)
    numbers, roles = numbers_of(whole), np.asarray(whole.roles)
    if not asked.step:
        return whole
    memory = kept_rows.read(asked.kept).ids if asked.kept else ()
    is_past, is_own = numbers <= asked.step, numbers == asked.step
    is_kept = np.isin(np.array([str(row) for row in whole.ids]), memory) & (roles == TRAIN)
    allowed = {ALL: is_past, MEMORY: is_kept, STEP: is_own | is_kept}[asked.rows]
    stays = is_past & (allowed | (roles == TEST))
    found = joined_rows.leave_out(whole, stays, "the step may not read it")
    labels, is_before = np.asarray(whole.labels), numbers < asked.step
    num_classes, num_known = (
        int(labels[rows].max(initial=-1)) + 1 for rows in (is_past, is_before)
    )
    found = found.with_labels(np.asarray(found.labels), names[:num_classes])
    known = () if asked.rows == ALL else tuple(names[:num_known])
    return dataclasses.replace(found, known_classes=known)


def _require(asked: _Asked, num_steps: int, name: str) -> None:
    """Raises FlagError for an argument out of its range."""
    kept_rows.require(asked.choice, asked.memory)
    if not 0 <= asked.step <= num_steps:
        what = f"{name} has no step {asked.step} of {num_steps} (they count from 1)"
        raise FlagError(what, flag="data", fix="step=0 is all of them")
    if asked.rows not in ROWS:
        what = f"there are no rows {asked.rows!r} (choices: {choices_text(asked.rows, ROWS)})"
        raise FlagError(what, flag="data", fix=f"rows={STEP}")
    if asked.rows == MEMORY and (not asked.memory or asked.choice == kept_rows.HERDING):
        what = "rows=memory needs a memory whose choice needs no trained network"
        raise FlagError(what, flag="data", fix="memory=500, choice=balanced, rows=memory")
