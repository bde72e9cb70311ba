"""Curves and thresholds of two classes, against counts made by hand and scikit-learn's functions."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.evaluation import abstention, binary_curves, evaluators
from tltf.evaluation.evaluators import binary_sections
from tltf.evaluation.split_metrics import SplitMetrics

NAMES = ("no", "yes")


def rows(count, seed=0, strength=1.5):
    """`(labels, probability of yes)`: a fifth is positive; rounded, so that there are ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.2).astype(int)
    logits = strength * (2 * labels - 1) - 1 + rng.normal(size=count)
    return labels, np.round(1 / (1 + np.exp(-logits)), 3)


def judged(labels, stated, validation=None):
    judge = evaluators.evaluator_for(call_strings.pick(HEADS, "classify").build())
    both = np.stack([1 - stated, stated], axis=1)
    found = judge.measure(labels, both, NAMES)
    return dataclasses.replace(
        found, details=judge.details(labels, both, NAMES, validation=validation)
    )


def test_rows_of_thresholds_are_counts():
    labels, stated = rows(600)
    curves = binary_curves.measure(labels, stated, "yes")
    assert [row.threshold for row in curves.thresholds] == sorted(
        {*binary_curves.PLAIN_THRESHOLDS, *curves.chosen}
    )
    for row in curves.thresholds:
        answers = stated >= row.threshold
        assert row.precision == pytest.approx(metrics.precision_score(labels, answers))
        assert row.recall == pytest.approx(metrics.recall_score(labels, answers))
        assert row.alarms_per_thousand == pytest.approx(1000 * answers.mean())


@pytest.mark.parametrize("seed", range(5))
def test_a_chosen_threshold_has_the_most_recall_at_its_precision(seed):
    labels, stated = rows(600, seed, strength=2.5)
    chosen = binary_curves.choose_thresholds(labels, stated)
    precisions, recalls, edges = metrics.precision_recall_curve(labels, stated)
    precisions, recalls = precisions[:-1], recalls[:-1]
    alarms = np.array([(stated >= edge).sum() for edge in edges])
    named = {name: edge for edge, names in chosen.items() for name in names.split(", ")}
    for wanted in binary_curves.PRECISIONS:
        fits = (precisions >= wanted) & (alarms >= binary_curves.LEAST_ALARMS)
        answers = stated >= named[f"{wanted:.0%} precision"]
        assert metrics.precision_score(labels, answers) >= wanted
        assert metrics.recall_score(labels, answers) == pytest.approx(recalls[fits].max())
    f1 = 2 * precisions * recalls / np.maximum(precisions + recalls, 1e-12)
    best = metrics.f1_score(labels, stated >= named["best F1"])
    assert best == pytest.approx(f1.max())


def test_a_precision_that_few_alarms_reach_is_not_promised():
    labels, stated = np.r_[np.ones(9, int), np.zeros(91, int)], np.linspace(1, 0, 100)
    names = ", ".join(binary_curves.choose_thresholds(labels, stated).values())
    assert names == "best F1, 90% precision", "nine of nine right are no precision of 99%"
    labels[9] = 1
    names = list(binary_curves.choose_thresholds(labels, stated).values())
    assert names == ["best F1, 95% precision, 99% precision", "90% precision"]


def test_a_threshold_is_a_short_number_between_two_probabilities():
    labels = np.r_[np.ones(20, int), np.zeros(20, int)]
    stated = np.r_[np.full(20, 0.93451), np.full(20, 0.42118)]
    assert list(binary_curves.choose_thresholds(labels, stated)) == [0.7]
    near = np.r_[np.full(20, 0.5000002), np.full(20, 0.5000001)]
    (edge,) = binary_curves.choose_thresholds(labels, near)
    assert 0.5000001 < edge <= 0.5000002


@pytest.mark.parametrize("count", [30, 3000])
def test_curves_are_points_of_the_whole_ones_and_keep_their_area(count):
    labels, stated = rows(count)
    curves = binary_curves.measure(labels, stated, "yes")
    for points in (curves.roc, curves.precision_recall):
        assert len(points) <= binary_curves.MOST_POINTS
    whole = np.round(np.stack(metrics.roc_curve(labels, stated)[:2], axis=1), 4).tolist()
    assert all(point in whole for point in curves.roc)
    assert curves.roc[0] == [0, 0] and curves.roc[-1] == [1, 1]
    x, y = np.array(curves.roc).T
    assert metrics.auc(x, y) == pytest.approx(metrics.roc_auc_score(labels, stated), abs=5e-3)
    precisions, recalls, _ = metrics.precision_recall_curve(labels, stated)
    whole = np.round(np.stack([recalls, precisions], axis=1), 4).tolist()
    assert all(point in whole for point in curves.precision_recall)


def test_areas_of_resamples_are_those_of_the_resampled_rows():
    labels, stated = rows(80)
    areas = binary_curves.area_resamples(labels, stated, seed=3, num_resamples=20)
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, 80, (80, 20))
    expected = [metrics.roc_auc_score(labels[rows_], stated[rows_]) for rows_ in drawn.T]
    np.testing.assert_allclose(areas, expected)


@pytest.mark.parametrize("strength", [0.4, 1.5])
def test_the_interval_of_the_area_holds_it_as_often_as_it_should(strength):
    truth, held = metrics.roc_auc_score(*rows(50_000, 99, strength)), []
    for seed in range(200):
        low, high = binary_curves.area_interval(*rows(150, seed, strength))
        held.append(low <= truth <= high)
    assert 0.92 < np.mean(held) < 0.995


