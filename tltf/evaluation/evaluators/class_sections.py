"""What reports show of classes and of labels: confusions, how well each is predicted, calibration."""

import dataclasses
from collections.abc import Iterator, Sequence

from tltf.evaluation.report import plots
from tltf.evaluation.report.sections import (
    BAR,
    NAME,
    NUMBER,
    WRONG,
    Bar,
    Beside,
    Block,
    Column,
    ConfusionMatrix,
    Group,
    Paragraph,
    Picture,
    Row,
    Section,
    Table,
)
from tltf.evaluation.report.wording import count_of, number, percent
from tltf.evaluation.split_metrics import ClassRow, LabelRow, SplitMetrics

MAX_CONFUSION_TABLE = 20
"""Classes of the largest confusion matrix that is a table; larger ones are pictures."""
MOST_BESIDE = 6
"""Classes of the largest confusion matrix that shares its row of the page with another block."""
MAX_CONFUSIONS = 12
"""Pairs of classes that are listed."""
MAX_ABSENT = 20
"""Classes without examples that are named."""


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Two classes of which one is taken for the other.

    Args:
        label: the true class.
        predicted: the answer.
        count: examples, above 0.
        share: of the examples of the true class, 0..1.
    """

    label: str
    predicted: str
    count: int
    share: float


def confusions(metrics: SplitMetrics, limit: int | None = MAX_CONFUSIONS) -> list[Confusion]:
    """The pairs of classes that are confused most often, the most frequent first."""
    names = metrics.class_names
    rows = [
        Confusion(names[i], names[j], count, count / sum(row))
        for i, row in enumerate(metrics.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(rows, key=lambda row: (-row.count, -row.share))[:limit]


def classes_by_f1(metrics: SplitMetrics) -> list[ClassRow]:
    """The rows of `per_class`, weakest first; classes without examples last."""
    return sorted(metrics.per_class, key=lambda row: (row.support == 0, row.f1))


def weakest_sentences(metrics: SplitMetrics, noun: str) -> Iterator[str]:
    """A sentence on the class with the lowest F1, and on what it is taken for.

    Args:
        metrics: of a split.
        noun: what a row of `per_class` is about: `class` or `label`.
    """
    rows = [row for row in metrics.per_class if row.support]
    if len(rows) < 2:
        return
    weakest = min(rows, key=lambda row: row.f1)
    text = (
        f"Weakest {noun}: {weakest.name} (F1 {number(weakest.f1)}, "
        f"{count_of(weakest.support, 'example')})"
    )
    for row in confusions(metrics, limit=None):
        if row.label == weakest.name:
            text += f", most often taken for {row.predicted} ({row.count:,} times)"
            break
    yield text + "."


def confusion_section(metrics: SplitMetrics) -> Iterator[Section]:
    """The confusion matrix with the most frequent confusions; nothing without a matrix."""
    if not metrics.confusion:
        return
    matrix: Block = ConfusionMatrix(metrics.class_names, metrics.confusion)
    if len(metrics.confusion) > MAX_CONFUSION_TABLE:
        drawn = plots.confusion_heatmap(metrics.confusion, "Shares of each class")
        matrix = Picture(drawn, is_wide=True)
    title, rows = "Most frequent confusions", confusions(metrics)
    shown: Block = Paragraph("None: every example was classified correctly.", is_hint=True)
    if rows:
        shown = _confusion_table(rows, "d")
    pairs = Group([shown], title)
    is_beside = len(metrics.confusion) <= MOST_BESIDE
    yield Section(
        "confusion",
        "Confusions",
        "Confusion matrix: which classes are mistaken for which",
        [Beside(matrix, pairs)] if is_beside else [matrix, pairs],
        _confusion_table(rows, ",d") if rows else None,
        title,
    )


def _confusion_table(rows: Sequence[Confusion], form: str) -> Table:
    columns = [
        Column("true"),
        Column("taken for", WRONG),
        Column("times", NUMBER),
        Column("of its class", NUMBER),
    ]
    cells = [
        [row.label, row.predicted, format(row.count, form), percent(row.share)] for row in rows
    ]
    return Table(columns, [Row(row) for row in cells])


def class_section(
    metrics: SplitMetrics, split: str, noun: str = "class", plural: str = "classes"
) -> Iterator[Section]:
    """How well each class is predicted, weakest first; nothing without rows of classes.

    Args:
        metrics: of a split.
        split: its name.
        noun: what a row is about: `class` or `label`.
        plural: of the noun.
    """
    rows = classes_by_f1(metrics)
    if not rows:
        return
    blocks: list[Block] = [_class_table(rows, noun, has_precisions=noun == "label")]
    if metrics.absent_classes:
        names = ", ".join(metrics.absent_classes[:MAX_ABSENT])
        more = ", …" if len(metrics.absent_classes) > MAX_ABSENT else ""
        text = (
            f"{len(metrics.absent_classes)} of {len(metrics.class_names)} {plural} have no {split} "
            f"example: {names}{more}."
        )
        blocks.append(Paragraph(text, is_hint=True))
    yield Section(
        "classes",
        plural.capitalize(),
        f"{plural.capitalize()}, weakest first",
        blocks,
        _class_table(rows, noun),
        is_after_mistakes=True,
    )


def _class_table(rows: Sequence[ClassRow], noun: str, *, has_precisions: bool = False) -> Table:
    titles = ["precision", "recall", *["average precision"] * has_precisions, "examples"]
    columns = [Column(noun, NAME), Column("F1", BAR), *(Column(title, NUMBER) for title in titles)]
    return Table(columns, [_class_row(row, has_precisions) for row in rows])


def _class_row(row: ClassRow, has_precision: bool) -> Row:
    numbers = [number(row.precision), number(row.recall)]
    if has_precision:
        numbers.append(number(row.average_precision if isinstance(row, LabelRow) else None))
    cells: list[str | Bar] = [row.name, Bar(row.f1, number(row.f1)), *numbers, f"{row.support:,}"]
    return Row(cells, is_absent=not row.support)


def calibration_section(metrics: SplitMetrics, what: str) -> Iterator[Section]:
    """Stated probabilities beside what they come to; nothing without bins of them.

    Args:
        metrics: of a split.
        what: what is grouped and what a bar stands for, in a sentence that is not finished.
    """
    if not metrics.reliability:
        return
    text = (
        f"{what} and the red line what was stated on average. A line above its bar means too sure, "
        "below it not sure enough. Both meet on the dashed line where the probabilities can be "
        "believed."
    )
    error = Paragraph(
        "The mean gap, weighted by the size of the groups, is the calibration error: ",
        percent(metrics.scores.get("calibration_error")),
        ".",
    )
    drawn = Picture(plots.reliability(metrics.reliability, "Reliability"))
    yield Section(
        "calibration",
        "Calibration",
        "Can the probabilities be believed?",
        [Beside(drawn, Group([Paragraph(text), error]))],
        is_after_mistakes=True,
    )
