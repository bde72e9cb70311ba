"""The reader of tables of texts in blocks: plain rows together, all others one by one.

What is odd about a row is found and said by `RecordReader`, which gets every row that is not surely
good, in the order of the file. So a table has the same faults with the same messages in both ways.
"""

import dataclasses
import io
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute

from tltf.console.progress import Progress
from tltf.data.packed_rows import PackedRows
from tltf.data.sources import table_blocks, table_files, table_hints
from tltf.data.sources.record_reader import MAX_FIELD_BYTES, RecordReader
from tltf.data.sources.table_blocks import Block
from tltf.data.sources.table_files import Dialect

VISIBLE = r"[\p{L}\p{M}\p{N}\p{P}\p{S}]"
"""What a text has that is surely not blank, see `is_blank`."""
_OBJECT = re.compile(r"\s*\{[^\S\n]*\S")
"""The start of a file whose first line has an object, or a part of one that is not `{` alone."""
Parse = Callable[[Block, int, str], dict[str, Any] | None]
"""(block, place of a record, its id) -> the record; None where it is left out, which the scan is told."""


@dataclasses.dataclass(frozen=True)
class BlockReader:
    """A reader of the blocks of a file.

    Args:
        reader: reads single records.
        rows: to which the rows are added.
        file: path of the file.
        role: of its rows; None where the data gives no splits.
        progress: which counts the records.
        parse: gives single records.
    """

    reader: RecordReader
    rows: PackedRows
    file: pathlib.Path
    role: str | None
    progress: Progress
    parse: Parse

    def read(self, blocks: Iterator[Block]) -> None:
        """Adds the rows of a file, see `record_reader.read_records`."""
        missing = None
        for block in blocks:
            start = 0
            while start < len(block) and (missing is None or missing):
                row_id = self._row_id(block, start)
                record = self.parse(block, start, row_id)
                if record is not None:
                    missing = self.reader.find_missing(record, self.file)
                    if missing and self.reader.request.dialect:
                        break
                    self._add(record, row_id)
                start += 1
            if missing and self.reader.request.dialect:
                break
            self._read_block(block, start)
            self.progress.add(len(block))
        for error in missing or ():
            self.reader.scan.add(error)

    def _read_block(self, block: Block, start: int) -> None:
        """Adds the rows of a block from a record on."""
        block = self._keep_plain(block.keep(block.rows >= start))
        block, labels = self._read_labels(block, len(block) - start - len(block.rows))
        odd = np.setdiff1d(np.arange(start, len(block)), block.rows, assume_unique=True)
        texts = {
            name: _bytes_of(block.columns[column])
            for name, column in self.reader.request.fields.items()
            if len(block.rows)
        }
        done = 0
        for record, end in zip(
            [*odd.tolist(), None],
            [*np.searchsorted(block.rows, odd).tolist(), len(block.rows)],
            strict=True,
        ):
            if end > done:
                self._extend(block, texts, labels, slice(done, end))
                done = end
            if record is not None:
                row_id = self._row_id(block, record)
                if (values := self.parse(block, record, row_id)) is not None:
                    self._add(values, row_id)

    def _keep_plain(self, block: Block) -> Block:
        """The block with those of Arrow's rows whose texts can be used."""
        for column in self.reader.request.fields.values():
            if len(block.rows):
                block = block.keep(_are_usable(block.columns[column]))
        return block

    def _read_labels(self, block: Block, num_others: int) -> tuple[Block, list[str]]:
        """The block with those of Arrow's rows whose labels can be used, and these labels."""
        label = self.reader.label
        if not label.has_labels or not len(block.rows):
            return block, []
        column = label.only_column
        if column is None:
            return block.keep(np.zeros(len(block.rows), bool)), []
        block = block.keep(_are_valid(block.columns[column]))
        cells = block.columns[column].dictionary_encode()
        codes = np.frombuffer(cells.indices.buffers()[1], np.int32, len(cells))
        counts = np.bincount(codes, minlength=len(cells.dictionary)).tolist()
        names = label.read_cells(cells.dictionary.to_pylist(), counts, num_others)
        if names is None:
            return block.keep(np.zeros(len(block.rows), bool)), []
        is_label = np.array([name is not None for name in names], bool)[codes]
        labels = [names[code] or "" for code in codes[is_label].tolist()]
        return block.keep(is_label), labels

    def _extend(
        self,
        block: Block,
        texts: dict[str, tuple[memoryview, np.ndarray]],
        labels: list[str],
        part: slice,
    ) -> None:
        """Adds a part of Arrow's rows."""
        self.reader.scan.num_found += part.stop - part.start
        values = {}
        for name, (contents, offsets) in texts.items():
            begin, end = int(offsets[part.start]), int(offsets[part.stop])
            lengths = np.diff(offsets[part.start : part.stop + 1])
            values[name] = (contents[begin:end], lengths)
        lines = block.lines[block.rows[part]]
        self.rows.extend(self.file, lines, values, labels[part], self.role)

    def _add(self, record: dict[str, Any], row_id: str) -> None:
        with self.reader.scan.collect_errors():
            self.reader.add(self.rows, record, row_id, self.file, self.role)

    def _row_id(self, block: Block, record: int) -> str:
        return f"{self.file}:{block.lines[record]}"