def test_the_interval_of_the_area_is_what_its_formula_says():
    """Newcombe 2006: the areas whose score test does not refuse the measured one."""
    labels, stated = rows(60, 1, 0.8)
    measured, positive = metrics.roc_auc_score(labels, stated), labels.sum()
    for true in binary_curves.area_interval(labels, stated):
        factor = 1 + 29 * (1 - true) / (2 - true) + 29 * true / (1 + true)
        variance = true * (1 - true) * factor / (positive * (60 - positive))
        assert abs(measured - true) / np.sqrt(variance) == pytest.approx(1.95996, 1e-4)
    low, high = binary_curves.area_interval(np.array([0, 0, 1, 1]), np.arange(4.0))
    assert high == 1.0 and 0.3 < low < 0.9, "few rows in the right order are no certainty"


def test_one_class_alone_has_no_curves():
    assert binary_curves.measure(np.zeros(5, int), np.linspace(0, 1, 5), "yes") is None
    only = judged(np.zeros(5, int), np.linspace(0, 0.4, 5))
    assert only.details == {} and list(binary_sections.section(only, "test")) == []
    assert "roc_auc" not in only.scores
    values = binary_curves.area_resamples(
        np.zeros(5, int), np.linspace(0, 1, 5), seed=0, num_resamples=5
    )
    assert np.isnan(values).all()


def test_thresholds_are_chosen_on_validation_and_judged_on_test():
    validation, test = judged(*rows(500, 1, 2.5)), rows(400, 2, 2.5)
    found = judged(*test, validation=validation)
    chosen = binary_curves.BinaryCurves.from_details(validation.details)
    curves = binary_curves.BinaryCurves.from_details(found.details)
    assert curves.chosen == chosen.chosen and curves.is_chosen_elsewhere
    assert not chosen.is_chosen_elsewhere
    (edge,) = [edge for edge, name in curves.chosen.items() if "99%" in name]
    answers = test[1] >= edge
    recall = metrics.recall_score(test[0], answers)
    (sentence,) = binary_sections.sentences(found)
    assert sentence.startswith(
        f"For 99% precision answer yes from a probability of {edge:g} on (chosen on the validation"
    )
    assert f"and {100 * recall:.1f}% of all yes are found." in sentence
    (own,) = binary_sections.sentences(validation)
    assert own.endswith("the threshold was chosen on these rows, so new rows may be worse.")


def test_a_report_says_that_no_threshold_is_precise():
    (sentence,) = binary_sections.sentences(judged(*rows(100, 3, 0.0)))
    assert sentence == (
        "The positive class is yes; no threshold gives it a precision of 90% with 10 answers or more."
    )


def test_they_come_back_from_the_file_and_are_shown():
    found = judged(*rows(300, 4, 2.5))
    read = SplitMetrics.from_json(json.loads(json.dumps(found.to_json())))
    assert read.details == found.details
    (section,) = binary_sections.section(read, "test")
    assert section.title == "From which probability on to answer yes"
    hint, pictures, table = section.blocks
    assert "The positive class is yes, the second by name" in hint.text
    assert "new rows may be worse" in hint.text
    assert [svg.count("<svg") for svg in pictures.svgs] == [1, 1]
    assert section.table == table and len(table.rows) == len(found.details["binary"]["thresholds"])
    assert 5 <= len(table.rows) <= 9


def test_no_threshold_is_advised_to_a_model_that_says_where_it_is_not_sure():
    labels, stated = rows(300, 4, 2.5)
    found = judged(labels, stated)
    (section,) = binary_sections.section(found, "test")
    assert section.blocks[0].bold.startswith("--threshold=")
    head = call_strings.pick(HEADS, "classify(sure_from=.8)", "head").build()
    both = np.stack([1 - stated, stated], axis=1)
    sure = abstention.details(head, labels, both, "coverage(.9)")
    (section,) = binary_sections.section(
        dataclasses.replace(found, details={**found.details, **sure}), "test"
    )
    hint = section.blocks[0]
    assert "takes no threshold" in hint.text and hint.bold == "--abstain=none"


@pytest.mark.parametrize(
    "values",
    [None, 3, [], {}, {"thresholds": 5}, {"thresholds": [{"threshold": 0.5}]}, {"thresholds": [1]}],
)
def test_details_that_are_no_curves_are_none(values):
    assert binary_curves.BinaryCurves.from_details({"binary": values}) is None
    row = {"num_alarms": 1, "num_hits": 1, "num_positive": 1, "num_examples": 1}
    for threshold in ("0.5", 2.0, None):
        changed = {"positive": "a", "roc": [], "precision_recall": []}
        changed["thresholds"] = [{**row, "threshold": threshold}]
        assert binary_curves.BinaryCurves.from_details({"binary": changed}) is None


def test_a_gain_of_the_area_is_paired():
    judge = evaluators.evaluator_for(call_strings.pick(HEADS, "classify").build())
    labels, first = rows(200)
    second = np.random.default_rng(5).random(200)
    pair = [np.stack([1 - part, part], axis=1) for part in (first, second)]
    gain = judge.difference(labels, *pair).gains["roc_auc"]
    areas = [metrics.roc_auc_score(labels, part) for part in (first, second)]
    assert gain.difference == pytest.approx(areas[0] - areas[1])
    assert gain.interval[0] < gain.difference < gain.interval[1]
    assert judge.difference(labels, pair[0], pair[0]).gains["roc_auc"].interval == [0.0, 0.0]
