"""The Source, which is a data set once it is read: fields, labels, names and counts."""

import dataclasses
import unicodedata
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from tltf.config.option_groups import ScanOptions
from tltf.console.progress import SHOWN_AFTER_S, Progress
from tltf.data import digests, label_kinds, packed_texts
from tltf.data.label_kinds import Labels
from tltf.data.mixed_sets import MixedSets
from tltf.errors import DataError, FlagError, choices_text

TRAIN, VALIDATION, TEST = ROLES = ("train", "validation", "test")
TARGET, UNLABELLED = "target", "unlabelled"
MODALITIES = {"text": "text", "path": "image", "bytes": "image", "array": "image"}
"""Kind of a Column -> modality."""
HASHED_AT_ONCE = 1024
"""The number of rows whose digests are made together."""
LABEL = "label"
"""The name of the label field of a data set that has only one."""


@dataclasses.dataclass(frozen=True)
class LoadSettings:
    """The settings that every source takes beside its own arguments.

    Args:
        seed: seed of every random choice in a source.
        scan: what the scan lets pass.
        least_classes: smallest number of classes; one is enough to evaluate on.
        target: the kind of labels that labels are read as, a name of label_kinds.KINDS.
        needs_labels: whether rows without labels are faulty where the place of a file gives its label.
        leaves_out_unlabelled: whether a row with an empty label is left out and is no bad row, as the run
            reads it elsewhere as a row without a label.
    """

    seed: int = 0
    scan: ScanOptions = dataclasses.field(default_factory=ScanOptions)
    least_classes: int = 2
    target: str = label_kinds.CLASS
    needs_labels: bool = True
    leaves_out_unlabelled: bool = False


@dataclasses.dataclass(frozen=True)
class Column:
    """The values of one field of all examples.

    Args:
        kind: `path` (files of encoded images), `bytes` (encoded images), `array` (decoded
            images, uint8[N, H, W, C]) or `text`.
        values: a list of str, a list of bytes, the array, or a sequence of str, which is packed
            where it may be long.
    """

    kind: str
    values: Sequence[Any] | np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def modality(self) -> str:
        """`image` or `text`."""
        return MODALITIES[self.kind]

    def take(self, indices: Sequence[int] | np.ndarray) -> "Column":
        """The column with rows `indices` (int[M]) only."""
        if self.kind == "array":
            return Column(self.kind, np.asarray(self.values)[np.asarray(indices, np.int64)])
        return Column(self.kind, packed_texts.take(self.values, indices))


