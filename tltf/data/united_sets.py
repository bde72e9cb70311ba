"""One Source of several data sets, each of which has the labels of one task."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tltf.data import joined_rows
from tltf.data.label_kinds import Labels
from tltf.data.mixed_sets import MixedSets
from tltf.data.source import ScanCounts, Source
from tltf.data.splits import ROLE_DTYPE
from tltf.errors import FlagError


def unite(sets: Mapping[str, Source], alpha: float) -> Source:
    """The rows of all data sets, with a label field per task.

    Args:
        sets: name of a task -> the rows that have a label of it, with that label alone.
        alpha: see `MixedSets`.

    Returns:
        A Source whose ids begin with the name of the data set, `a/`. Roles are those that the data sets
        give, "" for others.

    Raises:
        FlagError: the data sets have other fields or are of several modalities.
    """
    parts = list(sets.values())
    _require_alike(sets)
    counts = [len(part) for part in parts]
    numbers = np.repeat(np.arange(len(parts)), counts)
    roles = [
        np.full(len(part), "", ROLE_DTYPE) if part.roles is None else part.roles for part in parts
    ]
    return Source(
        name=" and ".join(part.name for part in parts),
        fields=joined_rows.join_fields(parts),
        label_fields={
            task: _spread(part, numbers == number)
            for number, (task, part) in enumerate(sets.items())
        },
        ids=[f"{task}/{row}" for task, part in sets.items() for row in part.ids],
        roles=np.concatenate(roles),
        scan=joined_rows.sum_scans([_named(task, part.scan) for task, part in sets.items()]),
        hashes=np.concatenate([part.content_hashes() for part in parts]),
        groups=np.concatenate([part.split_groups() for part in parts]),
        mixed=MixedSets(numbers, alpha, len(parts)),
    )


def _named(task: str, scan: ScanCounts) -> ScanCounts:
    """The counts of a data set, whose rows and warnings have its name before them."""
    return dataclasses.replace(
        scan,
        warnings=[f"{task}: {text}" for text in scan.warnings],
        skipped_rows=[{**row, "id": f"{task}/{row['id']}"} for row in scan.skipped_rows],
        excluded_rows=[{**row, "id": f"{task}/{row['id']}"} for row in scan.excluded_rows],
    )


def _spread(part: Source, is_own: np.ndarray) -> Labels:
    """The Labels of one task for the rows of all data sets; those of others have none."""
    (labels,) = part.label_fields.values()
    values = np.zeros((len(is_own), *labels.values.shape[1:]), labels.values.dtype)
    values[is_own] = labels.values
    return Labels(values, labels.class_names, is_own)


def _require_alike(sets: Mapping[str, Source]) -> None:
    (first, one), *others = sets.items()
    for name, other in others:
        if other.modality != one.modality or list(other.fields) != list(one.fields):
            told = [
                f"{task} has {', '.join(part.fields)} ({part.modality}s)"
                for task, part in ((first, one), (name, other))
            ]
            what = f"data sets of one network have the same fields, but {' and '.join(told)}"
            raise FlagError(what, flag="data", fix="name the columns alike, or train two networks")
