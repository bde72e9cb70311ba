"""Sections of classes: confusions and classes are in their order, and say what the counts say."""

import dataclasses
import html

import numpy as np
import pytest

from tltf.evaluation.evaluators import class_sections
from tltf.evaluation.evaluators.classes import ClassEvaluator
from tltf.evaluation.evaluators.labels import LabelEvaluator
from tltf.evaluation.report.sections import ConfusionMatrix, Group, Paragraph, Picture, Table
from tltf.evaluation.split_metrics import ClassRow, LabelRow, SplitMetrics

METRICS = SplitMetrics(
    {"accuracy": 0.9},
    200,
    class_names=["cat", "dog", "owl"],
    absent_classes=["owl"],
    per_class=[
        ClassRow("cat", precision=0.96, recall=0.9, f1=0.93, support=100),
        ClassRow("dog", precision=0.9, recall=0.9, f1=0.9, support=1100),
        ClassRow("owl", precision=0.0, recall=0.0, f1=0.0, support=0),
    ],
    confusion=[[90, 10, 0], [4, 1090, 6], [0, 0, 0]],
)


def texts(table):
    return [[str(cell) for cell in row.cells] for row in table.rows]


def test_confusions_are_ordered_and_classes_weakest_first():
    assert class_sections.confusions(METRICS, limit=2) == [
        class_sections.Confusion("cat", "dog", 10, 0.1),
        class_sections.Confusion("dog", "owl", 6, 6 / 1100),
    ]
    assert [row.name for row in class_sections.classes_by_f1(METRICS)] == ["dog", "cat", "owl"]


def test_sections_of_classes():
    confusion, classes = ClassEvaluator.sections(METRICS, "test")
    assert (confusion.key, confusion.is_after_mistakes) == ("confusion", False)
    (beside,) = confusion.blocks
    assert beside.left == ConfusionMatrix(METRICS.class_names, METRICS.confusion)
    assert texts(confusion.table)[0] == ["cat", "dog", "10", "10.0%"]
    assert (classes.title, classes.is_after_mistakes) == ("Classes, weakest first", True)
    table, hint = classes.blocks
    assert texts(table)[0] == ["dog", "0.900", "0.900", "0.900", "1,100"]
    assert [row.is_absent for row in table.rows] == [False, False, True]
    assert hint.text == "1 of 3 classes have no test example: owl."


def test_counts_are_grouped_in_the_text_alone():
    metrics = dataclasses.replace(METRICS, confusion=[[0, 1234, 0], [0, 1, 0], [0, 0, 0]])
    (section,) = class_sections.confusion_section(metrics)
    assert texts(section.blocks[0].right.blocks[0])[0][2] == "1234"
    assert texts(section.table)[0][2] == "1,234"


@pytest.mark.parametrize(("num_classes", "block"), [(20, ConfusionMatrix), (21, Picture)])
def test_a_large_matrix_is_a_picture(num_classes, block):
    names = [str(number) for number in range(num_classes)]
    counts = [[int(i == j) for j in range(num_classes)] for i in range(num_classes)]
    metrics = SplitMetrics({}, class_names=names, confusion=counts)
    (section,) = class_sections.confusion_section(metrics)
    assert block in {type(part) for part in section.blocks}
    assert section.table is None
    (pairs,) = [part for part in section.blocks if isinstance(part, Group)]
    assert isinstance(pairs.blocks[0], Paragraph)


def many(counts, num_classes=60):
    """Metrics of classes of which so many examples each are right, and with the given mistakes."""
    names = [f"class {number}" for number in range(num_classes)]
    matrix = 20 * np.eye(num_classes, dtype=int)
    for (row, column), count in counts.items():
        matrix[row, column] = count
    rows = [
        ClassRow(name, precision=0.5, recall=0.5, f1=place / 100, support=20)
        for place, name in enumerate(names)
    ]
    return SplitMetrics({}, class_names=names, confusion=matrix.tolist(), per_class=rows)


def test_of_many_classes_the_worst_pairs_and_classes_come_first():
    metrics = many({(50, 3): 4, (7, 8): 2, (9, 10): 1})
    (section,) = class_sections.confusion_section(metrics)
    pairs, zoom, picture, hint = section.blocks
    assert texts(pairs.blocks[0]) == [
        ["class 50", "class 3", "4", "16.7%"],
        ["class 7", "class 8", "2", "9.1%"],
    ]
    assert texts(section.table) == texts(pairs.blocks[0])
    (matrix,) = zoom.blocks
    assert len(matrix.names) == 20 and {"class 3", "class 50", "class 10"} <= set(matrix.names)
    assert matrix.names.index("class 3") < matrix.names.index("class 50"), "in their own order"
    place = matrix.names.index("class 50")
    assert matrix.counts[place][matrix.names.index("class 3")] == 4
    assert matrix.total(place) == 24 and sum(matrix.others) == 0
    assert "class 50 → class 3: 4 of 24, 16.7%" in html.unescape(picture.svg)
    assert "numbers of the classes are in their table" in hint.text


