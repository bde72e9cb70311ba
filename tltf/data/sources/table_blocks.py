"""Tables of texts in blocks of some thousand records, each of which is parsed at once by Arrow.

A block knows the line and the bytes of each record. What Arrow reads differently than the readers of
`table_files`, or cannot tell apart, is left to those: a whole file that is not plain, a whole block
of JSON that Arrow refuses, and single records that it skips.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow
from pyarrow import compute, csv, json

from tltf.data.sources.table_files import NO_QUOTE, Dialect

BLOCK_BYTES = 1 << 22
"""The bytes of a block, which is longer only where a record is."""
LONG_LINE_BYTES, DEEP = 4096, 900
"""Longer lines of JSON, and deeper ones, are left to Python, which refuses numbers of 4,300 digits and
objects in a thousand objects."""
_INFINITY = re.compile(rb"Inf[\s,\]}]")
"""A spelling of infinity that Arrow takes and Python does not."""
_NEWLINE = ord("\n")
_BLANKS = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
"""The characters that `str.strip` removes."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Records that stand beside each other in a file.

    Args:
        contents: the bytes of the file.
        lines: int64[R], the line at which each record begins.
        num_lines: int64[R], the number of its lines.
        starts: int64[R], the place of its first byte.
        ends: int64[R], the place behind its last byte, which may be that of its end of line.
        rows: int64[M], the places of the records that Arrow parsed, in rising order.
        columns: name -> array of M strings or whole numbers, for the columns that are needed.
    """

    contents: bytes
    lines: np.ndarray
    num_lines: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    columns: dict[str, pyarrow.Array]

    def __len__(self) -> int:
        return len(self.lines)

    def keep(self, is_kept: np.ndarray) -> "Block":
        """The block with those of Arrow's rows for which bool[M] is true; the others stay records."""
        if is_kept.all():
            return self
        bits = pyarrow.py_buffer(np.packbits(is_kept, bitorder="little"))
        mask = pyarrow.Array.from_buffers(pyarrow.bool_(), len(is_kept), [None, bits])
        columns = {name: array.filter(mask) for name, array in self.columns.items()}
        return dataclasses.replace(self, rows=self.rows[is_kept], columns=columns)

    def text(self, record: int) -> str:
        """The text of a record as it stands in the file."""
        return self.contents[self.starts[record] : self.ends[record]].decode("utf-8")


@dataclasses.dataclass(frozen=True)
class _Span:
    """The records of a block before they are parsed; see Block."""

    start: int
    end: int
    lines: np.ndarray
    num_lines: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def is_plain_csv(contents: bytes, dialect: Dialect) -> bool:
    """Whether Arrow and Python read a file of CSV alike.

    They do if quotes stand only around whole fields, those inside of them are doubled, and records
    end with a line feed, or with a carriage return and a line feed.

    Args:
        contents: the bytes of the file, in UTF-8.
        dialect: how it is written.
    """
    marks = [dialect.delimiter, *([dialect.quote] if dialect.quote != NO_QUOTE else [])]
    if not contents or not all(mark.isascii() for mark in marks) or b"\0" in contents:
        return False
    if contents.count(b"\r") != contents.count(b"\r\n") or contents[:1] in b"\r\n":
        return False
    return dialect.quote == NO_QUOTE or _are_quotes_plain(contents, dialect)


def _are_quotes_plain(contents: bytes, dialect: Dialect) -> bool:
    """Whether quotes open at the start of a field, close at its end, and are doubled inside."""
    before = np.zeros(256, bool)
    before[[ord(dialect.delimiter), _NEWLINE]] = True
    after = before.copy()
    after[ord("\r")] = True
    quotes = [_find_bytes(contents, ord(dialect.quote), *part) for part in _parts(len(contents))]
    places = np.concatenate(quotes)
    if len(places) % 2:
        return False
    codes = np.frombuffer(contents, np.uint8)
    opening, closing = places[::2], places[1::2]
    is_doubled = closing[:-1] + 1 == opening[1:]
    opens = (opening == 0) | before[codes[np.maximum(opening - 1, 0)]]
    opens[1:] |= is_doubled
    closes = (closing == len(codes) - 1) | after[codes[np.minimum(closing + 1, len(codes) - 1)]]
    closes[:-1] |= is_doubled
    return bool(opens.all() and closes.all())


def _parts(num_bytes: int) -> Iterator[tuple[int, int]]:
    return ((start, start + BLOCK_BYTES) for start in range(0, num_bytes, BLOCK_BYTES))


