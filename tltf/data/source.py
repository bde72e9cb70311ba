"""What a data set is once it is read: fields, labels, names, and how it was counted."""

import dataclasses
import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.config.option_groups import ScanOptions
from tltf.console.progress import SHOWN_AFTER_S, Progress
from tltf.data import label_kinds
from tltf.data.label_kinds import Labels
from tltf.errors import DataError, FlagError, choices_text

TRAIN, VALIDATION, TEST = ROLES = ("train", "validation", "test")
TARGET, UNLABELLED = "target", "unlabelled"
MODALITIES = {"text": "text", "path": "image", "bytes": "image", "array": "image"}
"""Kind of a Column -> modality."""
LABEL = "label"
"""The name of the labels of a data set that has one field of them."""


@dataclasses.dataclass(frozen=True)
class LoadSettings:
    """What every source is given beside its own arguments.

    Args:
        seed: of every random choice in a source.
        scan: ScanOptions.
        least_classes: fewer classes are refused; one will do to evaluate on.
        target: a name of label_kinds.KINDS: what a label is read as.
    """

    seed: int = 0
    scan: ScanOptions = dataclasses.field(default_factory=ScanOptions)
    least_classes: int = 2
    target: str = label_kinds.CLASS


@dataclasses.dataclass(frozen=True)
class Column:
    """The values of one field for all examples.

    Args:
        kind: `path` (files of encoded images), `bytes` (encoded images), `array` (decoded
            images, uint8[N, H, W, C]) or `text`.
        values: list of str, list of bytes, the array, or list of str.
    """

    kind: str
    values: Sequence[Any] | np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def modality(self) -> str:
        """`image` or `text`."""
        return MODALITIES[self.kind]

    def take(self, indices: Any) -> "Column":
        """The column with rows `indices` (int[M]) only."""
        if self.kind == "array":
            return Column(self.kind, self.values[indices])
        return Column(self.kind, [self.values[index] for index in indices])


