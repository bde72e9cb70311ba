"""CSV and JSON lines: texts, or paths of image files, with their labels."""

import csv as csv_module
import dataclasses
import io
import json
import os
import pathlib

from tltf import targets
from tltf.data import checks
from tltf.data.assembly import Rows, assemble
from tltf.data.image_folder import checked_files
from tltf.data.source import TEST, TRAIN, VALIDATION
from tltf.errors import DataError, FlagError
from tltf.progress import SHOWN_AFTER_S, Progress

MAX_FIELD_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
OTHER_DELIMITERS = ",;\t|"
NOT_A_LABEL = frozenset(("", "nan", "NaN"))
"""Empty, and what pandas writes for it; NA, null and None are names like any other."""
FLAGS = {"1": True, "1.0": True, "true": True, "True": True,
         "0": False, "0.0": False, "false": False, "False": False}  # fmt: skip
"""What a column of a label of its own may hold."""


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
        return _csv_records(file, delimiter, encoding, scan)

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
        return _jsonl_records(file, encoding, scan)

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
    reader = _Reader(text, image, _Labelling(label, settings.target), root, scan)
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
        rows = checked_files(scan, rows.ids, rows.values, rows.labels, rows.roles, root)
    return assemble(name, "path" if image else "text", rows, scan, settings)


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Takes from records what is asked for.

    Args:
        text: column of texts; or
        image: column of paths.
        label: _Labelling.
        root: folder that the images are in.
        scan: Scan.
    """

    text: str
    image: str
    label: "_Labelling"
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
        value = _value(record, self.text or self.image, row_id, self.scan)
        label = self.label(record, row_id, self.scan) if self.label.is_asked_for and value else None
        if value is None or (self.label.is_asked_for and label is None):
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


def _value(record, column, row_id, scan):
    """The text or path of a record; None if the record was skipped."""
    value = record.get(column)
    if not isinstance(value, str):
        scan.skip(row_id, f"{column} is {type(value).__name__}, not a text")
    elif not value.strip():
        scan.skip(row_id, f"{column} is blank")
    elif "\0" in value:
        scan.skip(row_id, f"{column} has a NUL")
    elif _is_long(value):
        scan.skip(row_id, f"{column} is longer than {MAX_FIELD_BYTES} bytes")
    else:
        return value
    return None


def _is_long(value):
    """Whether UTF-8 of it, of 1 to 4 bytes a character, is longer than MAX_FIELD_BYTES."""
    if len(value) * 4 <= MAX_FIELD_BYTES:
        return False
    return len(value.encode("utf-8", "surrogatepass")) > MAX_FIELD_BYTES


class _Labelling:
    """Reads the label of a record.

    Args:
        column: its name, or those of columns of 0 and 1 joined with `|`.
        target: one of targets.TARGETS.
    """

    def __init__(self, column, target):
        self._column, self._is_several = column, target == targets.LABELS
        self._columns = [column] if column else []

    @property
    def is_asked_for(self):
        """Whether there are labels."""
        return bool(self._column)

    def check(self, record, file):
        """Raises FlagError for a column that the first record does not have."""
        if self._is_several and self._column and self._column not in record:
            self._columns = [part.strip() for part in self._column.split(targets.SEPARATOR)]
        for column in self._columns:
            checks.check_column(column, list(record), "label", file)

    def __call__(self, record, row_id, scan):
        """The text of the label; None if the record was skipped."""
        if len(self._columns) > 1:
            return self._from_columns(record, row_id, scan)
        value = record.get(self._column)
        if self._is_several and isinstance(value, list):
            return targets.joined(value)
        name = _label_text(value)
        if name not in NOT_A_LABEL:
            return name
        if self._is_several:
            return ""
        scan.skip(row_id, "has no label")
        return None

    def _from_columns(self, record, row_id, scan):
        found = {column: _label_text(record.get(column)) for column in self._columns}
        odd = [f"{column} is {text!r}" for column, text in found.items() if text not in FLAGS]
        if odd:
            scan.skip(row_id, f"{odd[0]}, neither 0 nor 1")
            return None
        return targets.joined(column for column, text in found.items() if FLAGS[text])


def _label_text(value):
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        value = json.dumps(value) if isinstance(value, bool) else ""
    return str(value).strip()


def _image_path(folder, value, root, row_id):
    """The path of an image file; DataError if it is outside of the table's folder."""
    path = os.path.abspath(os.path.join(folder, value))
    if "://" in value or os.path.commonpath([path, root]) != root:
        fix = f"put the images beside the table and give relative paths, not {value}"
        what = "the image is not under the folder of the table"
        raise DataError(what, flag="data", place=row_id, fix=fix)
    return path


