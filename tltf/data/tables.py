"""CSV and JSON lines: texts, or paths of image files, with their labels."""

import csv as csv_module
import dataclasses
import os

from tltf.data import checks
from tltf.data.assembly import Rows, assemble
from tltf.data.image_folder import checked_files
from tltf.data.label_cells import Labelling
from tltf.data.source import TEST, TRAIN, VALIDATION
from tltf.data.table_files import csv_records, jsonl_records
from tltf.errors import DataError, FlagError
from tltf.progress import SHOWN_AFTER_S, Progress

MAX_FIELD_BYTES = 1 << 20


def csv(
    settings,
    path="",
    train="",
    validation="",
    test="",
    text="",
    image="",
    label="label",
    delimiter=",",
    encoding="utf-8",
):
    """A CSV file with a header, or one a split.

    Args:
        settings: LoadSettings.
        path: the only file; or
        train: one file a split.
        validation: as `train`.
        test: as `train`.
        text: column of texts; or
        image: column of paths of image files, relative to the CSV file.
        label: column of labels; empty for data without labels. Several labels a row stand in one
            column as `cat|dog`, or in columns of 0 and 1 of their own: label=cat|dog.
        delimiter: one character.
        encoding: of the files.

    Raises:
        FlagError: no such file or column, or arguments that do not fit together.
        DataError: files that cannot be read as CSV, or rows that cannot be used.
    """
    _require_delimiter(delimiter)

    def read(file, scan):
        return csv_records(file, delimiter, encoding, scan)

    given = _given(path, train, validation, test)
    return _table("csv", settings, given, text, image, label, read)


def jsonl(
    settings,
    path="",
    train="",
    validation="",
    test="",
    text="",
    image="",
    label="label",
    encoding="utf-8",
):
    """JSON lines, an object a line, in one file or in one a split; arguments as of `csv`.

    Raises:
        FlagError: no such file or field, or arguments that do not fit together.
        DataError: rows that cannot be used.
    """

    def read(file, scan):
        return jsonl_records(file, encoding, scan)

    given = _given(path, train, validation, test)
    return _table("jsonl", settings, given, text, image, label, read)


def _require_delimiter(delimiter):
    try:
        csv_module.reader((), delimiter=delimiter, strict=True)
        is_usable = delimiter not in ('"', "\r", "\n")
    except (TypeError, ValueError):
        is_usable = False
    if not is_usable:
        raise FlagError(f"delimiter={delimiter!r} is not one character that can part columns",
                        flag="data", fix="delimiter=';'")  # fmt: skip


def _given(path, train, validation, test):
    """role -> path as it was given; role None for the only file."""
    by_role = {TRAIN: train, VALIDATION: validation, TEST: test}
    given = {role: text for role, text in by_role.items() if text}
    if bool(path) == bool(given):
        raise FlagError(
            "give either path= or the files of the splits, train= and test=",
            flag="data",
            fix="path=all.csv or train=train.csv, test=test.csv",
        )
    if path:
        return {None: path}
    if not train:
        raise FlagError("train= is missing beside the other splits", flag="data", fix="train=FILE")
    return given


def _files(given, scan):
    """Pairs of a Path and its role; files that are not there are faults."""
    files = []
    for role, text in given.items():
        with scan.collecting():
            files.append((checks.existing_path(text), role))
    if not files:
        scan.stop_if_failed()
    return files


def _table(name, settings, given, text, image, label, read):
    if bool(text) == bool(image):
        raise FlagError(
            f"{name} takes either text=COLUMN or image=COLUMN", flag="data", fix="text=COLUMN"
        )
    scan = checks.Scan(name)
    files = _files(given, scan)
    root = os.path.commonpath([os.path.abspath(file.parent) for file, _ in files])
    rows = Rows([], [], [] if label else None, None if None in given else [])
    reader = _Reader(text, image, Labelling(label, settings.target), root, scan)
    with Progress("reading", None, "rows", after_s=SHOWN_AFTER_S) as progress:
        for file, role in files:
            with scan.collecting():
                for number, (row_id, record) in enumerate(read(file, scan)):
                    if number == 0 and not reader.fits(record, file):
                        break
                    with scan.collecting():
                        reader.add(rows, record, row_id, file, role)
                    progress.add(1)
    if image:
        rows = checked_files(scan, rows, root, follows_links=settings.scan.follow_links)
    return assemble(name, "path" if image else "text", rows, scan, settings)


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Takes from records what is asked for.

    Args:
        text: column of texts; or
        image: column of paths.
        label: Labelling.
        root: folder that the images are in.
        scan: Scan.
    """

    text: str
    image: str
    label: Labelling
    root: str
    scan: checks.Scan

    def fits(self, record, file):
        """Whether the first record has all columns; those that it does not have are faults."""
        before = self.scan.num_faults
        with self.scan.collecting():
            _check_columns(record, self.text, self.image, file)
        with self.scan.collecting():
            self.label.check(record, file)
        return self.scan.num_faults == before

    def add(self, rows, record, row_id, file, role):
        """Adds the record to the Rows unless it is bad."""
        column = self.text or self.image
        value = record.get(column)
        if reason := _fault(value):
            label = self.label.named(record) if self.label.is_asked_for else ""
            self.scan.skip(row_id, f"{column} {reason}", label)
            return
        label = self.label(record, row_id, self.scan) if self.label.is_asked_for else None
        if self.label.is_asked_for and label is None:
            return
        rows.values.append(
            _image_path(file.parent, value, self.root, row_id) if self.image else value
        )
        rows.ids.append(row_id)
        if self.label.is_asked_for:
            rows.labels.append(label)
        if role:
            rows.roles.append(role)


def _check_columns(record, text, image, file):
    """Raises FlagError for a column that the first record does not have."""
    for argument, column in (("text", text), ("image", image)):
        if column:
            checks.check_column(column, list(record), argument, file)


def _fault(value):
    """Why the text or path of a record cannot be used; empty if it can."""
    if not isinstance(value, str):
        return f"is {type(value).__name__}, not a text"
    if not value.strip():
        return "is blank"
    if "\0" in value:
        return "has a NUL"
    return f"is longer than {MAX_FIELD_BYTES} bytes" if _is_long(value) else ""


def _is_long(value):
    """Whether UTF-8 of it, of 1 to 4 bytes a character, is longer than MAX_FIELD_BYTES."""
    if len(value) * 4 <= MAX_FIELD_BYTES:
        return False
    return len(value.encode("utf-8", "surrogatepass")) > MAX_FIELD_BYTES


def _image_path(folder, value, root, row_id):
    """The path of an image file; DataError if it is outside of the table's folder."""
    path = os.path.abspath(os.path.join(folder, value))
    if "://" in value or os.path.commonpath([path, root]) != root:
        fix = f"put the images beside the table and give relative paths, not {value}"
        what = "the image is not under the folder of the table"
        raise DataError(what, flag="data", place=row_id, fix=fix)
    return path
