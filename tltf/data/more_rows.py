"""Rows of another domain and rows without labels, which some methods learn from beside the training rows."""

import dataclasses
import warnings

import numpy as np

from tltf.config.options import Options
from tltf.config.recipe import DataRecipe
from tltf.data import splits
from tltf.data.source import TARGET, TEST, TRAIN, UNLABELLED, VALIDATION, Source, Splits
from tltf.errors import DataError

ORDER = (TRAIN, VALIDATION, TEST, TARGET, UNLABELLED)
"""The order of all roles."""


def add_target(parts: Splits, target: Source, recipe: DataRecipe, options: Options) -> Splits:
    """The splits with the rows of another domain.

    Where the target has labels, its test split, as --split draws it, becomes the test split, and the
    test rows of the source are not used; its other rows get the role TARGET, with labels that are for
    the oracle and for judging alone. Where it has none, all its rows get this role.

    Args:
        parts: the splits of the source, which is learned from.
        target: the rows of the other domain, with the classes of the source in their order.
        recipe: the calls that the options name.
        options: the options of the run.

    Raises:
        DataError: the target has rows of another modality, or no row that can be learned from.
    """
    _require_modality(parts.train, target, "target_data")
    if target.labels is None:
        warnings.warn(
            f"{target.name} has no labels, so that the test rows are those of --data, and nothing "
            "measures the model on the domain that it is for",
            stacklevel=2,
        )
        return _joined(parts, TARGET, _without(target, _contents(parts, VALIDATION, TEST)))
    drawn = splits.split(target, recipe.split, options.runtime.seed, options.data.scan)
    test = drawn.test
    if test is None:
        return _joined(parts, TARGET, _without(target, _contents(parts, VALIDATION, TEST)))
    num_unused = len(parts.test or ())
    judged = test.content_hashes()
    found = Splits({role: _without(part, judged) for role, part in parts.items() if role != TEST})
    found[TEST] = dataclasses.replace(test, scan=parts.scan)
    note = f"the {len(test):,} test rows are those of {target.name}"
    if num_unused:
        note += f"; {num_unused:,} test rows of {parts.train.name} are not used"
    rest = _without(target, judged)
    note += (
        f"; labels of its other {len(rest):,} rows are not learned from: only the oracle reads them"
    )
    found = found.with_scan(dataclasses.replace(parts.scan, warnings=[*parts.scan.warnings, note]))
    return _joined(found, TARGET, rest)


def add_unlabelled(parts: Splits, rows: Source) -> Splits:
    """The splits with rows without labels.

    Rows whose content is in the validation or the test split are left out.

    Args:
        parts: the splits of the labelled rows.
        rows: the others; labels that they have are dropped.

    Raises:
        DataError: the rows are of another modality, or all of them are left out.
    """
    _require_modality(parts.train, rows, "unlabelled_data")
    rows = dataclasses.replace(rows, label_fields={})
    return _joined(parts, UNLABELLED, _without(rows, _contents(parts, VALIDATION, TEST)))


def _joined(parts: Splits, role: str, rows: Source) -> Splits:
    """The splits with one more role, in the order of all roles."""
    if not len(rows):
        what = f"no row of {rows.name} is left to learn from: all are validation or test rows"
        raise DataError(what, flag=f"{role}_data")
    rows = dataclasses.replace(
        rows, scan=parts.scan, roles=np.full(len(rows), role, splits.ROLE_DTYPE)
    )
    found = {**parts, role: rows}
    return Splits({name: found[name] for name in ORDER if name in found})


def _contents(parts: Splits, *roles: str) -> np.ndarray:
    """uint64[M]: the content hashes of some splits."""
    found = [parts[role].content_hashes() for role in roles if role in parts]
    return np.concatenate(found) if found else np.zeros(0, np.uint64)


def _without(rows: Source, contents: np.ndarray) -> Source:
    """The rows whose content is none of uint64[M] hashes."""
    is_kept = ~np.isin(rows.content_hashes(), contents)
    return rows if is_kept.all() else rows.take(np.flatnonzero(is_kept))


def _require_modality(train: Source, rows: Source, flag: str) -> None:
    """Raises DataError where rows are images and training rows texts, or the other way round."""
    if rows.modality != train.modality:
        what = f"{rows.name} has {rows.modality}s, and {train.name} has {train.modality}s"
        raise DataError(what, flag=flag)
