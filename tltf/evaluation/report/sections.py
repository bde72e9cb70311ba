"""What an evaluator shows of its metrics in a report: sections of tables, pictures and paragraphs.

The page and report.md show any section without knowing the kind of labels that it is about.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

TEXT, NAME, WRONG, NUMBER, BAR = "text", "name", "wrong", "number", "bar"
"""What a column holds: texts; names that head their rows; wrong answers, in red; numbers, flush
right; numbers with a bar."""
NUMBER_COLUMNS = (NUMBER, BAR)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: at its top.
        holds: one of TEXT, NAME, WRONG, NUMBER and BAR.
    """

    title: str
    holds: str = TEXT


@dataclasses.dataclass(frozen=True)
class Bar:
    """A number with a bar, in a column of bars.

    Args:
        share: length of the bar, 0..1.
        text: the number.
    """

    share: float
    text: str

    def __str__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        cells: one per column, each a text, or a Bar in a column of bars.
        is_absent: whether the row is of something without examples, and is shown pale.
    """

    cells: Sequence[str | Bar]
    is_absent: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of texts and numbers.

    Args:
        columns: of the table.
        rows: each with a cell per column.
    """

    block: ClassVar[str] = "table"

    columns: Sequence[Column]
    rows: Sequence[Row]

    @property
    def has_bars(self) -> bool:
        """Whether a column has bars."""
        return any(column.holds == BAR for column in self.columns)


@dataclasses.dataclass(frozen=True)
class ConfusionMatrix:
    """How often each class is taken for each, with a colour per cell.

    Args:
        names: of C classes.
        counts: C lists of C counts of examples; rows are the true classes.
        others: C counts of the answers that are classes outside of the matrix; empty for none.
        has_order: whether the classes are in an order, so that a miss by more of them is a worse one.
    """

    block: ClassVar[str] = "confusion_matrix"

    names: Sequence[str]
    counts: Sequence[Sequence[int]]
    others: Sequence[int] = ()
    has_order: bool = False

    def total(self, row: int) -> int:
        """The examples of a true class."""
        return sum(self.counts[row]) + (self.others[row] if self.others else 0)

    def strength(self, row: int, column: int) -> float:
        """How strong the colour of a cell is, 0..1, by its share of the examples of its true class."""
        strength = 0.08 + 0.72 * (self.counts[row][column] / self.total(row)) ** 0.5
        distance = abs(row - column)
        if self.has_order and distance:
            strength *= min(1.0, 0.2 + 0.3 * distance)
        return round(strength, 3)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A plot.

    Args:
        svg: an `<svg>` element, as `tltf.evaluation.report.plots` draws it. It is not escaped.
        is_wide: whether it takes the width of the page.
    """

    block: ClassVar[str] = "picture"

    svg: str
    is_wide: bool = False


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Plots side by side, as many in a row as the page has room for.

    Args:
        svgs: as `Picture.svg`.
    """

    block: ClassVar[str] = "pictures"

    svgs: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Some sentences.

    Args:
        text: up to the words in bold type, or all.
        bold: words in bold type; may be empty.
        end: the text behind these.
        is_hint: whether it is an explanation in small type.
    """

    block: ClassVar[str] = "paragraph"

    text: str
    bold: str = ""
    end: str = ""
    is_hint: bool = False


@dataclasses.dataclass(frozen=True)
class Group:
    """Blocks below one another.

    Args:
        blocks: from the top.
        title: a heading above them; may be empty.
    """

    block: ClassVar[str] = "group"

    blocks: Sequence["Block"]
    title: str = ""


@dataclasses.dataclass(frozen=True)
class Beside:
    """Two blocks side by side, where the page is wide enough.

    Args:
        left: most often a picture.
        right: what explains it.
    """

    block: ClassVar[str] = "beside"

    left: "Block"
    right: "Block"


@dataclasses.dataclass(frozen=True)
class Folded:
    """Blocks that are shown when their title is clicked, and in print.

    Args:
        blocks: from the top.
        title: what they are.
    """

    block: ClassVar[str] = "folded"

    blocks: Sequence["Block"]
    title: str


Block = Table | ConfusionMatrix | Picture | Pictures | Paragraph | Group | Beside | Folded


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a report under a heading.

    Args:
        key: of its place in the page, unique there: `#key` leads to it.
        link: one word for the list of all sections.
        title: its heading.
        blocks: what report.html shows; without any, the section is not in the page.
        table: what report.md shows; None: the section is not in report.md.
        table_title: its heading in report.md; empty: as in the page.
        is_after_mistakes: whether it stands behind the worst mistakes and not before them.
    """

    key: str
    link: str
    title: str
    blocks: Sequence[Block] = ()
    table: Table | None = None
    table_title: str = ""
    is_after_mistakes: bool = False
