"""The scan of a data set: every row is used, skipped or excluded, and counted, before training."""

import collections
import contextlib
import dataclasses
import errno
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from tltf.data.source import ROLES, ScanCounts
from tltf.errors import DataError, FlagError, TltfError, choices_text, nearest

LISTED = 5
"""The number of examples that the message of a fault names."""
SHOWN_FAULTS, MOST_FAULTS = 4, 10_000
"""The number of kinds of faults in a message, and of faults that are kept for the report."""


class Scan:
    """A count of rows with all their faults, so that all of them are known when one is reported.

    Args:
        name: name of the source, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.num_found = self.num_ignored = 0
        self.skipped, self.excluded = list[dict[str, str]](), list[dict[str, str]]()
        self.warnings, self.failures = list[str](), list[TltfError]()
        self.skipped_labels: dict[str, list[int]] = {}
        self.num_faults = 0

    def skip(self, row_id: str, reason: str, label: str = "") -> None:
        """Leaves out a bad row; a label that is known tells which classes lose rows by it."""
        self.skipped.append({"id": row_id, "reason": reason})
        if label:
            self.skipped_labels.setdefault(label, []).append(len(self.skipped) - 1)

    def exclude(self, row_id: str, reason: str) -> None:
        """Leaves out a good row that must not be used, such as a copy of a test image in training."""
        self.excluded.append({"id": row_id, "reason": reason})

    def warn(self, text: str) -> None:
        """Adds a warning."""
        self.warnings.append(text)

    def fail(self, what: str, *, place: str = "", fix: str = "") -> None:
        """Adds a fault that makes the data set unusable; see `stop_if_failed`."""
        self.add(DataError(what, flag="data", place=place, fix=fix))

    def add(self, error: DataError | FlagError) -> None:
        """Adds a fault that is an error already."""
        self.num_faults += 1
        if len(self.failures) < MOST_FAULTS:
            self.failures.append(
                error.with_traceback(None)
            )  # a traceback would keep the rows in memory

    @contextlib.contextmanager
    def collect_errors(self) -> Iterator[None]:
        """A block whose error is added as a fault, so that the scan goes on after it."""
        try:
            yield
        except (DataError, FlagError) as error:
            self.add(error)

    def stop_if_failed(self) -> None:
        """Raises one error for all faults that were added.

        Raises:
            DataError, FlagError: the kind of the first fault.
        """
        if self.failures:
            raise _join_faults(self.failures, self.num_faults, self.counts())

    def counts(self) -> ScanCounts:
        """The ScanCounts, with the faults that were added."""
        rows = [fault_row(fault) for fault in self.failures]
        if more := self.num_faults - len(rows):
            rows.append({"id": self.name, "reason": f"{more} more faults", "fix": ""})
        num_skipped, num_excluded = len(self.skipped), len(self.excluded)
        return ScanCounts(
            self.num_found,
            self.num_found - num_skipped - num_excluded,
            num_skipped,
            num_excluded,
            self.num_ignored,
            list(self.warnings),
            list(self.skipped),
            list(self.excluded),
            fault_rows=rows or None,
        )

    def finish(self, max_bad_fraction: float) -> ScanCounts:
        """The ScanCounts, in which `found` = `used` + `skipped` + `excluded`.

        Args:
            max_bad_fraction: largest share of rows that may be skipped, 0 to 1.

        Raises:
            DataError, FlagError: a fault was added, or too many rows are bad.
        """
        with self.collect_errors():
            require_few_bad(self.skipped, self.num_found, max_bad_fraction)
        self.stop_if_failed()
        return self.counts()


def fault_row(fault: TltfError) -> dict[str, str]:
    """A dict with the place, the reason and the fix of a fault, as data_report.jsonl lists it."""
    return {"id": fault.place or f"--{fault.flag}", "reason": fault.what, "fix": fault.fix}


def _join_faults(faults: Sequence[TltfError], number: int, scan: ScanCounts) -> TltfError:
    """One error that names the number of faults, and the first fault of each kind with its place."""
    first, kinds = faults[0], collections.Counter(fault.what for fault in faults)
    first.scan = scan
    if number == 1:
        return first
    places = {fault.what: fault.place for fault in reversed(faults)}
    others = [
        f"{f'{places[what]}: ' if places[what] else ''}{what}{_times_text(count)}"
        for what, count in list(kinds.items())[1:SHOWN_FAULTS]
    ]
    if (more := len(kinds) - SHOWN_FAULTS) > 0:
        others.append(f"{more} more kinds")
    rest = f" (1 of {number} faults; others: {' | '.join(others)})" if others else ""
    what = f"{first.what}{_times_text(kinds[first.what] if others else number)}{rest}"
    error = type(first)(what, flag=first.flag, place=first.place, fix=first.fix)
    error.scan = scan
    return error


def _times_text(count: int) -> str:
    return f" ({count:,} times)" if count > 1 else ""


@contextlib.contextmanager
def attach_scan(scan: ScanCounts) -> Iterator[None]:
    """A block whose error carries the counts and rows of a scan beside its faults."""
    try:
        yield
    except TltfError as error:
        rows = error.scan and error.scan.fault_rows
        error.scan = dataclasses.replace(scan, fault_rows=rows or [fault_row(error)])
        raise


def require_few_bad(skipped: Sequence[dict[str, str]], num_found: int, most: float) -> None:
    """Raises DataError where a larger share of the rows than `most` was skipped.

    Args:
        skipped: list of dict with `id` and `reason`.
        num_found: number of rows, with those that were skipped.
        most: largest share, 0 to 1.
    """
    if len(skipped) <= most * num_found:
        return
    reasons = collections.Counter(row["reason"] for row in skipped).most_common(3)
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons)
    needed = -(-100 * len(skipped) // num_found) / 100  # rounded up to two decimals
    is_any_left = len(skipped) < num_found
    fix = f"repair them or give --max_bad_fraction={needed:g}"
    if sum("number of fields" in row["reason"] for row in skipped) * 2 > len(skipped):
        fix = "quote the texts that hold the delimiter; otherwise just these rows would be lost"
    elif "link" in counted:
        fix = "give --follow_links, or copy the files with cp -rL"
    elif not is_any_left:
        fix = "repair them: no row is left"
    raise DataError(
        f"{len(skipped)} of {num_found} rows are bad ({len(skipped) / num_found:.1%}; at most "
        f"{100 * most:g}% are allowed): {counted}; first: {skipped[0]['id']}",
        flag="data",
        fix=fix,
    )


def existing_path(text: str, flag: str = "data") -> pathlib.Path:
    """The Path that a text names, which exists.

    Raises:
        FlagError: nothing is there; the error names the nearest folder that exists.
    """
    path = pathlib.Path(os.path.expanduser(text))
    if _exists(path):
        return path
    parent = next(f for f in path.absolute().parents if _exists(f) and f.is_dir())
    name = path.absolute().relative_to(parent).parts[0]
    near = nearest(name, os.listdir(parent), limit=1)
    fix = f"see what is in {parent}"
    if near:
        found = str(parent / near[0])
        found = found if os.path.isabs(os.path.expanduser(text)) else os.path.relpath(found)
        fix = f"path={found}" if flag == "data" else f"--{flag}={found}"
    raise FlagError(
        f"no file or folder {text} (the nearest that exists: {parent})", flag=flag, fix=fix
    )


def _exists(path: pathlib.Path) -> bool:
    """Whether something is there; nothing is where the name is too long for a file."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def check_column(
    name: str, columns: Sequence[str], argument: str, place: pathlib.Path | str
) -> None:
    """Raises FlagError unless `name` is among `columns`.

    Args:
        name: the column that is asked for.
        columns: the names of the columns that are there.
        argument: the name of the argument that asks for it.
        place: the file.
    """
    if name not in columns:
        near = nearest(name, columns, limit=1)
        raise FlagError(
            f"no column {name!r} (columns: {choices_text(name, columns)})",
            flag="data",
            place=place,
            fix=f"{argument}={near[0]}" if near else f"{argument}=COLUMN",
        )


