"""Sections of classes: confusions and classes are in their order, and say what the counts say."""

import dataclasses

import pytest

from tltf.evaluation.evaluators import class_sections
from tltf.evaluation.evaluators.classes import ClassEvaluator
from tltf.evaluation.evaluators.labels import LabelEvaluator
from tltf.evaluation.report.sections import ConfusionMatrix, Paragraph, Picture, Table
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
    matrix, pairs = section.blocks
    assert isinstance(matrix, block)
    assert section.table is None
    assert isinstance(pairs.blocks[0], Paragraph)


def test_labels_have_average_precisions_in_the_page_alone():
    row = LabelRow("wet", precision=0.5, recall=0.5, f1=0.5, support=4, average_precision=0.75)
    metrics = SplitMetrics({}, target="labels", class_names=["wet"], per_class=[row])
    (section,) = LabelEvaluator.sections(metrics, "validation")
    assert section.link == "Labels"
    table = section.blocks[0]
    assert isinstance(table, Table)
    assert [column.title for column in table.columns][-2:] == ["average precision", "examples"]
    assert texts(table)[0][-2:] == ["0.750", "4"]
    assert [column.title for column in section.table.columns][-2:] == ["recall", "examples"]


def test_scores_alone_have_no_sections():
    for evaluator in (ClassEvaluator, LabelEvaluator):
        assert evaluator.sections(SplitMetrics({"accuracy": 0.5}), "test") == []
