"""The structure of an encoded image, whose segments and checksums show whether it is whole.

Reading the structure takes a few hundredths of the time of decoding, so that a scan of many files
takes little more than reading them. Where there is a doubt, the image must be decoded.
"""

import functools
import re
import zlib

JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")
"""The marker behind coded pixels: in them FF is followed by stuffed bytes (0) or restart markers only."""
START_OF_FRAME = (0xC0, 0xC1, 0xC2)
"""The frames that TensorFlow decodes: baseline, extended and progressive with Huffman codes."""
HUFFMAN_TABLES, QUANTIZATION_TABLES, START_OF_SCAN, END = 0xC4, 0xDB, 0xDA, 0xD9
SKIPPED = (*range(0xE0, 0xF0), 0xFE, 0xDD)
"""The segments that are skipped: application data, comments, restart intervals."""
LARGEST_DC_SYMBOL = 15
MAX_PIXELS = 89_478_485
"""The most pixels of an image. Beyond, Pillow warns of a decompression bomb, and TensorFlow would
allocate the memory."""
JPEG_PIXELS = 4
"""A JPEG may have so many times as many pixels as others, because it is decoded at a part of its size."""


def most_pixels(known: str) -> int:
    """The most pixels that the header of a file of a format may claim."""
    return MAX_PIXELS * (JPEG_PIXELS if known == "JPEG" else 1)


def coded_bytes(contents: bytes, known: str) -> int:
    """The number of bytes of the pixels of a JPEG or PNG that is surely whole; 0 where that is not sure.

    Args:
        contents: bytes of the file.
        known: format of the file, of which `JPEG` and `PNG` can be sure.
    """
    try:
        if known == "JPEG":
            return _Jpeg(contents).coded_bytes()
        return _coded_bytes_of_png(contents) if known == "PNG" else 0
    except IndexError:  # a segment beyond the end
        return 0


class _Jpeg:
    """The segments of a JPEG file, read up to its end marker."""

    def __init__(self, contents: bytes) -> None:
        self._contents = contents
        self._components: dict[int, int] = {}  # name -> number of its quantization table
        self._tables: set[int] = (
            set()
        )  # of Huffman codes: class (0 DC, 1 AC) in the upper four bits
        self._quantizations: set[int] = set()

    def coded_bytes(self) -> int:
        """The number of bytes of the scans; 0 unless every segment is in order."""
        contents, position, coded = self._contents, 2, 0
        while contents[position] == 0xFF:
            marker = contents[position + 1]
            if marker == END:
                return coded
            start = position + 4
            end = start - 2 + int.from_bytes(contents[position + 2 : start], "big")
            if end < start or not self._is_right(marker, start, end):
                return 0
            position = end
            if marker == START_OF_SCAN:
                next_marker = JPEG_MARKER.search(contents, end)
                if not next_marker:
                    return 0
                position = next_marker.start()
                coded += position - end
        return 0

    def _is_right(self, marker: int, start: int, end: int) -> bool:
        """Whether the segment of a marker, from start to end, is in order."""
        if marker in START_OF_FRAME:
            return self._is_frame(start, end)
        if marker == HUFFMAN_TABLES:
            return self._add(self._tables, _huffman_tables(self._contents[start:end]))
        if marker == QUANTIZATION_TABLES:
            return self._add(self._quantizations, _quantization_tables(self._contents[start:end]))
        return self._is_scan(start, end) if marker == START_OF_SCAN else marker in SKIPPED

    def _is_frame(self, start: int, end: int) -> bool:
        """Whether a frame is in order: depth, height, width; name, sampling and table of each component."""
        contents = self._contents
        count = contents[start + 5]
        if self._components or contents[start] != 8 or count not in (1, 3):
            return False
        names = contents[start + 6 : end : 3]
        self._components = dict(zip(names, contents[start + 8 : end : 3], strict=False))
        factors = {half for byte in contents[start + 7 : end : 3] for half in divmod(byte, 16)}
        return end - start == 6 + 3 * count and factors <= {1, 2, 4}

    @staticmethod
    def _add(known: set[int], tables: frozenset[int]) -> bool:
        """Adds the tables of a segment; false where it has none."""
        known.update(tables)
        return bool(tables)

    def _is_scan(self, start: int, end: int) -> bool:
        """Whether a scan is in order: name and tables of each component; first and last coefficient; bits."""
        contents = self._contents
        count = contents[start]
        names = contents[start + 1 : end - 3 : 2]
        tables = contents[start + 2 : end - 3 : 2]
        if not 1 <= count <= 3 or end - start != 4 + 2 * count:
            return False
        if not all(self._components.get(name) in self._quantizations for name in names):
            return False
        first, last, bits = (contents[place] for place in range(end - 3, end))
        needed = set() if first or bits >= 16 else {table >> 4 for table in tables}
        if last:
            needed |= {0x10 | table & 15 for table in tables}
        return first <= last <= 63 and needed <= self._tables


@functools.lru_cache(maxsize=1024)
def _huffman_tables(segment: bytes) -> frozenset[int]:
    """The class and number of each table of a segment; empty if one is wrong.

    A table has its class and number, how many codes have 1 to 16 bits, and their symbols. Files of
    one camera share their tables, so results are kept.
    """
    kinds, start = set(), 0
    while start < len(segment):
        kind, counts = segment[start], segment[start + 1 : start + 17]
        free = 1
        for count in counts:
            free = 2 * free - count
            if free < 0:
                return frozenset()
        end = start + 17 + sum(counts)
        is_long = kind < 16 and max(segment[start + 17 : end], default=0) > LARGEST_DC_SYMBOL
        if kind & 0xEC or is_long or end > len(segment):
            return frozenset()
        kinds.add(kind)
        start = end
    return frozenset(kinds)


@functools.lru_cache(maxsize=1024)
def _quantization_tables(segment: bytes) -> frozenset[int]:
    """The number of each table of a segment; empty if one is wrong. A table has depth, number and 64 values."""
    numbers, start = set(), 0
    while start < len(segment):
        depth, number = divmod(segment[start], 16)
        start += 65 + 64 * depth
        if depth > 1 or number > 3 or start > len(segment):
            return frozenset()
        numbers.add(number)
    return frozenset(numbers)


def _coded_bytes_of_png(contents: bytes) -> int:
    """See `coded_bytes`.

    A chunk has its length, name, data and checksum; IDAT has the pixels, IEND is the last.
    """
    position, coded = 8, 0
    view = memoryview(contents)
    while position + 12 <= len(contents):
        end = position + 8 + int.from_bytes(contents[position : position + 4], "big")
        checksum = int.from_bytes(contents[end : end + 4], "big")
        if end + 4 > len(contents) or zlib.crc32(view[position + 4 : end]) != checksum:
            return 0
        name = contents[position + 4 : position + 8]
        if name == b"IEND":
            return coded
        coded += (end - position - 8) * (name == b"IDAT")
        position = end + 4
    return 0
