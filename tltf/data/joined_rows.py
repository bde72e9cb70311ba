"""Rows of several data sets as those of one: their roles, ids, classes and counts."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from tltf.data import label_kinds, splits
from tltf.data.images import conversion
from tltf.data.label_kinds import Labels
from tltf.data.source import TEST, Column, ScanCounts, Source
from tltf.errors import DataError, FlagError


def with_roles(source: Source, roles: np.ndarray | str) -> Source:
    """The source with the roles of its rows, or with one role for all."""
    given = np.broadcast_to(np.asarray(roles, splits.ROLE_DTYPE), len(source)).copy()
    return dataclasses.replace(source, roles=given)


def prefixed(source: Source, prefix: str) -> Source:
    """The source with a text before the id of each row."""
    return dataclasses.replace(source, ids=[f"{prefix}{name}" for name in source.ids])


def leave_out(source: Source, kept: np.ndarray, reason: str) -> Source:
    """The source with the rows `kept` (bool[N]) only; the others are counted as excluded.

    Args:
        source: the rows.
        kept: bool[N], which rows stay.
        reason: why the others are left out.
    """
    rows = np.flatnonzero(~kept).tolist()
    named = [{"id": str(source.ids[row]), "reason": reason} for row in rows]
    scan = source.scan.leave_out(len(rows), named, "excluded")
    return dataclasses.replace(source.take(np.flatnonzero(kept)), scan=scan)


def without_copies(source: Source, other: Source) -> Source:
    """The source without rows to learn or choose from whose content is among the other's test rows."""
    tested = other.content_hashes()[np.asarray(other.roles) == TEST]
    is_copy = np.isin(source.content_hashes(), tested) & (np.asarray(source.roles) != TEST)
    return leave_out(source, ~is_copy, "its content is in the other data's test split")


def require_same_kind(old: Source, new: Source, said: str = "the rows before them have") -> None:
    """Raises FlagError where rows of both cannot stand in one data set.

    Args:
        old: the rows before.
        new: the rows that come to them.
        said: what an error says before the form of the old rows.
    """
    kinds = [{name: part.kind for name, part in source.fields.items()} for source in (old, new)]
    if kinds[0] != kinds[1]:
        told = [", ".join(f"{name} ({kind})" for name, kind in one.items()) for one in kinds]
        what = f"the new data has {told[1]}, and {said} {told[0]}"
        raise FlagError(what, flag="data", fix="give the new data in the same form")
    before, now = (label_kinds.kind_of(np.asarray(source.labels)) for source in (old, new))
    if before is not now:
        what = f"the new data has {now.phrase} per row, and {said} {before.phrase}"
        raise FlagError(what, flag="data")


def join(sources: list[Source], name: str) -> Source:
    """One source of the rows of several that have the same fields and classes, and roles.

    Args:
        sources: at least one.
        name: of the new source.
    """
    first = sources[0]
    values = np.concatenate([np.asarray(own.labels) for own in sources])
    (label,) = first.label_fields
    return Source(
        name=name,
        fields=join_fields(sources),
        label_fields={label: Labels(values, first.class_names)},
        ids=[str(row) for own in sources for row in own.ids],
        roles=np.concatenate([np.asarray(own.roles) for own in sources]),
        scan=sum_scans([own.scan for own in sources]),
        hashes=np.concatenate([own.content_hashes() for own in sources]),
    )


def join_fields(sources: list[Source]) -> dict[str, Column]:
    """The fields of the rows of several sources that have the same ones, one after another.

    Pictures of several kinds or shapes become encoded ones, arrays without loss.
    """
    found = {}
    for key in sources[0].fields:
        columns = [own.fields[key] for own in sources]
        shapes = {np.shape(column.values)[1:] for column in columns if column.kind == "array"}
        if len({column.kind for column in columns}) > 1 or len(shapes) > 1:
            columns = [_encoded(column) for column in columns]
        kind = columns[0].kind
        found[key] = Column(kind, _joined(kind, [column.values for column in columns]))
    return found


def _encoded(column: Column) -> Column:
    """A column of pictures as one of encoded ones."""
    if column.kind == "array":
        return Column("bytes", [conversion.encode_array(array) for array in column.values])
    if column.kind == "path":
        return Column("bytes", [pathlib.Path(path).read_bytes() for path in column.values])
    return column


def _joined(kind: str, columns: list[Any]) -> "list[Any] | np.ndarray":
    if kind != "array":
        return [value for column in columns for value in column]
    shapes = {np.asarray(column).shape[1:] for column in columns}
    if len(shapes) > 1:
        what = f"the new pictures and those before them have different shapes: {sorted(shapes)}"
        raise DataError(what, flag="data", fix="give the new ones in the shape of the old")
    return np.concatenate([np.asarray(column) for column in columns])


def sum_scans(counts: list[ScanCounts]) -> ScanCounts:
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