def _find_bytes(contents: bytes, code: int, start: int, end: int) -> np.ndarray:
    """int64[M], the places of a byte in a part of the contents."""
    count = min(end, len(contents)) - start
    part = np.frombuffer(contents, np.uint8, count, start)
    return np.flatnonzero(part == code) + start


def read_header_of(contents: bytes, dialect: Dialect) -> tuple[str, int, int]:
    """`(first record, place of the byte behind it, number of the next line)` of a plain CSV file."""
    span = next(_spans(contents, 0, 1, _quote_code(dialect)))
    end = int(span.ends[0])
    return contents[:end].decode("utf-8"), end + 1, 1 + int(span.num_lines[0])


def csv_blocks(
    contents: bytes,
    dialect: Dialect,
    header: list[str],
    needed: Sequence[str],
    start: int = 0,
    line: int = 1,
) -> Iterator[Block]:
    """Yields the records of a file for which `is_plain_csv` holds.

    Arrow's rows are without those that may repeat the header, and those of more than two lines.

    Args:
        contents: the bytes of the file.
        dialect: how it is written.
        header: the names of the columns.
        needed: the names of those that are read.
        start: the place of the first byte that is not of the header.
        line: the number of its line.
    """
    quote = _quote_code(dialect)
    last = {name: place for place, name in enumerate(header)}
    places = sorted({0, *(last[name] for name in needed)})
    for span in _spans(contents, start, line, quote):
        part = memoryview(contents)[span.start : span.end]
        table, skipped = _parse_csv(part, dialect, len(header), places)
        is_row = np.ones(len(span.lines), bool)
        is_row[skipped] = False
        columns = {name: table[str(last[name])].combine_chunks() for name in needed}
        block = _block(contents, span, np.flatnonzero(is_row), table.num_rows, columns)
        if len(block.rows):
            first = compute.utf8_trim(table["0"].combine_chunks(), characters=_BLANKS)
            is_header = numpy_bools(compute.starts_with(first, pattern=header[0]))
            is_header &= text_lengths(first) == len(header[0].encode())
            is_plain = ~is_header
            block = block.keep(is_plain & (block.num_lines[block.rows] <= 2))
        yield block


def _parse_csv(
    part: memoryview, dialect: Dialect, num_columns: int, places: list[int]
) -> tuple[pyarrow.Table, list[int]]:
    """The columns at some places, named by them, and which records have another number of fields."""
    skipped: list[int] = []

    def skip(row: csv.InvalidRow) -> str:
        skipped.append(row.number - 1)
        return "skip"

    names = [str(place) for place in places]
    table = csv.read_csv(
        pyarrow.BufferReader(pyarrow.py_buffer(part)),
        read_options=csv.ReadOptions(
            column_names=[str(place) for place in range(num_columns)],
            use_threads=False,  # otherwise the numbers of skipped records are not known
            block_size=len(part) + 1,
        ),
        parse_options=csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=False if dialect.quote == NO_QUOTE else dialect.quote,
            newlines_in_values=True,
            invalid_row_handler=skip,
        ),
        convert_options=csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pyarrow.string()),
            include_columns=names,
        ),
    )
    return table, skipped


def _quote_code(dialect: Dialect) -> int | None:
    return None if dialect.quote == NO_QUOTE else ord(dialect.quote)


def jsonl_blocks(contents: bytes, texts: Sequence[str], label: str) -> Iterator[Block]:
    """Yields the records of a file of JSON lines, those that are not objects among them.

    Args:
        contents: the bytes of the file.
        texts: the names of the fields of texts.
        label: the name of that of labels, which are texts or whole numbers; empty without labels.
    """
    needed = dict.fromkeys([*texts, *([label] if label else [])])
    for span in _spans(contents, 0, 1, None):
        rows = np.flatnonzero(span.ends - span.starts <= LONG_LINE_BYTES)
        table = _parse_lines(contents, span, rows, texts, label)
        columns = {} if table is None else {n: table[n].combine_chunks() for n in needed}
        yield _block(contents, span, rows, -1 if table is None else table.num_rows, columns)


def _block(
    contents: bytes, span: _Span, rows: np.ndarray, num_rows: int, columns: dict[str, pyarrow.Array]
) -> Block:
    """The Block of a span; without rows where Arrow found another number of them than expected."""
    if num_rows != len(rows):
        rows, columns = rows[:0], {}
    return Block(contents, span.lines, span.num_lines, span.starts, span.ends, rows, columns)


