"""The scan of a data set: every row is used, skipped or excluded, and counted, before step 1."""

import collections
import contextlib
import dataclasses
import errno
import os
import pathlib
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tltf.data import spelled_numbers
from tltf.data.source import ROLES, TEST, TRAIN, VALIDATION, ScanCounts
from tltf.errors import DataError, FlagError, TltfError, choices_text, nearest

LISTED = 5
"""Examples of a fault that its message names."""
UNEVEN = 100
"""Times as many rows of one class as of another that are warned of."""
SHOWN_FAULTS, MOST_FAULTS = 4, 10_000
"""Kinds of faults in a message, and faults that are kept for the report."""


class Scan:
    """Counts rows and collects faults, so that all of them are known when one is reported.

    Args:
        name: of the source, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.num_found = self.num_ignored = 0
        self.skipped, self.excluded = list[dict[str, str]](), list[dict[str, str]]()
        self.warnings, self.failures = list[str](), list[TltfError]()
        self.skipped_labels: dict[str, list[int]] = {}
        self.num_faults = 0

    def skip(self, row_id: str, reason: str, label: str = "") -> None:
        """Leaves out a bad row; its label, if that is known, may be one that no other row has."""
        self.skipped.append({"id": row_id, "reason": reason})
        if label:
            self.skipped_labels.setdefault(label, []).append(len(self.skipped) - 1)

    def exclude(self, row_id: str, reason: str) -> None:
        """Leaves out a good row that must not be used, such as a test image in train."""
        self.excluded.append({"id": row_id, "reason": reason})

    def warn(self, text: str) -> None:
        """Adds a warning."""
        self.warnings.append(text)

    def fail(self, what: str, *, place: str = "", fix: str = "") -> None:
        """Adds a fault with which the data set cannot be used; see `stop_if_failed`."""
        self.add(DataError(what, flag="data", place=place, fix=fix))

    def add(self, error: DataError | FlagError) -> None:
        """Adds a fault that is an error already, of its data or of a flag."""
        self.num_faults += 1
        if len(self.failures) < MOST_FAULTS:
            self.failures.append(error.with_traceback(None))  # which would keep the rows' content

    @contextlib.contextmanager
    def collecting(self) -> Iterator[Any]:
        """A block whose error is added as a fault, so that the scan goes on behind it."""
        try:
            yield
        except (DataError, FlagError) as error:
            self.add(error)

    def stop_if_failed(self) -> None:
        """Raises one error for all faults that were added.

        Raises:
            DataError, FlagError: as the first fault is.
        """
        if self.failures:
            raise _together(self.failures, self.num_faults, self.counts())

    def counts(self) -> Any:
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

    def finish(self, max_bad_fraction: float) -> dict[str, Any]:
        """The counts, in which `found` = `used` + `skipped` + `excluded`.

        Args:
            max_bad_fraction: largest share of rows that may be skipped, 0 to 1.

        Raises:
            DataError, FlagError: a fault was added, or too many rows are bad.
        """
        with self.collecting():
            require_few(self.skipped, self.num_found, max_bad_fraction)
        self.stop_if_failed()
        return self.counts()


def fault_row(fault: Any) -> dict[str, str]:
    """A fault as data_report.jsonl lists it."""
    return {"id": fault.place or f"--{fault.flag}", "reason": fault.what, "fix": fault.fix}


def _together(faults: Sequence[TltfError], number: int, scan: dict[str, Any]) -> TltfError:
    """One error that names the number of faults and the first of each kind with its place."""
    first, kinds = faults[0], collections.Counter(fault.what for fault in faults)
    first.scan = scan
    if number == 1:
        return first
    places = {fault.what: fault.place for fault in reversed(faults)}
    told = [
        f"{f'{places[what]}: ' if places[what] else ''}{what}{_times(count)}"
        for what, count in list(kinds.items())[1:SHOWN_FAULTS]
    ]
    if (more := len(kinds) - SHOWN_FAULTS) > 0:
        told.append(f"{more} more kinds")
    others = f" (1 of {number} faults; others: {' | '.join(told)})" if told else ""
    what = f"{first.what}{_times(kinds[first.what] if told else number)}{others}"
    error = type(first)(what, flag=first.flag, place=first.place, fix=first.fix)
    error.scan = scan
    return error


def _times(count: int) -> str:
    return f" ({count:,} times)" if count > 1 else ""


@contextlib.contextmanager
def attach_scan(scan: Any) -> Iterator[Any]:
    """A block whose error is given the counts and rows of a scan beside its faults."""
    try:
        yield
    except TltfError as error:
        told = error.scan and error.scan.fault_rows
        error.scan = dataclasses.replace(scan, fault_rows=told or [fault_row(error)])
        raise


def require_few(skipped: Sequence[dict[str, str]], num_found: int, most: float) -> None:
    """Raises DataError where more rows are skipped than the share `most`.

    Args:
        skipped: list of dict with `id` and `reason`.
        num_found: rows, those included.
        most: 0 to 1.
    """
    if len(skipped) <= most * num_found:
        return
    reasons = collections.Counter(row["reason"] for row in skipped).most_common(3)
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons)
    needed = -(-100 * len(skipped) // num_found) / 100  # rounded up to two decimals
    is_any_left = len(skipped) < num_found
    fix = f"repair them or give --max_bad_fraction={needed:g}"
    if sum("number of fields" in row["reason"] for row in skipped) * 2 > len(skipped):
        fix = "quote the texts that hold the delimiter: leaving such rows out would lose just them"
    elif "link" in counted:
        fix = "give --follow_links, or copy the files with cp -rL"
    elif not is_any_left:
        fix = "repair them: no row is left"
    raise DataError(
        f"{len(skipped)} of {num_found} rows are bad, more than {most:g} of them: {counted}; "
        f"first: {skipped[0]['id']}",
        flag="data",
        fix=fix,
    )


def existing_path(text: str, flag: str = "data") -> pathlib.Path:
    """`text` as a Path that exists.

    Raises:
        FlagError: nothing is there; the nearest folder that exists is named.
    """
    path = pathlib.Path(os.path.expanduser(text))
    if _exists(path):
        return path
    parent = next(f for f in path.absolute().parents if _exists(f) and f.is_dir())
    wanted = path.absolute().relative_to(parent).parts[0]
    near = nearest(wanted, os.listdir(parent), limit=1)
    fix = f"path={parent / near[0]}" if near else f"see what is in {parent}"
    raise FlagError(
        f"no file or folder {text} (the nearest that exists: {parent})", flag=flag, fix=fix
    )


def _exists(path: pathlib.Path) -> bool:
    """Whether something is there; no file has a name that is too long for one."""
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
        name: column asked for.
        columns: list of str.
        argument: name of the argument that asks for it.
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


def check_class_names(scan: Scan, names: set[str]) -> None:
    """Adds a fault for names that differ only in case, blanks or Unicode form.

    Names that Unicode calls compatible (10\u00b2 and 102), or that differ in blanks or control
    characters within, may be meant: a warning.
    """
    groups = collections.defaultdict(list)
    for name in sorted(names):
        shown = "".join(c for c in name if unicodedata.category(c) != "Cf")  # as zero-width blanks
        groups[unicodedata.normalize("NFC", shown).strip().casefold()].append(name)
    for group in groups.values():
        if len(group) > 1:
            shown = ", ".join(ascii(n) if n.isprintable() is False else repr(n) for n in group)
            scan.fail(
                f"class names that differ only in case, blanks or Unicode form: {shown}",
                fix=f"give them one name, such as {group[0].strip()!r}",
            )
    alike = collections.defaultdict(list)
    for form, group in groups.items():
        alike[_as_seen(form)].append(group[0])
    for group in alike.values():
        if len(group) > 1:
            scan.warn(
                f"class names that look alike: {', '.join(map(ascii, group))}; if they are "
                "one class, give them one name"
            )


def _as_seen(name: str) -> str:
    """`name` in compatible characters, without what is not shown, each run of blanks as one."""
    shown = (" " if c.isspace() else c for c in unicodedata.normalize("NFKC", name))
    is_hidden = ("\ufe0e", "\ufe0f")  # select an emoji's look
    seen = "".join(c for c in shown if c not in is_hidden and unicodedata.category(c) != "Cc")
    return " ".join(seen.split()).casefold()


def check_lost_classes(scan: Scan, names: set[str], kind: Any, *, allows_empty: bool) -> None:
    """Adds a fault for classes all of whose rows were skipped; a warning where that is allowed.

    Args:
        scan: Scan with the labels of what was skipped.
        names: of the classes that have rows.
        kind: LabelKind.
        allows_empty: whether to go on without them.
    """
    lost: dict[str, list[int]] = {}
    if not names:  # no row at all can be used, which is said of all of them
        return
    for label, places in scan.skipped_labels.items():
        for name in set(kind.names_in([label])) - set(names):
            lost.setdefault(name, []).extend(places)
    if not lost:
        return
    told = []
    for name, places in sorted(lost.items())[:LISTED]:
        reason = scan.skipped[places[0]]["reason"]
        told.append(f"{name} ({len(places)} of {len(places)} rows, the first: {reason})")
    more = f" and {len(lost) - LISTED} more" if len(lost) > LISTED else ""
    word = "the class has" if len(lost) == 1 else f"{len(lost)} classes have"
    text = f"{word} no row that can be used: {', '.join(told)}{more}"
    if allows_empty:
        scan.warn(f"left out: {text}")
    else:
        scan.fail(text, fix="repair the rows, or give --allow_empty_classes to go on without")


def check_spelling_of_numbers(scan: Scan, names: set[str]) -> None:
    """Adds a fault for labels such as 1, 1.0 and 01, and for fractions as class names."""
    groups = collections.defaultdict(list)
    for name in sorted(names):
        number = spelled_numbers.number(name)
        if number is not None:
            groups[number].append(name)
    for group in groups.values():
        if len(group) > 1:
            scan.fail(
                f"one number spelled in several ways as a label: {', '.join(group)}",
                fix="spell it in one way, or label_type=text where these are codes",
            )
    fractions = [number for number in groups if number % 1]
    if fractions and sum(map(len, groups.values())) == len(names):
        what = f"the labels are numbers with fractions, such as {fractions[0]:g}: no classes"
        scan.add(
            FlagError(
                what,
                flag="data",
                fix="--head=regress predicts numbers; label_type=text takes them for classes",
            )
        )


def class_warnings(class_names: Any, counts: Any, kind: Any) -> list[str]:
    """Warnings about classes or labels with few rows, or none, in a split.

    Args:
        class_names: C names.
        counts: role -> int64[C], rows of each; a role without rows is not looked at.
        kind: LabelKind.
    """
    train, warnings = counts[TRAIN], []
    for role in (VALIDATION, TEST):
        if counts[role].sum():
            absent = [class_names[place] for place in np.flatnonzero(counts[role] == 0)]
            warnings += _of_classes(absent, f"no {role} example")
    if train.min() and train.max() >= UNEVEN * train.min():
        most, least = (class_names[place] for place in (train.argmax(), train.argmin()))
        advice = ", try --class_weights=balanced" if kind.is_one_class else ""
        warnings.append(
            f"{most} has {train.max() // train.min()} times as many rows as {least}: "
            f"judge by macro F1{advice}"
        )
    return warnings + _of_classes(
        [class_names[place] for place in np.flatnonzero(train == 1)], "one training row"
    )


def _of_classes(names: Sequence[str], what: str) -> Any:
    if not names:
        return []
    if len(names) == 1:
        return [f"class {names[0]} has {what}"]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return [f"{len(names)} classes have {what}: {', '.join(names[:LISTED])}{more}"]


def usable_contents(
    scan: Any,
    ids: Any,
    hashes: np.ndarray,
    labels: Sequence[str | None],
    roles: Sequence[str] | None,
    *,
    strict_labels: bool,
    strict_splits: bool = False,
) -> np.ndarray:
    """bool[N]: rows whose content is not in a later split; faults and warnings go to `scan`.

    Args:
        scan: Scan.
        ids: str per row.
        hashes: uint64[N] of the contents.
        labels: list of str or None a row.
        roles: list of str, or None.
        strict_labels: one content under two labels is a fault, not a warning.
        strict_splits: one content in two splits is a fault; otherwise it stays in the later one.
    """
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    if len(first) == len(ids):
        return np.ones(len(ids), bool)
    codes = np.unique(np.array([str(label) for label in labels]), return_inverse=True)[1]
    twice = np.flatnonzero(codes != codes[first[group]])
    if len(twice):
        pairs = [f"{ids[first[group[row]]]} = {ids[row]}" for row in twice[:LISTED]]
        text = f"{len(twice)} rows have the content of another with another label: "
        text += ", ".join(pairs)
        if strict_labels:
            scan.fail(text, fix="keep the right label of each")
        else:
            scan.warn(text)
    ranks = np.array([ROLES.index(role) if role else -1 for role in roles or [""] * len(ids)])
    last = np.full(len(first), -1)
    np.maximum.at(last, group, ranks)
    is_usable = ranks == last[group]
    for row in np.flatnonzero(~is_usable):
        scan.exclude(ids[row], f"its content is in the {ROLES[last[group[row]]]} split too")
    if not is_usable.all() and strict_splits:
        scan.fail(
            f"{(~is_usable).sum()} rows have the content of a later split, such as "
            f"{ids[np.argmin(is_usable)]}",
            fix="remove them from one of the splits",
        )
    elif not is_usable.all():
        scan.warn(f"{(~is_usable).sum()} rows excluded: their content is in a later split too")
    repeats = len(ids) - len(first) - int((~is_usable).sum())
    if repeats > 0:
        scan.warn(f"{repeats} rows repeat the content of others; they stay in one split")
    return is_usable


def counts(scan: Any) -> Any:
    """`10 found = 9 used + 1 skipped + 0 excluded`; the rows of a scan."""
    text = (
        f"{scan.found:,} found = {scan.used:,} used + {scan.skipped:,} skipped + "
        f"{scan.excluded:,} excluded"
    )
    ignored = scan.ignored
    return (
        f"{text}; {ignored:,} other file{'s' if ignored > 1 else ''} ignored" if ignored else text
    )
