"""SimHashes of texts, by which near duplicates are found (Charikar 2002, STOC).

The parts of a text are the pairs of its words. Each bit of the SimHash is the majority of that bit
in the 64-bit BLAKE2b digests of the parts. One call per pair of words is left to Python; everything
else is done for thousands of texts at once.
"""

import itertools
import re
from collections.abc import Sequence

import numpy as np

from tltf.data.digests import new_digest

LEAST_WORDS = 5
"""The smallest number of words in texts that are compared: two shorter texts are easily alike."""
_WORD = re.compile(r"\w+")
_ASCII_WORDS = bytes(
    ord(chr(code).lower()) if _WORD.match(chr(code)) and code < 128 else ord(" ")
    for code in range(256)
)
"""What stands for each byte of an ASCII text, so that `split` gives its words in lower case."""
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_LANES = _BITS.view(np.uint64)[:, 0]
"""uint64[256]: byte k of the number is bit k of a byte, so that one addition counts eight bits."""
_MOST_ADDED = 255
"""The most parts whose bits can be counted in bytes."""


def simhashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """`(uint64[N] hashes, bool[N] whether the text is long enough)`; 0 for texts that are too short."""
    hashes, digests, counts = np.zeros(len(texts), np.uint64), list[bytes](), []
    is_long = np.zeros(len(texts), bool)
    new, add = new_digest, digests.append
    for row, text in enumerate(texts):
        words = _words(text)
        if len(words) < LEAST_WORDS:
            continue
        is_long[row] = True
        counts.append(len(words) - 1)
        for first, second in itertools.pairwise(words):
            hasher = new()
            hasher.update(first + b" " + second)
            add(hasher.digest())
    if digests:
        codes = np.frombuffer(b"".join(digests), "<u8")
        hashes[is_long] = _majorities(codes, np.array(counts))
    return hashes, is_long


def _words(text: str) -> list[bytes]:
    """The words of a text without the difference of case, in UTF-8."""
    if text.isascii():
        return text.encode().translate(_ASCII_WORDS).split()
    return [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.casefold())]


def _majorities(codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """uint64[N]: each bit is set where more than half of the codes of a text have it.

    Args:
        codes: uint64[M], those of each text beside each other.
        counts: int64[N], the number of codes of each text, at least 1.
    """
    starts = np.cumsum(counts) - counts
    num_pieces = -(-counts // _MOST_ADDED)
    places = np.arange(num_pieces.sum()) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    piece_starts = np.repeat(starts, num_pieces) + places * _MOST_ADDED
    lanes = _LANES[codes.view(np.uint8)].reshape(-1, 8)
    votes = np.add.reduceat(lanes, piece_starts, axis=0).view(np.uint8)
    if len(votes) > len(counts):
        text_starts = np.cumsum(num_pieces) - num_pieces
        votes = np.add.reduceat(votes, text_starts, axis=0, dtype=np.int64)
    bits = 2 * votes.astype(np.int64) > counts[:, None]
    return np.packbits(bits, axis=1, bitorder="little").view("<u8")[:, 0]