@dataclasses.dataclass(frozen=True)
class ScanCounts:
    """How the rows of a data set were counted: `found` = `used` + `skipped` + `excluded`.

    Args:
        found: rows in the data.
        used: rows that a run uses.
        skipped: rows that cannot be used.
        excluded: rows that could be used and must not, such as a test row's copy in training.
        ignored: files that are not data.
        warnings: what is odd about the data, in sentences.
        skipped_rows: dicts with `id` and `reason`.
        excluded_rows: the same.
        near_rows: the same, of rows that are nearly another; None where nobody looked.
        fault_rows: dicts with `id`, `reason` and `fix` where the data cannot be used; None else.
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

    def without(self, num_rows: int, rows: Sequence[dict[str, str]], kind: str) -> "ScanCounts":
        """The counts after rows in use were left out as `skipped` or `excluded`."""
        return dataclasses.replace(self, **{
            "used": self.used - num_rows,
            kind: getattr(self, kind) + num_rows,
            f"{kind}_rows": [*getattr(self, f"{kind}_rows"), *rows],
        })  # fmt: skip

    def to_json(self) -> dict:
        """Plain JSON, without what nobody looked for."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Source:
    """Examples that have passed the checks.

    Args:
        name: of the catalog's row, for reports.
        fields: name -> Column, all of N rows and of one modality: what an example is. The only field of
            an example has the name of its modality, see `one_field`.
        label_fields: name -> Labels; {} when unlabelled. All data sets so far have one, LABEL.
        ids: str per row: a relative path, or `file:row`.
        roles: str[N], one of ROLES, "" where the data does not say; None when it never says.
        scan: ScanCounts.
        hashes: uint64[N], equal for equal content; made when it is first needed if None.
        groups: uint64[N], equal for rows that must stay in one split; None: those of equal content.
    """

    name: str
    fields: dict[str, Column]
    label_fields: dict[str, Labels]
    ids: Sequence[str]
    roles: np.ndarray | None
    scan: ScanCounts
    hashes: np.ndarray | None = None
    groups: np.ndarray | None = None

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
        """The values of the only label field; None when unlabelled."""
        return self._only_labels.values if self._only_labels else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names of the only label field; () for numbers and without labels."""
        return self._only_labels.class_names if self._only_labels else ()

    @property
    def _only_labels(self) -> Labels | None:
        if not self.label_fields:
            return None
        (labels,) = self.label_fields.values()
        return labels

    def with_labels(self, values: np.ndarray, class_names: Sequence[str]) -> "Source":
        """The source with other labels of the only label field."""
        (name,) = self.label_fields
        return dataclasses.replace(self, label_fields={name: Labels(values, tuple(class_names))})

    def text_columns(self) -> list[list[str]]:
        """The texts of each field."""
        return [list(column.values) for column in self.fields.values()]

    def texts(self, joint: str = "\n") -> list[str]:
        """The text of each row; those of several fields are joined by `joint`."""
        return [joint.join(row) for row in zip(*self.text_columns(), strict=True)]

    def strata(self) -> np.ndarray:
        """int64[N]: what splits keep in proportion, see `LabelKind.strata`; zeros without labels."""
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
            ids=[self.ids[index] for index in indices],
            roles=None if self.roles is None else self.roles[indices],
            hashes=None if self.hashes is None else self.hashes[indices],
            groups=None if self.groups is None else self.groups[indices],
        )

    def in_classes(self, class_names: Sequence[str]) -> "Source":
        """The source with its labels in the places of `class_names`, matched by name.

        Raises:
            DataError: a class that is not among `class_names`.
        """
        places = {_in_one_form(name): place for place, name in enumerate(class_names)}
        unknown = [name for name in self.class_names if _in_one_form(name) not in places]
        if unknown:
            trained = choices_text(unknown[0], places)
            what = f"class {unknown[0]!r} was not trained (trained: {trained})"
            raise DataError(what, flag="data")
        order = np.array([places[_in_one_form(name)] for name in self.class_names], np.int32)
        if self.labels is None:
            return self
        if not self.class_names:
            return self
        labels = label_kinds.kind_of(self.labels).in_order(self.labels, order, len(places))
        return self.with_labels(labels, class_names)

    def of_classes(self, class_names: Sequence[str], reason: str) -> "Source":
        """The source with the rows of these classes; the others are counted as skipped.

        Of several labels per row each must be among them.

        Args:
            class_names: names, some of them the source's; numbers stay.
            reason: why the rows of a class cannot be used.
        """
        if self.labels is None:
            return self
        kind = label_kinds.kind_of(self.labels)
        if not kind.has_classes:
            return self
        wanted = set(map(_in_one_form, class_names))
        is_known = np.array([_in_one_form(name) in wanted for name in self.class_names], bool)
        first, is_skipped, labels = kind.without(self.labels, is_known)
        rows = [{"id": self.ids[row], "reason": f"its {kind.word} {self.class_names[first[row]]!r} {reason}"}
                for row in np.flatnonzero(is_skipped).tolist()]  # fmt: skip
        scan = self.scan.without(len(rows), rows, "skipped")
        names = tuple(self.class_names[place] for place in np.flatnonzero(is_known))
        kept = dataclasses.replace(self.with_labels(labels, names), scan=scan)
        return kept.take(np.flatnonzero(~is_skipped))

    def as_target(self, target: str) -> "Source":
        """The source with labels of a kind, a name of label_kinds.KINDS.

        One class per row is one label per row, and a number where all classes are numbers. Labels
        stay where their kind is several of the wanted one per row.

        Raises:
            FlagError: labels that cannot be read so.
        """
        if self.labels is None:
            return self
        kind, wanted = label_kinds.kind_of(self.labels), label_kinds.KINDS[target]
        if kind is wanted or kind.widens == target:
            return self
        found = wanted.from_classes(self.labels, self.class_names) if kind.is_one_class else None
        if found:
            return self.with_labels(*found)
        shown = f" (classes: {choices_text('', self.class_names)})" if self.class_names else ""
        what = f"{self.name} has {kind.phrase} per row{shown}, the head takes {wanted.phrase}"
        raise FlagError(what, flag="head", fix=f"--head={kind.head}")

    def content_hashes(self) -> np.ndarray:
        """uint64[N], equal where the content is: file bytes, pixels, or normalised text."""
        return self.hashes if self.hashes is not None else content_hashes(self.fields)

    def split_groups(self) -> np.ndarray:
        """uint64[N], equal for rows that must stay in one split."""
        return self.groups if self.groups is not None else self.content_hashes()


class Splits(dict[str, Source]):
    """Role -> Source, in the order train, validation, test; a role without rows is not there.

    Methods that need more rows than labelled ones add them under TARGET (another domain) and
    UNLABELLED.
    """

    @property
    def train(self) -> Source:
        """What is learned from."""
        return self[TRAIN]

    @property
    def validation(self) -> Source | None:
        """What epochs and penalties are chosen by."""
        return self.get(VALIDATION)

    @property
    def test(self) -> Source | None:
        """What the report is about."""
        return self.get(TEST)

    @property
    def scan(self) -> ScanCounts:
        """How the rows of all splits were counted."""
        return next(iter(self.values())).scan

    def with_scan(self, scan: ScanCounts) -> "Splits":
        """The same splits, counted as `scan` says."""
        return Splits({role: dataclasses.replace(part, scan=scan) for role, part in self.items()})


def _in_one_form(name: str) -> str:
    """A class name in NFC: folders on a Mac have names in NFD."""
    return unicodedata.normalize("NFC", name)


def is_blank(text: str) -> bool:
    """Whether a text has no character that is shown: blanks, control and zero-width characters only."""
    return all(unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp") for c in text)


def normalise_text(text: Any) -> str:
    """`text` in NFC with runs of white space made one blank: what counts as the same text."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def one_field(kind: str, values: Sequence[Any] | np.ndarray) -> dict[str, Column]:
    """The fields of examples that are one value each: `image` or `text`, by the kind of a Column."""
    return {MODALITIES[kind]: Column(kind, values)}


