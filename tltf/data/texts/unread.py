"""Which parts of texts a network does not see, because texts are cut to a number of tokens."""

import re
from collections.abc import Sequence

import numpy as np

from tltf.data.texts.preprocessing import TextPreprocessing

MOST_CHARACTERS = 4000
"""A text that is cut behind so many characters counts as read whole: reports show less of it."""
_BROKEN_WORD = re.compile(r"(?<=\s)\w{1,20}$")
"""The start of a word at the end of a text."""


def unread_parts(
    prepared: TextPreprocessing, columns: Sequence[Sequence[str]]
) -> list[list[list[int]] | None]:
    """For each row `[[start, end], ...]` of its texts, joined by a new line; None if all is read.

    Tokenizers do not say where in a text a token ends, so the longest start of a text is sought that
    has no more tokens than are kept. A word that is cut through counts as not read. The end of what
    is read is right to within one word.

    Args:
        prepared: the preprocessing of the texts.
        columns: N texts of each of its fields.
    """
    ends = np.stack(
        [
            _read_ends(prepared, column, kept)
            for column, kept in zip(columns, prepared.kept_tokens(*columns), strict=True)
        ],
        axis=1,
    )
    rows: list[list[list[int]] | None] = []
    for texts, row_ends in zip(zip(*columns, strict=True), ends.tolist(), strict=True):
        starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
        parts = [
            [int(start) + end, int(start) + len(text)]
            for start, end, text in zip(starts, row_ends, texts, strict=False)
            if end < len(text)
        ]
        rows.append(parts or None)
    return rows


def _read_ends(prepared: TextPreprocessing, whole: Sequence[str], kept: np.ndarray) -> np.ndarray:
    """int[N]: how many characters of each text make at most `kept` int[N] tokens, by bisection."""
    texts = [text[:MOST_CHARACTERS] for text in whole]
    is_read = prepared.num_tokens(texts) <= kept
    high = np.array([len(text) for text in texts])
    low = np.where(is_read, high, 0)
    while np.any(low + 1 < high):
        middle = (low + high + 1) // 2
        starts = [text[:end] for text, end in zip(texts, middle.tolist(), strict=True)]
        fits = prepared.num_tokens(starts) <= kept
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    ends = np.array(
        [_whole_words(text, end) for text, end in zip(texts, low.tolist(), strict=True)]
    )
    return np.where(is_read, [len(text) for text in whole], ends)


def _whole_words(text: str, end: int) -> int:
    """The end of the last whole word of a text before a place in it, or near it without blanks."""
    is_inside = end < len(text) and text[end].isalnum()
    broken = _BROKEN_WORD.search(text[:end]) if is_inside else None
    return broken.start() if broken else end
