"""Records of a CSV file or of JSON lines, each with its place."""

import csv as csv_module
import io
import json
import pathlib

from tltf.errors import DataError, FlagError

GZIP_MAGIC = b"\x1f\x8b"
OTHER_DELIMITERS = ",;\t|"


def read_text(file, encoding):
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


def csv_records(file, delimiter, encoding, scan):
    """Pairs of `file:row` and a dict by column; ragged rows are skipped."""
    csv_module.field_size_limit(1 << 30)
    # Not str.splitlines, which also breaks rows at characters such as U+2028.
    lines = io.StringIO(read_text(file, encoding), newline="")
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


def jsonl_records(file, encoding, scan):
    """Pairs of `file:row` and an object; lines that are none are skipped."""
    lines = read_text(file, encoding).split("\n")
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