def find_usable_rows(
    scan: Scan,
    ids: Sequence[str],
    hashes: np.ndarray,
    labels: Sequence[str | None],
    roles: Sequence[str] | None,
    *,
    strict_labels: bool,
    strict_splits: bool = False,
) -> np.ndarray:
    """bool[N], true for rows whose content is not in a later split; faults and warnings go to `scan`.

    Args:
        scan: Scan.
        ids: str per row.
        hashes: uint64[N], the hashes of the contents.
        labels: str or None per row.
        roles: str per row, or None.
        strict_labels: whether one content under two labels is a fault instead of a warning.
        strict_splits: whether one content in two splits is a fault; otherwise it stays in the later one.
    """
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    if len(first) == len(ids):
        return np.ones(len(ids), bool)
    codes = np.unique(np.array([str(label) for label in labels]), return_inverse=True)[1]
    original = first[group]
    twice = np.flatnonzero(codes != codes[original])
    if len(twice):
        pairs = [f"{ids[original[row]]} = {ids[row]}" for row in twice[:LISTED].tolist()]
        text = f"{len(twice)} rows have the content of another with another label: "
        text += ", ".join(pairs)
        if strict_labels:
            scan.fail(text, fix="keep one label for each content, the right one")
        else:
            scan.warn(text)
    ranks = np.array([ROLES.index(role) if role else -1 for role in roles or [""] * len(ids)])
    last = np.full(len(first), -1)
    np.maximum.at(last, group, ranks)
    is_usable = ranks == last[group]
    for row in np.flatnonzero(~is_usable).tolist():
        scan.exclude(ids[row], f"its content is in the {ROLES[last[group[row]]]} split too")
    if not is_usable.all() and strict_splits:
        scan.fail(
            f"{(~is_usable).sum()} rows have the content of a later split, such as "
            f"{ids[int(np.argmin(is_usable))]}",
            fix="remove them from one of the splits",
        )
    elif not is_usable.all():
        scan.warn(f"{(~is_usable).sum()} rows excluded: their content is in a later split too")
    repeats = len(ids) - len(first) - int((~is_usable).sum())
    if repeats > 0:
        scan.warn(f"{repeats} rows repeat the content of others; they stay in one split")
    return is_usable


def counts_text(scan: ScanCounts) -> str:
    """The counts of a scan as `10 found = 9 used + 1 skipped + 0 excluded`."""
    text = (
        f"{scan.found:,} found = {scan.used:,} used + {scan.skipped:,} skipped + "
        f"{scan.excluded:,} excluded"
    )
    ignored = scan.ignored
    return (
        f"{text}; {ignored:,} other file{'s' if ignored > 1 else ''} ignored" if ignored else text
    )
