"""One Source of several tasks, joined by the ids of its rows from one Source per task."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tltf.data.label_kinds import Labels
from tltf.data.source import Source
from tltf.errors import DataError


def join(base: Source, tasks: Mapping[str, Source]) -> Source:
    """The rows of `base` that have a label of some task, with the labels of all tasks.

    Args:
        base: all rows in their order; its own labels are not used.
        tasks: task -> Source of the rows that have a label of it, with that label.

    Returns:
        A Source with a label field per task. Rows without any label are counted as skipped, and a
        warning says how many rows lack a label of each task.

    Raises:
        DataError: no row of `base` has a label.
    """
    fields = {task: _labels_of(base, source) for task, source in tasks.items()}
    is_known = {task: labels.known for task, labels in fields.items()}
    has_any = np.any(list(is_known.values()), axis=0)
    if not has_any.any():
        raise DataError(f"no row has a label of {', '.join(tasks)}", flag="data")
    rows = [
        {"id": str(base.ids[row]), "reason": f"has no label of {', '.join(tasks)}"}
        for row in np.flatnonzero(~has_any).tolist()
    ]
    scan = base.scan.leave_out(len(rows), rows, "skipped")
    joint = dataclasses.replace(base, label_fields=fields, scan=scan)
    joint = joint if has_any.all() else joint.take(np.flatnonzero(has_any))
    warnings = [
        f"{task}: {int((~labels.known).sum()):,} of {len(joint):,} rows have no label that can be "
        "read, and no weight in its loss"
        for task, labels in joint.label_fields.items()
        if not labels.known.all()
    ]
    of_tasks = [text for source in tasks.values() for text in source.scan.warnings]
    known = dict.fromkeys([*joint.scan.warnings, *of_tasks, *warnings])
    return dataclasses.replace(joint, scan=dataclasses.replace(joint.scan, warnings=[*known]))


def _labels_of(base: Source, source: Source) -> Labels:
    """The Labels of a task for the rows of `base`, whose ids tell which row of `source` is which."""
    (labels,) = source.label_fields.values()
    places = {row_id: place for place, row_id in enumerate(source.ids)}
    found = np.array([places.get(row_id, -1) for row_id in base.ids], np.int64)
    is_known = found >= 0
    values = labels.values[np.maximum(found, 0)].copy()
    values[~is_known] = 0
    return Labels(values, labels.class_names, None if is_known.all() else is_known)