def _spans(contents: bytes, start: int, line: int, quote: int | None) -> Iterator[_Span]:
    """Yields the records behind `start`, without empty lines, in blocks of about BLOCK_BYTES."""
    size = BLOCK_BYTES
    while start < len(contents):
        end = min(start + size, len(contents))
        newlines = _find_bytes(contents, _NEWLINE, start, end)
        if end == len(contents) and contents[-1] != _NEWLINE:
            newlines = np.append(newlines, end)
        is_end = np.ones(len(newlines), bool)
        if quote is not None:
            quotes = _find_bytes(contents, quote, start, end)
            is_end = np.searchsorted(quotes, newlines) % 2 == 0
        numbers = np.flatnonzero(is_end)
        if not len(numbers):
            size *= 2  # one record is longer than the block
            continue
        ends, size = newlines[numbers], BLOCK_BYTES
        starts = np.append(start, ends[:-1] + 1)
        before = np.append(0, numbers[:-1] + 1)
        num_lines = numbers + 1 - before
        next_start = min(int(ends[-1]) + 1, len(contents))
        is_empty = ends == starts
        one = ends == starts + 1
        is_empty[one] = np.frombuffer(contents, np.uint8)[starts[one]] == ord("\r")
        kept = ~is_empty
        if kept.any():
            yield _Span(
                start, next_start, line + before[kept], num_lines[kept], starts[kept], ends[kept]
            )
        start, line = next_start, line + int(numbers[-1]) + 1


def _parse_lines(
    contents: bytes, span: _Span, rows: np.ndarray, texts: Sequence[str], label: str
) -> pyarrow.Table | None:
    """The table of the lines `rows`, one row each; None where Arrow and Python may differ.

    A line that begins with `{` and ends with `}` can be the end of one object and the start of
    another one only if Arrow refuses both, because no JSON has `}` and `{` beside each other. So if
    there are as many objects as lines, each line is one.
    """
    if len(rows) == len(span.lines):
        part = memoryview(contents)[span.start : span.end]
    else:
        lines = zip(span.starts[rows].tolist(), span.ends[rows].tolist(), strict=True)
        part = memoryview(b"\n".join(contents[start:end] for start, end in lines))
    if not len(rows) or _INFINITY.search(part) or not _are_objects(contents, span, rows):
        return None
    for kind in (pyarrow.string(), pyarrow.int64()) if label else (pyarrow.string(),):
        types = ({label: kind} if label else {}) | dict.fromkeys(texts, pyarrow.string())
        try:
            return json.read_json(
                pyarrow.BufferReader(pyarrow.py_buffer(part)),
                read_options=json.ReadOptions(use_threads=False, block_size=len(part) + 1),
                parse_options=json.ParseOptions(
                    explicit_schema=pyarrow.schema(list(types.items())),
                    unexpected_field_behavior="ignore",
                ),
            )
        except pyarrow.ArrowInvalid:
            continue
    return None


def _are_objects(contents: bytes, span: _Span, rows: np.ndarray) -> bool:
    """Whether lines begin with `{` and end with `}`, and none of them may be too deep for Python."""
    codes = np.frombuffer(contents, np.uint8)
    starts, ends = span.starts[rows], span.ends[rows]
    ends = ends - (codes[np.minimum(ends - 1, len(codes) - 1)] == ord("\r"))
    if not ((codes[starts] == ord("{")) & (codes[ends - 1] == ord("}"))).all():
        return False
    part = codes[span.start : span.end]
    is_open = (part == ord("{")) | (part == ord("["))
    if np.count_nonzero(is_open) < len(rows) + DEEP:
        return True
    depths = np.add.reduceat(is_open, span.starts - span.start, dtype=np.int64)
    return int(depths[rows].max()) < DEEP


# Arrow's own ways to NumPy, and its scalars, import pandas, which takes half a second.


def numpy_bools(array: pyarrow.Array) -> np.ndarray:
    """bool[N] of an Arrow array of N truths; anything stands for a null."""
    _, bits = array.buffers()
    codes = np.frombuffer(bits, np.uint8)
    count = array.offset + len(array)
    return np.unpackbits(codes, count=count, bitorder="little")[array.offset :].astype(bool)


def text_lengths(texts: pyarrow.Array) -> np.ndarray:
    """int32[N], the number of bytes of each text."""
    return np.diff(text_offsets(texts))


def text_offsets(texts: pyarrow.Array) -> np.ndarray:
    """int32[N + 1], the place in their buffer at which each text begins, and where the last ends."""
    return np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, texts.offset * 4)
