"""Reading of the records of CSV files and JSON lines, each with its place in the file."""

import codecs
import csv as csv_module
import dataclasses
import io
import itertools
import json
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from tltf.data.row_scan import Scan
from tltf.data.sources import table_hints
from tltf.errors import DataError, FlagError

if TYPE_CHECKING:
    import _csv

OTHER_DELIMITERS = ",;\t|"
NO_QUOTE = "none"
DECODED_AT_ONCE = 1 << 20
"""The bytes of a file that are decoded together where its encoding is checked."""
SEP_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""The line that Excel writes above a header."""


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Args:
        delimiter: one character, between the columns of a CSV file.
        encoding: encoding of the file, a name that Python knows.
        quote: the character around a text that holds delimiters; with `none` quotes are text.
        columns: names by place, of a CSV file without a header.
        flag: the flag that errors name.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    columns: tuple[str, ...] = ()
    flag: str = "data"

    def check(self) -> None:
        """Raises FlagError for a delimiter or a quote that cannot be used."""
        try:
            self.reader(())
            is_usable = self.delimiter not in ('"', "\r", "\n")
        except (TypeError, ValueError):
            is_usable = False
        if not is_usable:
            raise FlagError(
                f"delimiter={self.delimiter!r} is not one character that can separate columns",
                flag=self.flag,
                fix=self.fix(delimiter=";"),
            )

    def reader(self, lines: Iterable[str], *, skips_blanks: bool = False) -> "_csv.Reader":
        """The csv.reader of lines of text."""
        has_quotes = self.quote != NO_QUOTE
        return csv_module.reader(
            lines,
            delimiter=self.delimiter,
            strict=True,
            skipinitialspace=skips_blanks,
            quotechar=self.quote if has_quotes else None,
            quoting=csv_module.QUOTE_MINIMAL if has_quotes else csv_module.QUOTE_NONE,
        )

    def fix(self, **change: str) -> str:
        """The text of a fix that changes an argument of --data, or a flag of its own."""
        ((name, value),) = change.items()
        shown = f"'{value}'" if len(value) == 1 else value
        shown = "'\\t'" if value == "\t" else shown
        return f"{name}={shown}" if self.flag == "data" else f"--{name}={shown}"


def read_text(file: pathlib.Path | str, dialect: Dialect) -> str:
    """The whole file as text, without a byte-order mark.

    Args:
        file: path of the file.
        dialect: how the table is written.

    Raises:
        FlagError: the file cannot be read, or there is no such encoding.
        DataError: the file is not a text, or has another encoding.
    """
    try:
        contents = pathlib.Path(file).read_bytes()
    except OSError as error:
        raise FlagError(
            f"cannot read it: {error.strerror}", flag=dialect.flag, place=file
        ) from error
    return decode_table(contents, file, dialect)


def decode_table(contents: bytes, place: pathlib.Path | str, dialect: Dialect) -> str:
    """The bytes of a table as text, see `read_text`."""
    table_hints.refuse_binary(contents, place, dialect.flag)
    try:
        text = contents.decode(dialect.encoding)
    except UnicodeDecodeError as error:
        raise table_hints.decoding_error(contents, error, place, dialect) from error
    except (LookupError, ValueError) as error:  # ValueError: undefined and a name with a NUL
        what = f"no encoding {dialect.encoding!r}"
        raise FlagError(what, flag=dialect.flag, fix=dialect.fix(encoding="utf-8")) from error
    return text.removeprefix("\ufeff")


def open_text(file: pathlib.Path | str, dialect: Dialect, newline: str = "") -> TextIO:
    """The file as a stream of text behind a byte-order mark, so that it is never whole in memory.

    All its bytes are decoded once before, so that an error comes before the first row.

    Args:
        file: path of the file.
        dialect: how the table is written.
        newline: as of `open`, where the empty string and a line feed translate nothing.

    Raises:
        FlagError, DataError: see `read_text`.
    """
    try:
        with open(file, "rb") as contents:
            decoder = codecs.getincrementaldecoder(dialect.encoding)()
            block = contents.read(DECODED_AT_ONCE)
            table_hints.refuse_binary(block, file, dialect.flag)
            while block:
                decoder.decode(block)
                block = contents.read(DECODED_AT_ONCE)
            decoder.decode(b"", final=True)
        stream = open(file, encoding=dialect.encoding, newline=newline)  # noqa: SIM115
    except (OSError, LookupError, ValueError):
        return io.StringIO(read_text(file, dialect), newline=newline)
    if stream.read(1) != "\ufeff":
        stream.seek(0)
    return stream


def csv_records(
    file: pathlib.Path | str,
    dialect: Dialect,
    scan: Scan,
    needed: set[str] | tuple[str, ...] = (),
    text: str | None = None,
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields pairs of `file:row` and a dict by column; rows with another number of fields are skipped.

    The row is the line at which a record begins. Columns without a name are left out.

    Args:
        file: path of the file, or a name for `text`.
        dialect: how the table is written.
        scan: the scan of the source.
        needed: columns that are needed, which the header must not have twice.
        text: the contents, if they have been read already.

    Raises:
        DataError: there are no rows, or the file is not CSV.
    """
    # str.splitlines would also break rows at characters such as U+2028.
    stream = open_text(file, dialect) if text is None else io.StringIO(text, newline="")
    with stream:
        yield from _csv_records(file, stream, dialect, scan, needed)


