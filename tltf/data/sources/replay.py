"""New rows together with rows that an earlier run was trained on, so that the old is not forgotten."""

import dataclasses
from typing import Any

import numpy as np

from tltf.config import call_strings
from tltf.config.catalogs import SOURCES, SPLITS
from tltf.data import label_kinds, loader, run_data, splits
from tltf.data.label_kinds import Labels
from tltf.data.source import (
    TEST,
    TRAIN,
    Column,
    LoadSettings,
    ScanCounts,
    Source,
    require_labels,
)
from tltf.errors import DataError, FlagError

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
    old = _join([_with_roles(part, role) for role, part in parts.items()], "the run's data")
    old = dataclasses.replace(old, scan=parts.scan)
    _require_same_kind(old, new)
    roles = call_strings.pick(SPLITS, SPLIT, "split").build(new, settings.seed)
    new = _with_roles(new, roles)
    names = list(dict.fromkeys([*old.class_names, *new.class_names]))
    old, new = old.reorder_classes(names), new.reorder_classes(names)
    old, new = _without_copies(old, new), _without_copies(new, old)
    old = _draw_training(
        old, round(replay * int(np.sum(np.asarray(new.roles) == TRAIN))), settings.seed
    )
    return _join([_prefixed(old, OLD), _prefixed(new, NEW)], "with_replay")


def is_new(source: Source) -> np.ndarray:
    """bool[N], true for the new rows of a source that `with_replay` made."""
    return np.array([str(name).startswith(NEW) for name in source.ids], bool)


def _require_same_kind(old: Source, new: Source) -> None:
    """Raises FlagError where rows of both cannot stand in one data set."""
    kinds = [{name: part.kind for name, part in source.fields.items()} for source in (old, new)]
    if kinds[0] != kinds[1]:
        told = [", ".join(f"{name} ({kind})" for name, kind in one.items()) for one in kinds]
        what = f"the new data has {told[1]}, and the run was trained on {told[0]}"
        raise FlagError(what, flag="data", fix="give the new data in the same form")
    before, now = (label_kinds.kind_of(np.asarray(source.labels)) for source in (old, new))
    if before is not now:
        what = f"the new data has {now.phrase} per row, and the run's has {before.phrase}"
        raise FlagError(what, flag="data")


def _without_copies(source: Source, other: Source) -> Source:
    """The source without rows to learn or choose from whose content is among the other's test rows."""
    tested = other.content_hashes()[np.asarray(other.roles) == TEST]
    is_copy = np.isin(source.content_hashes(), tested) & (np.asarray(source.roles) != TEST)
    return _leave_out(source, ~is_copy, "its content is in the other data's test split")


def _draw_training(source: Source, count: int, seed: int) -> Source:
    """The source with `count` of its training rows, drawn by class, and all others."""
    is_training = np.asarray(source.roles) == TRAIN
    rows = np.flatnonzero(is_training)
    if count >= len(rows):
        return source
    kept = ~is_training
    if count:
        kept[rows] = splits.draw_stratified(source, rows, seed, {TRAIN: count}) == TRAIN
    return _leave_out(source, kept, "was not drawn for replay")


def _leave_out(source: Source, kept: np.ndarray, reason: str) -> Source:
    rows = np.flatnonzero(~kept).tolist()
    named = [{"id": str(source.ids[row]), "reason": reason} for row in rows]
    scan = source.scan.leave_out(len(rows), named, "excluded")
    return dataclasses.replace(source.take(np.flatnonzero(kept)), scan=scan)


def _prefixed(source: Source, prefix: str) -> Source:
    return dataclasses.replace(source, ids=[f"{prefix}{name}" for name in source.ids])


def _with_roles(source: Source, roles: np.ndarray | str) -> Source:
    """The source with the roles of its rows, or with one role for all."""
    given = np.broadcast_to(np.asarray(roles, splits.ROLE_DTYPE), len(source)).copy()
    return dataclasses.replace(source, roles=given)


def _join(sources: list[Source], name: str) -> Source:
    """One source of the rows of several that have the same fields and classes, and roles.

    Args:
        sources: at least one.
        name: of the new source.
    """
    first = sources[0]
    fields = {
        key: Column(part.kind, _joined(part.kind, [own.fields[key].values for own in sources]))
        for key, part in first.fields.items()
    }
    values = np.concatenate([np.asarray(own.labels) for own in sources])
    (label,) = first.label_fields
    return Source(
        name=name,
        fields=fields,
        label_fields={label: Labels(values, first.class_names)},
        ids=[str(row) for own in sources for row in own.ids],
        roles=np.concatenate([np.asarray(own.roles) for own in sources]),
        scan=_summed([own.scan for own in sources]),
        hashes=np.concatenate([own.content_hashes() for own in sources]),
    )


def _joined(kind: str, columns: list[Any]) -> "list[Any] | np.ndarray":
    if kind != "array":
        return [value for column in columns for value in column]
    shapes = {np.asarray(column).shape[1:] for column in columns}
    if len(shapes) > 1:
        what = f"the new pictures and those of the run have different shapes: {sorted(shapes)}"
        raise DataError(what, flag="data", fix="give the new ones in the shape of the old")
    return np.concatenate([np.asarray(column) for column in columns])


def _summed(counts: list[ScanCounts]) -> ScanCounts:
    """The counts of several scans together."""

    def total(name: str) -> int:
        return sum(getattr(scan, name) for scan in counts)

    def every(name: str) -> list[Any]:
        return [row for scan in counts for row in getattr(scan, name)]

    return ScanCounts(
        total("found"),
        total("used"),
        total("skipped"),
        total("excluded"),
        total("ignored"),
        every("warnings"),
        every("skipped_rows"),
        every("excluded_rows"),
    )
