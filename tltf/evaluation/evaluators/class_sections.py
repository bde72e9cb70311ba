"""What reports show of classes and of labels: confusions, how well each is predicted, calibration."""

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from tltf.evaluation import bootstrap
from tltf.evaluation.report import heatmap
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
    Folded,
    Group,
    Paragraph,
    Picture,
    Row,
    Section,
    Table,
)
from tltf.evaluation.report.wording import NOTHING, count_of, number, percent
from tltf.evaluation.split_metrics import ClassRow, LabelRow, SplitMetrics

Cell: TypeAlias = Callable[[ClassRow], str | Bar]
"""What makes the cell of a class in a column of a table."""
MAX_CONFUSION_TABLE = 20
"""Classes of the largest confusion matrix that is a table; larger ones are pictures."""
MOST_BESIDE = 6
"""Classes of the largest confusion matrix that shares its row of the page with another block."""
MAX_CONFUSIONS = 12
"""Pairs of classes that are listed."""
MAX_ABSENT = 20
"""Classes without examples that are named."""
MOST_ROWS, FIRST_ROWS = 20, 12
"""Classes of the longest table that is shown whole, and classes that are shown of longer ones."""
UNEVEN = 1.5
"""How many times as many examples as another class one class has where classes are uneven."""
MOST_FREQUENT = "Most frequent confusions"
THRESHOLDS = "thresholds"
"""In details of several labels, label -> the probability from which on it is given."""


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


def is_uneven(metrics: SplitMetrics) -> bool:
    """Whether one class has UNEVEN times as many examples as another that occurs, or more."""
    counts = [row.support for row in metrics.per_class if row.support]
    return len(counts) > 1 and max(counts) >= UNEVEN * min(counts)


def is_ordered(metrics: SplitMetrics) -> bool:
    """Whether the classes are in an order, so that distances between them were measured."""
    return "quadratic_kappa" in metrics.scores


def few_examples(metrics: SplitMetrics, plural: str) -> str:
    """A warning of classes that are too small to be judged one by one; empty where they are not.

    Args:
        metrics: of a split.
        plural: of what a row of `per_class` is about: `classes` or `labels`.
    """
    counts = [row.support for row in metrics.per_class if row.support]
    if not counts or statistics.median(counts) >= bootstrap.LEAST_SUPPORT:
        return ""
    noun = "class" if plural == "classes" else "label"
    if max(counts) == 1:
        text = f"No {noun} has more than one example here"
    else:
        most = count_of(int(statistics.median(counts)), "example")
        text = f"Half of the {plural} have {most} or fewer here"
    return f"{text}, so the numbers of a single {noun} are chance: read those of all together."


def weakest_sentences(metrics: SplitMetrics, noun: str) -> Iterator[str]:
    """A sentence on the class with the lowest F1, and on what it is taken for.

    It is one with enough examples to be judged; without two such classes there is no sentence.

    Args:
        metrics: of a split.
        noun: what a row of `per_class` is about: `class` or `label`.
    """
    rows = [row for row in metrics.per_class if row.support >= bootstrap.LEAST_SUPPORT]
    if len(rows) < 2:
        return
    weakest = min(rows, key=lambda row: row.f1)
    text = (
        f"Weakest {noun}: {weakest.name} (F1 {number(weakest.f1)}, "
        f"{count_of(weakest.support, 'example')})"
    )
    for row in confusions(metrics, limit=None):
        if row.label == weakest.name:
            text += f", most often taken for {row.predicted} ({count_of(row.count, 'time')})"
            break
    yield text + "."


def confusion_section(metrics: SplitMetrics) -> Iterator[Section]:
    """The confusion matrix with the most frequent confusions; nothing without a matrix."""
    if not metrics.confusion:
        return
    is_large = len(metrics.confusion) > MAX_CONFUSION_TABLE
    rows = confusions(metrics)
    if is_large:
        rows = [row for row in rows if row.count > 1]
    blocks = _large_matrix(metrics, rows) if is_large else _small_matrix(metrics, rows)
    yield Section(
        "confusion",
        "Confusions",
        "Confusion matrix: which classes are mistaken for which",
        blocks,
        _confusion_table(rows, ",d") if rows else None,
        MOST_FREQUENT,
    )


def _small_matrix(metrics: SplitMetrics, rows: Sequence[Confusion]) -> list[Block]:
    matrix = ConfusionMatrix(metrics.class_names, metrics.confusion, has_order=is_ordered(metrics))
    shown: Block = Paragraph("None: every example was classified correctly.", is_hint=True)
    if rows:
        shown = _confusion_table(rows, "d")
    pairs = Group([shown], MOST_FREQUENT)
    is_beside = len(metrics.confusion) <= MOST_BESIDE
    return [Beside(matrix, pairs)] if is_beside else [matrix, pairs]