def test_mistakes_outside_of_the_worst_classes_are_counted():
    counts = {(0, column): 2 for column in range(1, 40)}
    (section,) = class_sections.confusion_section(many(counts))
    (matrix,) = section.blocks[1].blocks
    assert matrix.total(0) == 20 + 2 * 39
    assert matrix.others[0] == 2 * (39 - 19)


def test_pairs_that_are_confused_once_are_no_pattern():
    (section,) = class_sections.confusion_section(many({(9, 10): 1}))
    assert [type(part) for part in section.blocks] == [Group, Picture, Paragraph]
    assert "more than once" in section.blocks[0].blocks[0].text
    assert section.table is None


def test_a_long_table_of_classes_is_folded_and_numbered():
    (section,) = class_sections.class_section(many({}), "test")
    first, folded = section.blocks
    assert len(first.rows) == 12 and folded.title == "48 more of 60 classes"
    (rest,) = folded.blocks
    assert len(rest.rows) == 48 and texts(section.table) == texts(first) + texts(rest)
    assert texts(first)[11][:2] == ["class 11", "12"]


@pytest.mark.parametrize(
    "counts, said",
    [
        ([10, 12, 30], ""),
        ([1, 1, 1], "No class has more than one example here, so the numbers of a single class"),
        (
            [3, 4, 40],
            "Half of the classes have 4 examples or fewer here, so the numbers of a single",
        ),
    ],
)
def test_classes_with_few_examples_are_not_read_one_by_one(counts, said):
    rows = [ClassRow(f"{count}", 1.0, 0.5, 0.6, count) for count in counts]
    metrics = SplitMetrics({}, class_names=list("abc"), per_class=rows)
    (section,) = class_sections.class_section(metrics, "test")
    shown = [part.text for part in section.blocks if isinstance(part, Paragraph)]
    assert len(shown) == bool(said) and all(text.startswith(said) for text in shown)
    found = list(class_sections.weakest_sentences(metrics, "class"))
    assert len(found) == (min(counts) >= 10)


def test_what_a_class_is_taken_for_once_is_said_in_the_singular():
    metrics = dataclasses.replace(METRICS, confusion=[[99, 1, 0], [1, 1099, 0], [0, 0, 0]])
    (sentence,) = class_sections.weakest_sentences(metrics, "class")
    assert sentence.endswith("most often taken for cat (1 time).")


ORDERED = dataclasses.replace(
    METRICS,
    scores={"quadratic_kappa": 0.9, "mean_rank_error": 0.2, "within_one_class": 1.0},
    confusion=[[90, 9, 9], [4, 1090, 6], [0, 0, 0]],
)


def test_classes_with_an_order_stay_in_it_and_far_misses_are_redder():
    confusion, classes = ClassEvaluator.sections(ORDERED, "test")
    assert [row[0] for row in texts(classes.table)] == METRICS.class_names
    assert classes.title == "Classes, from the first to the last"
    matrix = confusion.blocks[0].left
    assert matrix.has_order
    assert matrix.strength(0, 1) < matrix.strength(0, 2) < matrix.strength(0, 0)
    plain = dataclasses.replace(matrix, has_order=False)
    assert plain.strength(0, 1) == plain.strength(0, 2)
    said = [text for text in ClassEvaluator.sentences(ORDERED) if "one class off" in text]
    assert said == [
        "100.0% of the answers are right or one class off; the mean distance is 0.200 classes."
    ]


@pytest.mark.parametrize(
    "counts, is_uneven", [([100, 66, 0], True), ([100, 70], False), ([5], False)]
)
def test_uneven_classes(counts, is_uneven):
    rows = [ClassRow("a", 1.0, 1.0, 1.0, count) for count in counts]
    assert class_sections.is_uneven(SplitMetrics({}, per_class=rows)) == is_uneven


def test_labels_have_average_precisions():
    row = LabelRow("wet", precision=0.5, recall=0.5, f1=0.5, support=4, average_precision=0.75)
    metrics = SplitMetrics({}, target="labels", class_names=["wet"], per_class=[row])
    (section,) = LabelEvaluator.sections(metrics, "validation")
    assert section.link == "Labels"
    table = section.blocks[-1]
    assert isinstance(table, Table)
    assert [column.title for column in table.columns][-2:] == ["average precision", "examples"]
    assert texts(table)[0][-2:] == ["0.750", "4"]
    assert section.table == table


def test_scores_alone_have_no_sections():
    for evaluator in (ClassEvaluator, LabelEvaluator):
        assert evaluator.sections(SplitMetrics({"accuracy": 0.5}), "test") == []