def _read_text(file, encoding):
    """The whole file as text; a byte-order mark is taken off."""
    try:
        contents = pathlib.Path(file).read_bytes()
    except OSError as error:
        raise FlagError(f"cannot read it: {error.strerror}", flag="data", place=file) from error
    if contents.startswith(GZIP_MAGIC):
        raise DataError("is compressed with gzip", flag="data", place=f"{file}:1",
                        fix="unpack it first, with gunzip")  # fmt: skip
    try:
        text = contents.decode(encoding)
    except UnicodeDecodeError as error:
        row = contents[: error.start].count(b"\n") + 1
        guess = "utf-16" if contents[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
        raise DataError(
            f"byte {error.start} (0x{contents[error.start]:02x}) is not {encoding}",
            flag="data",
            place=f"{file}:{row}",
            fix=f"encoding={guess}",
        ) from error
    except (LookupError, ValueError) as error:  # ValueError: undefined and a name with a NUL
        raise FlagError(f"no encoding {encoding!r}", flag="data", fix="encoding=utf-8") from error
    return text.removeprefix("\ufeff")


def _csv_records(file, delimiter, encoding, scan):
    """Pairs of `file:row` and a dict by column; ragged rows are skipped."""
    csv_module.field_size_limit(1 << 30)
    # Not str.splitlines, which also breaks rows at characters such as U+2028.
    lines = io.StringIO(_read_text(file, encoding), newline="")
    reader = csv_module.reader(lines, delimiter=delimiter, strict=True)
    row, header = 1, None
    try:
        for cells in reader:
            row_id, row = f"{file}:{row}", reader.line_num + 1
            if header is None:
                header = _header(cells, delimiter, file)
                continue
            if not cells:
                continue
            scan.num_found += 1
            if len(cells) != len(header):
                scan.skip(row_id, f"has another number of fields than the header's {len(header)}")
                continue
            yield row_id, dict(zip(header, cells, strict=True))
    except csv_module.Error as error:
        raise DataError(
            f"this row is no CSV ({error}): its quote is not closed, or text follows a quote",
            flag="data",
            place=f"{file}:{row}",
            fix="close the quote, or double the quotes inside of it",
        ) from error
    if header is None:
        raise DataError("the file is empty", flag="data", place=file, fix="give a file with rows")


def _header(cells, delimiter, file):
    columns = [cell.strip() for cell in cells]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise DataError(
            f"the header has {', '.join(repeated)} twice", flag="data", place=f"{file}:1"
        )
    if len(columns) == 1:
        others = [mark for mark in OTHER_DELIMITERS if mark != delimiter and mark in columns[0]]
        if others:
            shown = "'\\t'" if others[0] == "\t" else f"'{others[0]}'"
            raise DataError(
                f"the header has one column, {columns[0]!r}",
                flag="data",
                place=f"{file}:1",
                fix=f"delimiter={shown}",
            )
    return columns


def _jsonl_records(file, encoding, scan):
    """Pairs of `file:row` and an object; lines that are none are skipped."""
    lines = _read_text(file, encoding).split("\n")
    if lines[0].lstrip().startswith("["):
        raise DataError(
            "the file is a JSON array, not JSON lines",
            flag="data",
            place=file,
            fix="write one object a line",
        )
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        scan.num_found += 1
        row_id = f"{file}:{number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            scan.skip(row_id, f"is no JSON ({error.args[0].split(':')[0]})")
            continue
        except RecursionError:
            scan.skip(row_id, "is no JSON that can be read (nested too deep)")
            continue
        if isinstance(record, dict):
            yield row_id, record
        else:
            scan.skip(row_id, "is no JSON object")
    if not any(line.strip() for line in lines):
        raise DataError("the file is empty", flag="data", place=file, fix="give a file with rows")