def _large_matrix(metrics: SplitMetrics, rows: Sequence[Confusion]) -> list[Block]:
    """What helps first: the pairs that are confused again and again, and their classes; then all."""
    text = "Rows are the truth, columns the answers; the numbers of the classes are in their table."
    drawn = heatmap.confusion_heatmap(
        metrics.confusion, metrics.class_names, f"All {len(metrics.class_names)} classes"
    )
    whole: list[Block] = [
        Picture(drawn, is_wide=True),
        Paragraph(f"{text} The mouse over a cell shows its classes and its count.", is_hint=True),
    ]
    if not confusions(metrics):
        text = "None: every example was classified correctly."
        return [Group([Paragraph(text, is_hint=True)], MOST_FREQUENT), *whole]
    if not rows:
        text = "No class is taken for the same other class more than once."
        return [Group([Paragraph(text, is_hint=True)], MOST_FREQUENT), *whole]
    title = f"The {MAX_CONFUSION_TABLE} classes with the most errors"
    return [
        Group([_confusion_table(rows, "d")], MOST_FREQUENT),
        Group([_worst_classes(metrics)], title),
        *whole,
    ]


def _worst_classes(metrics: SplitMetrics) -> ConfusionMatrix:
    """The part of the confusion matrix that is of the classes with the most errors."""
    counts = np.array(metrics.confusion)
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-errors, kind="stable")[:MAX_CONFUSION_TABLE])
    part = counts[np.ix_(kept, kept)]
    return ConfusionMatrix(
        [metrics.class_names[place] for place in kept],
        part.tolist(),
        (counts[kept].sum(axis=1) - part.sum(axis=1)).tolist(),
        is_ordered(metrics),
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

    Classes that have an order stay in it.

    Args:
        metrics: of a split.
        split: its name.
        noun: what a row is about: `class` or `label`.
        plural: of the noun.
    """
    rows = metrics.per_class if is_ordered(metrics) else classes_by_f1(metrics)
    if not rows:
        return
    columns = _columns(metrics, noun)
    blocks: list[Block] = [_table(rows, columns)]
    if len(rows) > MOST_ROWS:
        title = f"{len(rows) - FIRST_ROWS} more of {len(rows)} {plural}"
        rest = Folded([_table(rows[FIRST_ROWS:], columns)], title)
        blocks = [_table(rows[:FIRST_ROWS], columns), rest]
    warning, absent = few_examples(metrics, plural), _absent_text(metrics, split, plural)
    before, after = ([Paragraph(text, is_hint=True)] if text else [] for text in (warning, absent))
    how = "from the first to the last" if is_ordered(metrics) else "weakest first"
    yield Section(
        "classes",
        plural.capitalize(),
        f"{plural.capitalize()}, {how}",
        [*before, *blocks, *after],
        _table(rows, columns),
        is_after_mistakes=True,
    )


def _absent_text(metrics: SplitMetrics, split: str, plural: str) -> str:
    if not metrics.absent_classes:
        return ""
    names = ", ".join(metrics.absent_classes[:MAX_ABSENT])
    more = ", …" if len(metrics.absent_classes) > MAX_ABSENT else ""
    return (
        f"{len(metrics.absent_classes)} of {len(metrics.class_names)} {plural} have no {split} "
        f"example: {names}{more}."
    )


def _columns(metrics: SplitMetrics, noun: str) -> list[tuple[Column, Cell]]:
    """The columns of the table of classes, each with what makes its cells of a ClassRow."""
    places = {name: str(place) for place, name in enumerate(metrics.class_names, 1)}
    thresholds = metrics.details.get(THRESHOLDS, {})
    columns: list[tuple[Column, Cell]] = [
        (Column(noun, NAME), lambda row: row.name),
        (Column("F1", BAR), lambda row: Bar(row.f1, number(row.f1))),
        (Column("precision", NUMBER), lambda row: number(row.precision)),
        (Column("recall", NUMBER), lambda row: number(row.recall)),
        (Column("examples", NUMBER), lambda row: f"{row.support:,}"),
    ]
    if len(metrics.confusion) > MAX_CONFUSION_TABLE:
        columns.insert(1, (Column("number", NUMBER), lambda row: places.get(row.name, NOTHING)))
    if any(isinstance(row, LabelRow) for row in metrics.per_class):
        columns.insert(-1, (Column("average precision", NUMBER), _average_precision))
    if thresholds:
        columns.insert(
            -1, (Column("threshold", NUMBER), lambda row: number(thresholds.get(row.name)))
        )
    return columns


def _average_precision(row: ClassRow) -> str:
    return number(row.average_precision if isinstance(row, LabelRow) else None)


def _table(rows: Sequence[ClassRow], columns: Sequence[tuple[Column, Cell]]) -> Table:
    return Table(
        [column for column, _ in columns],
        [Row([cell(row) for _, cell in columns], is_absent=not row.support) for row in rows],
    )
