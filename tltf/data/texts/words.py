"""The words of texts, each with its tokens, so that what is known of tokens can be said of words.

Tokenizers do not say where in a text a token begins. So a text is cut into words first; each word
is tokenized alone; and the cut counts only where the tokens of the words are those of the whole
text, one after the other. Coarser cuts are tried next, and last the pieces of the tokenizer itself
stand for the words.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np

from tltf.data.texts.preprocessing import TextPreprocessing

_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Japanese and Chinese letters, which are written without blanks between words."""
CUTS = (
    re.compile(
        rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+(?:['\u2019\-](?:(?![{_UNSPACED}])\w)+)*|[^\w\s]+"
    ),
    re.compile(r"\S+"),
)
"""How texts are cut into words: words and punctuation apart, else at blanks."""
_CONTINUED, _BEGINNING = "##", ("Ġ", "▁")
"""What WordPiece writes before a piece inside a word; what others write before one that begins it."""


@dataclasses.dataclass(frozen=True)
class TextPart:
    """A part of a text: a word, or what stands between two words.

    Args:
        text: its characters; those of all parts together are the text.
        first: the place of its first token in `token_ids` of the example.
        end: the place behind its last token; `first` where it has none.
        is_read: whether the model sees it; false where texts are cut before it.
    """

    text: str
    first: int = 0
    end: int = 0
    is_read: bool = True


def parts_of(prepared: TextPreprocessing, columns: Sequence[Sequence[str]]) -> list[list[TextPart]]:
    """The parts of each row's texts, in their order; a new line stands between two texts.

    Args:
        prepared: the preprocessing of the texts.
        columns: N texts of each of its fields.
    """
    kept = prepared.kept_tokens(*columns)
    rows: list[list[TextPart]] = [[] for _ in columns[0]]
    for texts, counts, places in zip(columns, kept, prepared.first_places(kept), strict=True):
        whole = prepared.token_ids(texts)
        for row, text in enumerate(texts):
            if rows[row]:
                rows[row].append(TextPart("\n"))
            limit = int(places[row] + counts[row])
            rows[row] += _placed(_cut(prepared, text, whole[row]), int(places[row]), limit)
    return rows


def _placed(words: Sequence[tuple[str, int]], first: int, limit: int) -> Iterator[TextPart]:
    """Parts of `(text, number of tokens)`, whose tokens begin at `first` and are cut at `limit`."""
    for text, count in words:
        end = min(first + count, limit)
        is_read = first < limit or (count == 0 and first <= limit)
        yield TextPart(text, min(first, end), end, is_read)
        first += count


def _cut(prepared: TextPreprocessing, text: str, ids: np.ndarray) -> list[tuple[str, int]]:
    """`(part of a text, number of its tokens)`, with all tokens int[L] of the text."""
    for pattern in CUTS:
        parts = list(_with_gaps(text, [match.span() for match in pattern.finditer(text)]))
        if not parts:
            continue
        own = prepared.token_ids([blank + part for part, blank in parts])
        if np.array_equal(np.concatenate(own), ids):
            counts = [len(tokens) for tokens in own]
            found = zip(parts, counts, strict=True)
            return [
                cut
                for (part, blank), count in found
                for cut in ([(blank, 0)] * bool(blank) + [(part, count)])
            ]
    return _pieces(prepared, ids)


def _with_gaps(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """`(part, the blank before it that belongs to its first token)`: words, and what is between them.

    A blank before a word belongs to it in byte-level vocabularies, in which other white space has
    tokens of its own.
    """
    last = 0
    for start, end in spans:
        blank = " " if start > last and text[start - 1] == " " else ""
        if start - len(blank) > last:
            yield text[last : start - len(blank)], ""
        yield text[start:end], blank
        last = end
    if last < len(text):
        yield text[last:], ""


def _pieces(prepared: TextPreprocessing, ids: np.ndarray) -> list[tuple[str, int]]:
    """The tokens as their tokenizer writes them, pieces of a word joined."""
    words: list[tuple[str, int]] = []
    names = [str(prepared.tokenizer.id_to_token(int(token))) for token in ids]
    has_beginnings = any(name.startswith(_BEGINNING) for name in names)
    for name in names:
        is_inside = name.startswith(_CONTINUED) or (
            has_beginnings and not name.startswith(_BEGINNING)
        )
        shown = name.removeprefix(_CONTINUED).lstrip("".join(_BEGINNING))
        if words and is_inside:
            text, count = words[-1]
            words[-1] = text + shown, count + 1
        else:
            words += [(" ", 0)] * bool(words) + [(shown, 1)]
    return words
