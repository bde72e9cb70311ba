"""New rows together with rows that an earlier run was trained on, so that the old is not forgotten."""

import dataclasses

import numpy as np

from tltf.config import call_strings
from tltf.config.catalogs import SOURCES, SPLITS
from tltf.data import joined_rows, loader, run_data, splits
from tltf.data.source import TRAIN, LoadSettings, Source, require_labels
from tltf.errors import FlagError

NEW, OLD = "new/", "old/"
"""The beginnings of the ids of new rows, and of rows of the earlier run."""
SPLIT = "holdout"
"""How new rows are split where their data has no splits."""


def with_replay(settings: LoadSettings, run: str, data: str, replay: float = 5.0) -> Source:
    """The rows of new data and, of an earlier run, its validation and test rows and some training rows.

    The classes are those of the run, in their order, then the new ones. A row of one training or
    validation split whose content is in the other test split is left out.

    Args:
        settings: LoadSettings.
        run: the folder of the earlier run, whose own data must still be there.
        data: call string of the new data, such as `csv(path=new.csv, text=text, label=label)`.
        replay: training rows of the run per new training row, drawn by class; 0 for none.

    Returns:
        A Source in which every row has a role, and whose ids begin with `new/` or `old/`.

    Raises:
        FlagError: the data is code of one's own, or is of another kind than that of the run.
        DataError: the rows cannot be used.
        ModelError: the run's data is code.
    """
    if replay < 0:
        raise FlagError(f"replay takes a number from 0 (received {replay:g})", flag="data")
    call = call_strings.pick(SOURCES, data, "data")
    run_data.require_no_code("data", call.text, SOURCES, f"with_replay(data={call.text})")
    new = loader.load(
        call, seed=settings.seed, scan=settings.scan, least_classes=1, target=settings.target
    )
    require_labels(new)
    parts = run_data.load_parts(run)
    old = joined_rows.join(
        [joined_rows.with_roles(part, role) for role, part in parts.items()], "the run's data"
    )
    old = dataclasses.replace(old, scan=parts.scan)
    joined_rows.require_same_kind(old, new, "the run was trained on")
    roles = call_strings.pick(SPLITS, SPLIT, "split").build(new, settings.seed)
    new = joined_rows.with_roles(new, roles)
    names = list(dict.fromkeys([*old.class_names, *new.class_names]))
    old, new = old.reorder_classes(names), new.reorder_classes(names)
    old, new = joined_rows.without_copies(old, new), joined_rows.without_copies(new, old)
    old = _draw_training(
        old, round(replay * int(np.sum(np.asarray(new.roles) == TRAIN))), settings.seed
    )
    return joined_rows.join(
        [joined_rows.prefixed(old, OLD), joined_rows.prefixed(new, NEW)], "with_replay"
    )


def is_new(source: Source) -> np.ndarray:
    """bool[N], true for the new rows of a source that `with_replay` made."""
    return np.array([str(name).startswith(NEW) for name in source.ids], bool)


def _draw_training(source: Source, count: int, seed: int) -> Source:
    """The source with `count` of its training rows, drawn by class, and all others."""
    is_training = np.asarray(source.roles) == TRAIN
    rows = np.flatnonzero(is_training)
    if count >= len(rows):
        return source
    kept = ~is_training
    if count:
        kept[rows] = splits.draw_stratified(source, rows, seed, {TRAIN: count}) == TRAIN
    return joined_rows.leave_out(source, kept, "was not drawn for replay")
