"""Checks of class names: names that differ too little, numbers for names, classes with few rows."""

import collections
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from tltf.data import spelled_numbers
from tltf.data.label_kinds import LabelKind
from tltf.data.row_scan import LISTED, Scan
from tltf.data.source import TEST, TRAIN, VALIDATION
from tltf.errors import FlagError

UNEVEN = 100
"""How many times as many rows as another class one class has before there is a warning."""


def check_class_names(scan: Scan, names: set[str]) -> None:
    """Adds a fault where names differ only in case, blanks or Unicode form.

    Names that Unicode calls compatible (10\u00b2 and 102), or that differ in blanks or control
    characters inside of them, may be meant as they are: they give a warning only.
    """
    groups = collections.defaultdict(list)
    for name in sorted(names):
        shown = "".join(
            c for c in name if unicodedata.category(c) != "Cf"
        )  # such as zero-width blanks
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
        alike[_normalise_look(form)].append(group[0])
    for group in alike.values():
        if len(group) > 1:
            scan.warn(
                f"class names that look alike: {', '.join(map(ascii, group))}; if they are "
                "one class, give them one name"
            )


def _normalise_look(name: str) -> str:
    """`name` in compatible characters, without characters that are not shown, each run of blanks as one."""
    shown = (" " if c.isspace() else c for c in unicodedata.normalize("NFKC", name))
    is_hidden = ("\ufe0e", "\ufe0f")  # select an emoji's look
    seen = "".join(c for c in shown if c not in is_hidden and unicodedata.category(c) != "Cc")
    return " ".join(seen.split()).casefold()


def check_lost_classes(scan: Scan, names: set[str], kind: LabelKind, *, allows_empty: bool) -> None:
    """Adds a fault for classes of which every row was skipped, or a warning where that is allowed.

    Args:
        scan: Scan with the labels of the skipped rows.
        names: of the classes that have rows.
        kind: LabelKind.
        allows_empty: whether to go on without them.
    """
    lost: dict[str, list[int]] = {}
    if not names:  # no row can be used at all: another error says so
        return
    for label, places in scan.skipped_labels.items():
        for name in set(kind.find_names([label])) - set(names):
            lost.setdefault(name, []).extend(places)
    if not lost:
        return
    described = []
    for name, places in sorted(lost.items())[:LISTED]:
        reason = scan.skipped[places[0]]["reason"]
        described.append(f"{name} ({len(places)} of {len(places)} rows, the first: {reason})")
    more = f" and {len(lost) - LISTED} more" if len(lost) > LISTED else ""
    word = "the class has" if len(lost) == 1 else f"{len(lost)} classes have"
    text = f"{word} no row that can be used: {', '.join(described)}{more}"
    if allows_empty:
        scan.warn(f"left out: {text}")
    else:
        scan.fail(text, fix="repair the rows, or give --allow_empty_classes to go on without")


def check_spelling_of_numbers(scan: Scan, names: set[str]) -> None:
    """Adds a fault where one number is spelled in several ways, such as 1 and 1.0, or names are fractions."""
    groups = collections.defaultdict(list)
    for name in sorted(names):
        number = spelled_numbers.parse_number(name)
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
        what = f"the labels are numbers with fractions, such as {fractions[0]:g}, not classes"
        scan.add(
            FlagError(
                what,
                flag="data",
                fix="--head=regress predicts numbers; label_type=text takes them for classes",
            )
        )


def class_warnings(
    class_names: Sequence[str], counts: Mapping[str, np.ndarray], kind: LabelKind
) -> list[str]:
    """Warnings about classes or labels with few rows, or none, in a split.

    Args:
        class_names: the names of C classes.
        counts: role -> int64[C], the number of rows of each class; a role without rows is passed over.
        kind: LabelKind.
    """
    train, warnings = counts[TRAIN], []
    for role in (VALIDATION, TEST):
        if counts[role].sum():
            absent = [class_names[place] for place in np.flatnonzero(counts[role] == 0).tolist()]
            warnings += _class_lines(absent, f"no {role} example")
    if train.min() and train.max() >= UNEVEN * train.min():
        most, least = (class_names[int(place)] for place in (train.argmax(), train.argmin()))
        advice = ", try --class_weights=balanced" if kind.is_one_class else ""
        warnings.append(
            f"{most} has {train.max() // train.min()} times as many rows as {least}: "
            f"judge by macro F1{advice}"
        )
    return warnings + _class_lines(
        [class_names[place] for place in np.flatnonzero(train == 1).tolist()], "one training row"
    )


def _class_lines(names: Sequence[str], what: str) -> list[str]:
    if not names:
        return []
    if len(names) == 1:
        return [f"class {names[0]} has {what}"]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return [f"{len(names)} classes have {what}: {', '.join(names[:LISTED])}{more}"]
