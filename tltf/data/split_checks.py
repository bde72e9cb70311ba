"""Checks of splits: which arguments they take, which rows are left out, and which faults there are."""

import dataclasses

import numpy as np

from tltf.data import class_checks, label_kinds, row_scan
from tltf.data.source import ROLES, TEST, TRAIN, VALIDATION, ScanCounts, Source
from tltf.errors import DataError, FlagError


def check_holdout(test: float, validation: float, train_on_validation: bool = False) -> None:
    """Raises FlagError for shares that are outside of 0 to 1, or add up to 1 or more."""
    if not (0 <= test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise FlagError(
            f"test={test:g} and validation={validation:g} are not shares that leave rows to train",
            flag="split",
            fix="--split=holdout(test=.2, validation=.1)",
        )


def check_kfold(
    folds: int, fold: int, validation: float, repeats: int = 1, least: int = -1
) -> None:
    """Raises FlagError for a share outside of 0 to 1, or a fold below `least` or beyond the last."""
    check_holdout(0, validation)
    if repeats < 1:
        what = f"repeats must be at least 1 (received {repeats})"
        raise FlagError(what, flag="split", fix="--split=kfold(folds=5, fold=-1, repeats=3)")
    if folds < 2 or not least <= fold < folds * repeats:
        times = f" times {repeats}" if repeats > 1 else ""
        raise FlagError(
            f"kfold has no fold {fold} of {folds}{times} (folds count from 0, at least 2)",
            flag="split",
            fix="--split=kfold(folds=5, fold=0)",
        )


def check_few_shot(
    labels_a_class: int, draws: int, draw: int, test: float, least: int = -1
) -> None:
    """Raises FlagError for a number out of its range, or a draw below `least` or beyond the last."""
    check_holdout(test, 0)
    if labels_a_class < 1 or draws < 1 or not least <= draw < draws or (draw < 0 and draws < 2):
        raise FlagError(
            f"few_shot has no draw {draw} of {draws} with {labels_a_class} labels a class (draws "
            "count from 0, and all of them together are at least 2)",
            flag="split",
            fix="--split=few_shot(labels_a_class=8, draws=10, draw=0)",
        )


def drop_unused_rows(source: Source) -> Source:
    """The source without the rows that have no role."""
    is_used = np.asarray(source.roles) != ""
    scan = exclude_rows(source, is_used, "is not among the rows that were asked for")
    return dataclasses.replace(source.take(np.flatnonzero(is_used)), scan=scan)


def drop_unknown_classes(
    source: Source, roles: np.ndarray, max_bad_fraction: float
) -> tuple[Source, np.ndarray]:
    """`(source, roles)` without the rows of classes or labels that no training row has."""
    if source.labels is None or not label_kinds.kind_of(source.labels).has_classes:
        return source, roles
    counts = label_kinds.kind_of(source.labels).counts(
        source.labels[roles == TRAIN], len(source.class_names)
    )
    if not counts.any():
        return source, roles
    trained = [
        name
        for name, count in zip(source.class_names, counts.tolist(), strict=True)
        if count or name in source.known_classes
    ]
    known = dataclasses.replace(source, roles=roles).keep_classes(
        trained, "is not in the training split"
    )
    row_scan.require_few_bad(known.scan.skipped_rows, known.scan.found, max_bad_fraction)
    return known, np.asarray(known.roles)


def split_warnings(source: Source, roles: np.ndarray) -> list[str]:
    """The warnings about a split; DataError where it cannot be used."""
    if len(source.label_fields) > 1:
        placed = dataclasses.replace(source, roles=roles)
        own = {task: placed.of_task(task) for task in source.label_fields}
        return [
            f"{task}: {text}"
            for task, part in own.items()
            for text in split_warnings(part, np.asarray(part.roles))
        ]
    if source.labels is None:
        return []
    if not np.any(roles == TRAIN):
        raise DataError(f"{source.name} has no rows to train on", flag="split")
    kind = label_kinds.kind_of(source.labels)
    if not kind.has_classes:
        return []
    counts = {
        role: kind.counts(source.labels[roles == role], len(source.class_names)) for role in ROLES
    }
    is_known = np.isin(np.array(source.class_names, object), source.known_classes)
    is_judged = counts[TEST] + counts[VALIDATION] > 0
    unknown = np.flatnonzero((counts[TRAIN] == 0) & is_judged & ~is_known)
    if len(unknown):
        names = ", ".join(source.class_names[place] for place in unknown[:5].tolist())
        raise DataError(
            f"{len(unknown)} classes have test or validation rows but no training row: {names}",
            flag="split",
            fix="add training examples of them, or give --unknown_classes=skip",
        )
    return class_checks.class_warnings(source.class_names, counts, kind)


def exclude_rows(source: Source, is_used: np.ndarray, reason: str) -> ScanCounts:
    """The scan of `source` after the rows without `is_used` (bool[N]) were excluded."""
    rows = [{"id": source.ids[row], "reason": reason} for row in np.flatnonzero(~is_used).tolist()]
    return source.scan.leave_out(len(rows), rows, "excluded")
