"""Labels that come together, curves of each, and what reports say of several labels."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics

from tltf.evaluation import evaluators, label_details
from tltf.evaluation.evaluators.labels import LabelEvaluator
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.heads.multi_label import multi_label

NAMES = ("wet", "cold", "dark")
EDGES = (0.25, 0.5, 0.75)


def rows(count=200, num_labels=3):
    rng = np.random.default_rng(0)
    labels = (rng.random((count, num_labels)) < 0.3).astype(np.uint8)
    logits = 2.0 * labels - 1 + rng.normal(size=labels.shape)
    return labels, 1 / (1 + np.exp(-logits))


def judged():
    labels, stated = rows()
    judge = evaluators.evaluator_for(multi_label(thresholds=EDGES))
    candidate = judge.candidate(judge.head, stated)
    found = judge.measure(labels, candidate, NAMES)
    return dataclasses.replace(found, details=judge.details(labels, candidate, NAMES))


def texts(table):
    return [[str(cell) for cell in row.cells] for row in table.rows]


def test_pairs_are_counted_as_by_hand():
    labels = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 1, 0]], np.uint8)
    given = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]], bool)
    assert label_details.most_frequent_pairs(labels, given, NAMES) == [
        label_details.LabelPair("wet", "cold", 2, 2, 3 * 3 / 4),
        label_details.LabelPair("wet", "dark", 1, 2, 3 * 1 / 4),
    ]
    assert label_details.most_frequent_pairs(np.eye(3, dtype=np.uint8), given[:3], NAMES) == []


def test_a_report_keeps_curves_of_the_weakest_labels_with_enough_examples():
    labels, stated = rows(300, 20)
    labels[:, 0] = 0
    judge = evaluators.evaluator_for(multi_label())
    names = [str(number) for number in range(20)]
    candidate = judge.candidate(judge.head, stated)
    found = judge.measure(labels, candidate, names)
    curves = judge.details(labels, candidate, names)[label_details.CURVES]
    weakest = sorted(found.per_class[1:], key=lambda row: row.f1)[: label_details.MOST_CURVES]
    assert list(curves) == [row.name for row in weakest] and "0" not in curves
    place = int(weakest[0].name)
    precisions, recalls, _ = metrics.precision_recall_curve(labels[:, place], stated[:, place])
    whole = np.round(np.stack([recalls, precisions], axis=1), 4).tolist()
    assert all(point in whole for point in curves[weakest[0].name])
    assert len(curves[weakest[0].name]) <= label_details.CURVE_POINTS


def test_thresholds_pairs_and_curves_come_back_from_the_file_and_are_shown():
    found = judged()
    assert found.details["thresholds"] == dict(zip(NAMES, EDGES, strict=True))
    read = SplitMetrics.from_json(json.loads(json.dumps(found.to_json())))
    assert read.details == found.details
    labels, curves, pairs, calibration = LabelEvaluator.sections(read, "test")
    (table,) = [block for block in labels.blocks if block.block == "table"]
    place = [column.title for column in table.columns].index("threshold")
    assert {row[0]: row[place] for row in texts(labels.table)} == {
        name: f"{edge:.3f}" for name, edge in zip(NAMES, EDGES, strict=True)
    }
    assert curves.blocks[1].svg.count("<svg") == 1
    assert texts(pairs.table)[0][:2] == [
        found.details["label_pairs"][0]["first"],
        found.details["label_pairs"][0]["second"],
    ]
    assert calibration.key == "calibration"


def test_sentences_say_how_sure_the_model_is_and_how_many_rows_have_no_label():
    found = judged()
    labels, stated = rows()
    sure, empty, _ = LabelEvaluator.sentences(found)
    assert sure.startswith("Overconfident: the model states a probability of ")
    assert f"of {100 * stated.mean():.1f}% per label" in sure
    assert f"examples have {100 * labels.mean():.1f}% of the labels" in sure
    have = int((~labels.any(axis=1)).sum())
    given = int((~(stated >= np.array(EDGES)).any(axis=1)).sum())
    assert empty.startswith(f"{have} examples ({have / 2:.1f}%) have no label")
    assert f"the model gives none to {given} (" in empty
    assert found.scores["share_given_none"] == pytest.approx(given / 200)


def test_differences_of_f1_have_the_form_of_f1():
    assert LabelEvaluator.wording.change(0.993) == "+0.993"