@dataclasses.dataclass(frozen=True)
class ScanCounts:
    """The counts of the rows of a data set: `found` = `used` + `skipped` + `excluded`.

    Args:
        found: number of rows in the data.
        used: number of rows that a run uses.
        skipped: number of rows that cannot be used.
        excluded: number of rows that could be used and must not be, such as the copy of a test row
            in training.
        ignored: number of files that are not data.
        warnings: what is odd about the data, in sentences.
        skipped_rows: dicts with `id` and `reason`.
        excluded_rows: dicts with `id` and `reason`.
        near_rows: dicts with `id`, `reason` and `other`, the id of the row that they are nearly the
            same as; None where they were not looked for.
        fault_rows: dicts with `id`, `reason` and `fix` where the data cannot be used; otherwise None.
    """

    found: int = 0
    used: int = 0
    skipped: int = 0
    excluded: int = 0
    ignored: int = 0
    warnings: Sequence[str] = ()
    skipped_rows: Sequence[dict[str, str]] = ()
    excluded_rows: Sequence[dict[str, str]] = ()
    near_rows: Sequence[dict[str, str]] | None = None
    fault_rows: Sequence[dict[str, str]] | None = None

    def leave_out(self, num_rows: int, rows: Sequence[dict[str, str]], kind: str) -> "ScanCounts":
        """The counts after `num_rows` used rows were left out.

        Args:
            num_rows: number of rows.
            rows: dicts with `id` and `reason`.
            kind: `skipped` or `excluded`.
        """
        return dataclasses.replace(
            self,
            **{
                "used": self.used - num_rows,
                kind: getattr(self, kind) + num_rows,
                f"{kind}_rows": [*getattr(self, f"{kind}_rows"), *rows],
            },
        )

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON data, without what was not looked for."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set of examples that have passed the checks.

    Args:
        name: name of the catalog's row, for reports.
        fields: name -> Column, all of N rows and of one modality: what an example consists of. If
            there is one field only, it has the name of its modality, see `one_field`.
        label_fields: name -> Labels; {} without labels, LABEL alone for one task, and the names of
            the tasks where there are several.
        ids: str per row, a relative path or `file:row`.
        roles: str[N], one of ROLES, "" where the data does not say; None where it never says.
        scan: counts of the rows.
        hashes: uint64[N], equal for equal content; None to compute them when they are needed.
        groups: uint64[N], equal for rows that must stay in one split; None where rows of equal
            content must.
        known_classes: names of classes that need no training row, since an earlier run has learned them.
        mixed: which of several data sets each row is of; None for one data set.
    """

    name: str
    fields: dict[str, Column]
    label_fields: dict[str, Labels]
    ids: Sequence[str]
    roles: np.ndarray | None
    scan: ScanCounts
    hashes: np.ndarray | None = None
    groups: np.ndarray | None = None
    known_classes: tuple[str, ...] = ()
    mixed: MixedSets | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def modality(self) -> str:
        """`image` or `text`."""
        return next(iter(self.fields.values())).modality

    @property
    def column(self) -> Column:
        """The Column of the only field."""
        (column,) = self.fields.values()
        return column

    @property
    def labels(self) -> np.ndarray | None:
        """The values of the only label field; None without labels.

        Those of several tasks are one array with a field per task, see `label_kinds.SeveralTasks`.
        """
        if len(self.label_fields) > 1:
            return label_kinds.join_fields(self.label_fields)
        return self._only_labels.values if self._only_labels else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names of the only label field; () for numbers, for several tasks, and without labels."""
        return self._only_labels.class_names if self._only_labels else ()

    @property
    def _only_labels(self) -> Labels | None:
        if len(self.label_fields) != 1:
            return None
        (labels,) = self.label_fields.values()
        return labels

    def with_labels(self, values: np.ndarray, class_names: Sequence[str]) -> "Source":
        """The source with other labels in the only label field."""
        (name,) = self.label_fields
        return dataclasses.replace(self, label_fields={name: Labels(values, tuple(class_names))})

    def of_task(self, task: str) -> "Source":
        """The source of one of several tasks: the rows that have a label of it, with that label alone."""
        labels = self.label_fields[task]
        only = Labels(labels.values, labels.class_names)
        source = dataclasses.replace(self, label_fields={LABEL: only}, mixed=None)
        return source if labels.is_known is None else source.take(np.flatnonzero(labels.is_known))

    def text_columns(self) -> list[Sequence[str]]:
        """The texts of each field."""
        return [cast("Sequence[str]", column.values) for column in self.fields.values()]

    def texts(self, joint: str = "\n") -> Sequence[str]:
        """The text of each row; those of several fields are joined by `joint`."""
        columns = self.text_columns()
        if len(columns) == 1:
            return columns[0]
        return [joint.join(row) for row in zip(*columns, strict=True)]

    def strata(self) -> np.ndarray:
        """int64[N], the strata that splits keep in proportion, see `LabelKind.strata`; zeros without labels."""
        if self.labels is None:
            return np.zeros(len(self), np.int64)
        return label_kinds.kind_of(self.labels).strata(self.labels)

    def take(self, indices: np.ndarray) -> "Source":
        """The source with rows `indices` (int[M]) only, in that order; the scan is kept."""
        indices = np.asarray(indices, dtype=np.int64)
        return dataclasses.replace(
            self,
            fields={name: column.take(indices) for name, column in self.fields.items()},
            label_fields={name: part.take(indices) for name, part in self.label_fields.items()},
            ids=packed_texts.take(self.ids, indices),
            roles=None if self.roles is None else self.roles[indices],
            hashes=None if self.hashes is None else self.hashes[indices],
            groups=None if self.groups is None else self.groups[indices],
            mixed=self.mixed and self.mixed.take(indices),
        )

    def reorder_classes(self, class_names: Sequence[str]) -> "Source":
        """The source with labels that are places in `class_names`, matched by name.

        Raises:
            DataError: a class of the source is not among `class_names`.
        """
        places = {_in_nfc(name): place for place, name in enumerate(class_names)}
        unknown = [name for name in self.class_names if _in_nfc(name) not in places]
        if unknown:
            trained = choices_text(unknown[0], places)
            what = f"class {unknown[0]!r} was not trained (trained: {trained})"
            raise DataError(what, flag="data")
        order = np.array([places[_in_nfc(name)] for name in self.class_names], np.int32)
        if self.labels is None:
            return self
        if not self.class_names:
            return self
        labels = label_kinds.kind_of(self.labels).reorder(self.labels, order, len(places))
        return self.with_labels(labels, class_names)

    def keep_classes(self, class_names: Sequence[str], reason: str) -> "Source":
        """The source with the rows of some classes only; the other rows are counted as skipped.

        Where a row has several labels, all of them must be among the classes. Numbers stay.

        Args:
            class_names: names of the classes, which may be more than those of the source.
            reason: why rows of other classes cannot be used.
        """
        if self.labels is None:
            return self
        kind = label_kinds.kind_of(self.labels)
        if not kind.has_classes:
            return self
        known = set(map(_in_nfc, class_names))
        is_known = np.array([_in_nfc(name) in known for name in self.class_names], bool)
        first, is_skipped, labels = kind.leave_out_unknown(self.labels, is_known)
        rows = [
            {
                "id": self.ids[row],
                "reason": f"its {kind.word} {self.class_names[first[row]]!r} {reason}",
            }
            for row in np.flatnonzero(is_skipped).tolist()
        ]
        scan = self.scan.leave_out(len(rows), rows, "skipped")
        names = tuple(self.class_names[place] for place in np.flatnonzero(is_known))
        kept = dataclasses.replace(self.with_labels(labels, names), scan=scan)
        return kept.take(np.flatnonzero(~is_skipped))

    def convert_labels(self, target: str) -> "Source":
        """The source with labels of the kind `target`, a name of label_kinds.KINDS.

        One class per row becomes one label per row, or a number where all class names are numbers.
        Labels stay as they are where they are several values per row of the kind.

        Raises:
            FlagError: the labels cannot be converted.
        """
        if self.labels is None:
            return self
        kind, new_kind = label_kinds.kind_of(self.labels), label_kinds.KINDS[target]
        if kind is new_kind or kind.single_kind == target:
            return self
        if kind.is_one_class and (
            converted := new_kind.convert_classes(self.labels, self.class_names)
        ):
            return self.with_labels(*converted)
        shown = f" (classes: {choices_text('', self.class_names)})" if self.class_names else ""
        what = f"{self.name} has {kind.phrase} per row{shown}, the head takes {new_kind.phrase}"
        raise FlagError(what, flag="head", fix=f"--head={kind.head}")

    def content_hashes(self) -> np.ndarray:
        """uint64[N], equal where the content is equal: file bytes, pixels, or normalised text."""
        return self.hashes if self.hashes is not None else content_hashes(self.fields)

    def split_groups(self) -> np.ndarray:
        """uint64[N], equal for rows that must stay in one split."""
        return self.groups if self.groups is not None else self.content_hashes()