def _csv_records(
    file: pathlib.Path | str,
    lines: TextIO,
    dialect: Dialect,
    scan: Scan,
    needed: set[str] | tuple[str, ...],
) -> Iterator[tuple[str, dict[str, str]]]:
    csv_module.field_size_limit(1 << 30)
    start, offset = lines.tell(), 0
    beginning = lines.read(table_hints.INSPECTED_CHARACTERS)
    lines.seek(start)
    if (line := SEP_LINE.match(beginning)) and not dialect.columns:
        dialect = dataclasses.replace(dialect, delimiter=line[1])
        beginning, offset = beginning[line.end() :], 1
        lines.readline()
    skips_blanks = table_hints.has_blanks_before_quotes(beginning, dialect)
    reader = dialect.reader(lines, skips_blanks=skips_blanks)
    row, header = 1 + offset, list(dialect.columns) or None
    try:
        for cells in reader:
            row_id, first, row = f"{file}:{row}", row, reader.line_num + 1 + offset
            if header is None:
                header = read_header(cells, dialect, file, needed)
                continue
            if not cells:
                continue
            scan.num_found += 1
            record = csv_record(cells, header, dialect, scan, row_id, row - first)
            if record is not None:
                yield row_id, record
    except csv_module.Error as error:
        raise DataError(
            f"this row is not CSV ({error}): its quote is not closed, or text follows a quote",
            flag=dialect.flag,
            place=f"{file}:{row}",
            fix="close the quote, double the quotes inside of it, or "
            f"{dialect.fix(quote=NO_QUOTE)} where quotes are text",
        ) from error
    if header is None or (header and not beginning):
        raise empty_file_error(file, dialect)


def csv_record(
    cells: Sequence[str],
    header: Sequence[str],
    dialect: Dialect,
    scan: Scan,
    row_id: str,
    num_lines: int,
) -> dict[str, str] | None:
    """The cells of a row by column, without columns that have no name; None where it is left out.

    Args:
        cells: at least one.
        header: the names of the columns.
        dialect: how the table is written.
        scan: the scan of the source, which is told why a row is left out.
        row_id: the id of the row.
        num_lines: the number of lines that the row stands in.
    """
    if len(cells) != len(header):
        scan.skip(row_id, f"has another number of fields than the header's {len(header)}")
    elif cells[0].strip() == header[0] and [cell.strip() for cell in cells] == header:
        scan.exclude(row_id, "repeats the header")
    else:
        if num_lines > 2:
            table_hints.warn_of_swallowed_rows(cells, dialect, scan, row_id)
        return {name: cell for name, cell in zip(header, cells, strict=True) if name}
    return None