def labelled(values: np.ndarray, class_names: Sequence[str] = ()) -> dict[str, Labels]:
    """The label fields of examples with one field of labels."""
    return {LABEL: Labels(values, tuple(class_names))}


def content_hashes(fields: dict[str, Column]) -> np.ndarray:
    """uint64[N] of the rows of some fields, by BLAKE2b; unreadable files raise OSError.

    The digest of several fields is that of their digests.
    """
    columns = list(fields.values())
    hashes = np.empty((len(columns[0]), len(columns)), np.uint64)
    with Progress("hashing", len(hashes), "rows", after_s=SHOWN_AFTER_S) as progress:
        for row in range(len(hashes)):
            for place, column in enumerate(columns):
                hashes[row, place] = digest(_content(column.kind, column.values[row]))
            progress.add(1)
    if len(columns) == 1:
        return hashes[:, 0]
    return np.array([digest(row.tobytes()) for row in hashes], np.uint64)


def digest(content: bytes) -> int:
    """64-bit BLAKE2b of bytes, as an int."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _content(kind: str, value: Any) -> Any:
    if kind == "text":
        return normalise_text(value).encode("utf-8", "surrogatepass")
    if kind == "path":
        with open(value, "rb") as file:
            return file.read()
    return value.tobytes() if kind == "array" else value


def require_labels(source: Source) -> None:
    """Raises FlagError for data without labels."""
    if source.labels is None:
        raise FlagError(
            f"{source.name} has no labels to learn or to judge by", flag="data", fix="label=COLUMN"
        )
