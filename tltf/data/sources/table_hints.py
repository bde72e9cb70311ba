"""Hints on a table that cannot be read as asked for: what is wrong, and what would help."""

import pathlib
import re
from collections.abc import Sequence
from typing import Protocol

from tltf.data.row_scan import Scan
from tltf.errors import DataError, FlagError, choices_text

MAGICS = (
    (b"\x1f\x8b", "is compressed with gzip", "unpack it first, with gunzip"),
    (b"BZh", "is compressed with bzip2", "unpack it first, with bunzip2"),
    (b"\xfd7zXZ\0", "is compressed with xz", "unpack it first, with unxz"),
    (b"(\xb5/\xfd", "is compressed with Zstandard", "unpack it first, with unzstd"),
    (b"PK\3\4", "is an Excel workbook or a zip archive", "save the workbook as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel workbook", "save it as CSV in UTF-8"),
    (b"PAR1", "is a Parquet file", "write it as CSV, such as with pandas' to_csv"),
    (b"ARROW1", "is an Arrow file", "write it as CSV, such as with pandas' to_csv"),
    (b"Obj\1", "is an Avro file", "write it as JSON lines"),
    (b"SQLite format 3\0", "is an SQLite database", "export the table as CSV"),
    (b"%PDF", "is a PDF", "copy its texts into a CSV file, with a row for each"),
    (b"\x93NUMPY", "is a NumPy array", "write it as CSV"),
    (b"\x89HDF", "is an HDF5 file", "write it as CSV"),
    (b"\x80\x04\x95", "is a pickle", "write it as CSV"),
)
INSPECTED_BYTES, INSPECTED_CHARACTERS = 4096, 20_000
SHOWN_ROWS = 5
WORDS_OF_A_TEXT = 5
"""The number of words from which on a cell of a header looks like a text, not a name."""
_NUMBER = re.compile(r"[-+]?[\d.,]+")


class TableDialect(Protocol):
    """How a table is written (`tltf.data.sources.table_files.Dialect`)."""

    @property
    def delimiter(self) -> str:
        """The character between columns."""

    @property
    def encoding(self) -> str:
        """The encoding of the file."""

    @property
    def quote(self) -> str:
        """The character around texts, or `none`."""

    @property
    def flag(self) -> str:
        """The flag that errors name."""

    def fix(self, **change: str) -> str:
        """The text of a fix that changes an argument."""


def refuse_binary(contents: bytes, place: pathlib.Path | str, flag: str = "data") -> None:
    """Raises DataError for bytes that are not text; its fix says how to make text of them.

    Args:
        contents: bytes of the whole file, or of its beginning.
        place: the file.
        flag: the flag that names it.
    """
    for magic, what, fix in MAGICS:
        if contents.startswith(magic):
            raise DataError(what, flag=flag, place=f"{place}:1", fix=fix)
    beginning = contents[:INSPECTED_BYTES]
    if beginning.count(b"\0") * 5 > len(beginning) and not _wide_encoding(contents):
        what = "is not a text: it holds NUL bytes"
        raise DataError(what, flag=flag, place=f"{place}:1", fix="give CSV, JSON lines or texts")


def _wide_encoding(contents: bytes) -> str:
    """The name of the kind of UTF-16 or UTF-32 that NUL bytes show; empty if they do not."""
    if contents[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "utf-32"
    if contents[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    even, odd = (contents[start:INSPECTED_BYTES:2].count(b"\0") for start in (0, 1))
    half = len(contents[:INSPECTED_BYTES]) / 2
    if odd > 0.6 * half and even < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.6 * half and odd < 0.1 * half else ""


def decoding_error(
    contents: bytes, error: UnicodeDecodeError, place: pathlib.Path | str, dialect: TableDialect
) -> DataError:
    """The DataError for bytes of another encoding, with a fix that loses no character.

    Args:
        contents: bytes of the file.
        error: the error of decoding.
        place: the file.
        dialect: how the table was read.
    """
    row = contents[: error.start].count(b"\n") + 1
    what = f"byte {error.start} (0x{contents[error.start]:02x}) is not {dialect.encoding}"
    fix = _encoding_fix(contents, dialect)
    if dialect.encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        bad, num_good = _rows_by_encoding(contents)
        if bad and len(bad) < num_good:
            rows = ", ".join(map(str, bad[:SHOWN_ROWS])) + (
                ", ..." if len(bad) > SHOWN_ROWS else ""
            )
            what += f"; {len(bad)} of {len(bad) + num_good} rows beyond ASCII are not (rows {rows})"
            fix = f"the rest is UTF-8: repair row {rows}"
    return DataError(what, flag=dialect.flag, place=f"{place}:{row}", fix=fix)


def _rows_by_encoding(contents: bytes) -> tuple[list[int], int]:
    """`(rows that are not UTF-8, number of rows beyond ASCII that are)`."""
    bad, num_good = [], 0
    for number, line in enumerate(contents.split(b"\n"), 1):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            num_good += 1
        except UnicodeDecodeError:
            bad.append(number)
    return bad, num_good


def _encoding_fix(contents: bytes, dialect: TableDialect) -> str:
    """The fix that names the encoding the bytes have."""
    if wide := _wide_encoding(contents):
        return dialect.fix(encoding=wide)
    has_windows = re.search(rb"[\x80-\x9f]", contents) is not None
    for name in ("cp1252", "latin-1") if has_windows else ("latin-1",):
        try:
            contents.decode(name)
            return dialect.fix(encoding=name)
        except UnicodeDecodeError:
            continue
    return dialect.fix(encoding="latin-1")


def has_blanks_before_quotes(text: str, dialect: TableDialect) -> bool:
    """Whether most of the first rows have a blank before a quote, as in `, "..."`."""
    if dialect.quote == "none":
        return False
    mark = f"{dialect.delimiter} {dialect.quote}"
    rows = [row for row in text[:INSPECTED_CHARACTERS].split("\n")[:50] if row.strip()]
    return sum(mark in row for row in rows) * 2 >= len(rows) > 0


def warn_of_swallowed_rows(
    cells: Sequence[str], dialect: TableDialect, scan: Scan, row_id: str
) -> None:
    """Warns of a text with whole rows in it, where a quote that opened in one row closed in a later one."""
    for cell in cells:
        inner = cell.split("\n")[1:-1]
        whole = sum(line.count(dialect.delimiter) == len(cells) - 1 for line in inner)
        if len(inner) > 1 and whole * 5 >= len(inner) * 4:
            scan.warn(
                f"{row_id}: one text holds {len(inner)} lines that look like rows: a quote that is text "
                f"may have opened it; {dialect.fix(quote='none')} reads quotes as text"
            )


def explain_missing_column(
    name: str, header: Sequence[str], argument: str, error: FlagError
) -> tuple[str, str]:
    """`(what, fix)` where the first row of a CSV file lacks a column, because it may not be a header.

    Args:
        name: the column that is asked for.
        header: the names in the first row.
        argument: the argument that asks for it.
        error: the FlagError for a header without the column.
    """
    if any(_is_data(cell) for cell in header):
        shown = choices_text(name, header)
        what = f"no column {name!r}, and the first row looks like data ({shown})"
        names = ", ".join(name if place == 0 else f"column_{place}" for place in range(len(header)))
        return what, f"columns=[{names}] names the columns by place, where there is no header"
    return error.what, error.fix or f"{argument}=COLUMN"


def _is_data(cell: str) -> bool:
    return len(cell.split()) >= WORDS_OF_A_TEXT or _NUMBER.fullmatch(cell) is not None