def _are_valid(array: pyarrow.Array) -> np.ndarray:
    return table_blocks.numpy_bools(compute.is_valid(array))


def _are_usable(texts: pyarrow.Array) -> np.ndarray:
    """bool[N], true for texts in which `record_reader.find_text_fault` surely finds no fault."""
    is_visible = table_blocks.numpy_bools(compute.match_substring_regex(texts, VISIBLE))
    has_nul = table_blocks.numpy_bools(compute.match_substring(texts, "\0"))
    is_short = table_blocks.text_lengths(texts) <= MAX_FIELD_BYTES
    return _are_valid(texts) & is_visible & is_short & ~has_nul


def _bytes_of(texts: pyarrow.Array) -> tuple[memoryview, np.ndarray]:
    """`(bytes, int32[N + 1] offsets)` of texts."""
    contents = texts.buffers()[2]
    places = table_blocks.text_offsets(texts)
    return memoryview(contents if contents is not None else b""), places


def csv_contents(text: str, dialect: Dialect) -> bytes | None:
    """The contents of a CSV file in UTF-8; None where it must be read row by row."""
    if table_files.SEP_LINE.match(text) or table_hints.has_blanks_before_quotes(text, dialect):
        return None
    contents = _encode(text)
    return contents if contents and table_blocks.is_plain_csv(contents, dialect) else None


def jsonl_contents(text: str) -> bytes | None:
    """The contents of a file of JSON lines in UTF-8; None where it must be read row by row."""
    return _encode(text) if _OBJECT.match(text) else None


def _encode(text: str) -> bytes | None:
    """A text in UTF-8; None for one that has halves of surrogate pairs."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return None


def read_csv(
    contents: bytes, dialect: Dialect, needed: list[str], make: Callable[[Parse], BlockReader]
) -> bool:
    """Adds the rows of a CSV file; false, and nothing is added, where a column is not there once.

    Args:
        contents: see `csv_contents`.
        dialect: how it is written.
        needed: the names of the columns that are read.
        make: gives the BlockReader for a way to parse single records.
    """
    start, line, header = 0, 1, list(dialect.columns)
    if not header:
        first, start, line = table_blocks.read_header_of(contents, dialect)
        header = [cell.strip() for cell in _cells(first, dialect)]
    if any(header.count(name) != 1 for name in needed):
        return False

    def parse(block: Block, record: int, row_id: str) -> dict[str, str] | None:
        scan.num_found += 1
        cells = _cells(block.text(record), dialect)
        num_lines = int(block.num_lines[record])
        return table_files.csv_record(cells, header, dialect, scan, row_id, num_lines)

    blocks = make(parse)
    scan = blocks.reader.scan
    blocks.read(table_blocks.csv_blocks(contents, dialect, header, needed, start, line))
    return True


def _cells(record: str, dialect: Dialect) -> list[str]:
    return next(dialect.reader(io.StringIO(record, newline="")))


def read_jsonl(
    contents: bytes, texts: list[str], label: str, make: Callable[[Parse], BlockReader]
) -> None:
    """Adds the rows of a file of JSON lines.

    Args:
        contents: see `jsonl_contents`.
        texts: the names of the fields of texts.
        label: the name of that of labels; empty without labels.
        make: gives the BlockReader for a way to parse single records.
    """

    def parse(block: Block, record: int, row_id: str) -> dict[str, Any] | None:
        line = block.text(record)
        if not line.strip():
            return None
        scan.num_found += 1
        values, reason = table_files.parse_json_line(line)
        if values is None:
            scan.skip(row_id, reason)
        return values

    blocks = make(parse)
    scan = blocks.reader.scan
    blocks.read(table_blocks.jsonl_blocks(contents, texts, label))
