"""Texts and rows of tables as Markdown, in which nothing that a user gives is a mark."""

import html
import re
from collections.abc import Sequence

from tltf.evaluation.report import wording
from tltf.evaluation.report.sections import NUMBER_COLUMNS, Column

_MARKS = re.compile(r"([\\`*\[|]|~(?!/)|(?<![^\W_])_|_(?![^\W_])|^#+|^[-+](?=\s|$))")
"""What would be read as Markdown: an underscore inside a word, for one, is none."""
_NUMBER = re.compile(r"^(\d+)([.)])(?=\s|$)")
WORDS, NUMBERS = "---", "---:"
"""What stands below the title of a column of words, and of one of numbers."""


def escape(text: object) -> str:
    """`text` on one line, with the marks of Markdown and HTML escaped where they would be read as such."""
    flat = html.escape(" ".join(str(text).split()), quote=False)
    return _NUMBER.sub(r"\1\\\2", _MARKS.sub(r"\\\1", flat))


def row(cells: Sequence[object], is_escaped: bool = False) -> str:
    """A row of a table.

    Args:
        cells: of any kind, see `wording.cell_text`.
        is_escaped: whether they are Markdown.
    """
    texts = map(wording.cell_text, cells)
    return f"| {' | '.join(texts if is_escaped else map(escape, texts))} |"


def rules_of_columns(columns: Sequence[Column]) -> str:
    """The row below the titles of columns, by which numbers are flush right."""
    return row([NUMBERS if column.holds in NUMBER_COLUMNS else WORDS for column in columns], True)


def rules_of_values(rows: Sequence[Sequence[object]]) -> str:
    """The row below the titles of columns of values; columns without a text are flush right."""
    has_words = [
        any(isinstance(value, (str, list)) for value in column)
        for column in zip(*rows, strict=True)
    ]
    return row([WORDS if is_words else NUMBERS for is_words in has_words], True)
