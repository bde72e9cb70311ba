"""Sources with fewer rows, drawn by a seed, in which classes have the shares that they had."""

import dataclasses

import numpy as np

from tltf.data.source import TEST, TRAIN, VALIDATION, Source
from tltf.data.split_checks import drop_unused_rows
from tltf.data.splits import ROLE_DTYPE, draw_stratified
from tltf.errors import FlagError


def draw_roles(
    source: Source, seed: int, num_train: int, num_validation: int = 0, num_test: int = 0
) -> Source:
    """`source` with the given number of rows per role, and without other rows.

    Args:
        source: rows without roles.
        seed: seed of the draw.
        num_train: number of training rows; 0 leaves all rows that are not test rows to --split.
        num_validation: number of validation rows; 0 for a quarter of `num_train`.
        num_test: number of test rows; 0 for all that remain.

    Raises:
        FlagError: there are fewer rows.
    """
    if not num_train and not num_test:
        return source
    rows = np.arange(len(source))
    num_validation = num_validation or num_train // 4
    left = len(rows) - num_train - num_validation - num_test
    if min(left, num_train, num_validation, num_test) < 0 or (left == 0 and not num_test):
        raise FlagError(
            f"{source.name} has {len(rows)} examples, fewer than the {num_train} to train, "
            f"{num_validation} to validate and {num_test or 'some'} to test",
            flag="data",
            fix="give a smaller num_train",
        )
    sizes = {TEST: num_test or left, VALIDATION: num_validation}
    if num_train:
        sizes[TRAIN] = num_train
    roles = draw_stratified(source, rows, seed, sizes)
    return drop_unused_rows(dataclasses.replace(source, roles=roles))


def reduce_splits(
    source: Source, seed: int, num_train: int, num_validation: int = 0, num_test: int = 0
) -> Source:
    """`source`, which has train and test splits, with the given number of rows per role.

    Args:
        source: rows with roles.
        seed: seed of the draw.
        num_train: number of training rows, out of the training split; 0 for all.
        num_validation: number of validation rows, out of the training split; 0 for a quarter of
            `num_train`.
        num_test: number of test rows, out of the test split; 0 for all.

    Raises:
        FlagError: there are fewer rows.
    """
    roles = np.array(source.roles)
    num_validation = num_validation or num_train // 4
    draws = ((TRAIN, {TRAIN: num_train, VALIDATION: num_validation}), (TEST, {TRAIN: num_test}))
    for role, sizes in draws:
        rows = np.flatnonzero(roles == role)
        if sum(sizes.values()) > len(rows):
            raise FlagError(
                f"{source.name} has {len(rows)} rows in its {role} split, fewer than the "
                f"{sum(sizes.values())} asked for",
                flag="data",
                fix=f"give a smaller num_{role}",
            )
        if sizes[TRAIN]:
            taken = draw_stratified(source, rows, seed, sizes)
            roles[rows] = np.where(taken == TRAIN, role, taken)
    return drop_unused_rows(dataclasses.replace(source, roles=roles))


def limit_rows(source: Source, limit: int, seed: int) -> Source:
    """`source` with at most `limit` rows, in which classes and roles have the shares that they had.

    Args:
        source: rows with or without roles.
        limit: number of rows, at least 1.
        seed: seed of the draw.
    """
    if limit >= len(source):
        return source
    given = np.full(len(source), "", ROLE_DTYPE)
    given = given if source.roles is None else np.asarray(source.roles)
    kept = np.zeros(len(source), bool)
    for role in np.unique(given):
        rows = np.flatnonzero(given == role)
        size = max(round(limit * len(rows) / len(source)), 1)
        kept[rows] = draw_stratified(source, rows, seed, {TRAIN: size}) == TRAIN
    left_out = [
        {"id": str(source.ids[row]), "reason": "--limit left it out"}
        for row in np.flatnonzero(~kept).tolist()
    ]
    scan = source.scan
    scan = dataclasses.replace(
        scan,
        used=scan.used - len(left_out),
        excluded=scan.excluded + len(left_out),
        excluded_rows=[*scan.excluded_rows, *left_out],
    )
    return dataclasses.replace(source.take(np.flatnonzero(kept)), scan=scan)