def empty_file_error(file: pathlib.Path | str, dialect: Dialect) -> DataError:
    """The error for an empty file."""
    return DataError(
        "the file is empty", flag=dialect.flag, place=file, fix="give a file with rows"
    )


def read_header(
    cells: Sequence[str],
    dialect: Dialect,
    file: pathlib.Path | str,
    needed: set[str] | tuple[str, ...],
) -> list[str]:
    """The names of the columns in the cells of a header.

    Args:
        cells: of the first row.
        dialect: how the table is written.
        file: path of the file.
        needed: columns that are needed, which must not stand there twice.

    Raises:
        DataError: they do, or the header shows another delimiter.
    """
    columns = [cell.strip() for cell in cells]
    repeated = sorted({name for name in columns if columns.count(name) > 1 and name in needed})
    if repeated:
        raise DataError(
            f"the header has {', '.join(repeated)} twice",
            flag=dialect.flag,
            place=f"{file}:1",
            fix="give each column another name",
        )
    if len(columns) == 1 and columns[0] not in needed:
        others = [m for m in OTHER_DELIMITERS if m != dialect.delimiter and m in columns[0]]
        if others:
            raise DataError(
                f"the header has one column, {columns[0]!r}",
                flag=dialect.flag,
                place=f"{file}:1",
                fix=dialect.fix(delimiter=others[0]),
            )
    return columns


def jsonl_records(
    file: pathlib.Path | str, dialect: Dialect, scan: Scan, text: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields pairs of `file:row` and an object; lines that are not objects are skipped.

    Args:
        file: path of the file, or a name for `text`.
        dialect: how the file is written.
        scan: the scan of the source.
        text: the contents, if they have been read already.

    Raises:
        DataError: the file is a JSON array, or has no rows.
    """
    newline = "\n"
    stream = open_text(file, dialect, newline) if text is None else io.StringIO(text, newline)
    with stream:
        yield from _jsonl_records(file, stream, dialect, scan)


def _jsonl_records(
    file: pathlib.Path | str, lines: TextIO, dialect: Dialect, scan: Scan
) -> Iterator[tuple[str, dict[str, Any]]]:
    start = lines.tell()
    first = next(filter(None, map(str.strip, iter(lines.readline, ""))), "")
    lines.seek(start)
    if first.startswith("["):
        raise DataError(
            "the file is a JSON array, not JSON lines",
            flag=dialect.flag,
            place=file,
            fix="write one object per line",
        )
    if first == "{":
        raise DataError(
            "the file has an object over several lines, not JSON lines",
            flag=dialect.flag,
            place=file,
            fix="write one object per line",
        )
    if not first:
        raise empty_file_error(file, dialect)
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\n")
        if not line.strip():
            continue
        scan.num_found += 1
        row_id = f"{file}:{number}"
        record, reason = parse_json_line(line)
        if record is None:
            scan.skip(row_id, reason)
        else:
            yield row_id, record


def parse_json_line(line: str) -> tuple[dict[str, Any] | None, str]:
    """`(object, "")` for a line of JSON, or `(None, why it is not an object)`."""
    try:
        record = json.loads(line)
    except ValueError as error:
        return None, f"is not JSON ({error.args[0].split(':')[0]})"
    except RecursionError:
        return None, "is not JSON that can be read (nested too deep)"
    return (record, "") if isinstance(record, dict) else (None, "is not a JSON object")


def field(record: dict[str, Any], name: str) -> Any:
    """The value of a field; `a.b` is field b of the object in field a. None without the field."""
    if name in record or "." not in name:
        return record.get(name)
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def columns_of(record: dict[str, Any], name: str) -> list[str]:
    """The names of the fields of a record, with `name` if it is a field of a field."""
    names = list(record)
    return [*names, name] if "." in name and field(record, name) is not None else names


def first_lines(text: str, most: int = 20) -> list[str]:
    """The first lines of a text that are not blank."""
    return list(itertools.islice((line for line in text.split("\n", 200) if line.strip()), most))