class Splits(dict[str, Source]):
    """The splits, role -> Source, in the order train, validation, test; a role without rows is absent.

    Methods that need other rows than labelled ones add them under TARGET (another domain) and
    UNLABELLED.
    """

    @property
    def train(self) -> Source:
        """The rows that are learned from."""
        return self[TRAIN]

    @property
    def validation(self) -> Source | None:
        """The rows by which epochs and penalties are chosen; None without them."""
        return self.get(VALIDATION)

    @property
    def test(self) -> Source | None:
        """The rows that the report is about; None without them."""
        return self.get(TEST)

    @property
    def scan(self) -> ScanCounts:
        """The counts of the rows of all splits."""
        return next(iter(self.values())).scan

    def with_scan(self, scan: ScanCounts) -> "Splits":
        """The same splits with other counts."""
        return Splits({role: dataclasses.replace(part, scan=scan) for role, part in self.items()})


def _in_nfc(name: str) -> str:
    """A class name in NFC, because folders on a Mac have names in NFD."""
    return unicodedata.normalize("NFC", name)


def is_blank(text: str) -> bool:
    """Whether a text has blanks, control characters and zero-width characters only."""
    return all(unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp") for c in text)


def one_field(kind: str, values: Sequence[Any] | np.ndarray) -> dict[str, Column]:
    """The fields of examples of one value each: a Column named `image` or `text`, by its kind."""
    return {MODALITIES[kind]: Column(kind, values)}


def one_label_field(values: np.ndarray, class_names: Sequence[str] = ()) -> dict[str, Labels]:
    """The label fields of examples that have one."""
    return {LABEL: Labels(values, tuple(class_names))}


def content_hashes(fields: dict[str, Column]) -> np.ndarray:
    """uint64[N], the BLAKE2b digests of the rows of some fields; unreadable files raise OSError.

    The digest of several fields is the digest of their digests.
    """
    columns = list(fields.values())
    hashes = np.empty((len(columns[0]), len(columns)), np.uint64)
    with Progress("hashing", len(hashes), "rows", after_s=SHOWN_AFTER_S) as progress:
        for start in range(0, len(hashes), HASHED_AT_ONCE):
            rows = slice(start, start + HASHED_AT_ONCE)
            for place, column in enumerate(columns):
                hashes[rows, place] = digests.digests_of(column.kind, column.values[rows])
            progress.add(len(hashes[rows]))
    if len(columns) == 1:
        return hashes[:, 0]
    return np.array([digests.digest(row.tobytes()) for row in hashes], np.uint64)


def require_labels(source: Source) -> None:
    """Raises FlagError for data without labels."""
    if source.labels is None:
        raise FlagError(
            f"{source.name} has no labels to learn from or to judge by",
            flag="data",
            fix="label=COLUMN",
        )
