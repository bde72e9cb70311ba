"""Metrics against numbers worked out by hand."""

import json
import math

import numpy as np
import pytest
from scipy import special, stats

from tltf.errors import DataError, NumericError, ShapeError
from tltf.evaluation import classification
from tltf.evaluation.baseline_row import Gain
from tltf.evaluation.split_metrics import MajorityAnswer, SplitMetrics

LABELS = [0, 0, 0, 1, 1, 2]
# Predicted: 0 0 1 1 1 0 -> confusion [[2,1,0],[0,2,0],[1,0,0]].
STATED = [
    [0.7, 0.2, 0.1],
    [0.5, 0.3, 0.2],
    [0.1, 0.8, 0.1],
    [0.2, 0.6, 0.2],
    [0.0, 1.0, 0.0],
    [0.6, 0.2, 0.2],
]
NAMES = ["cat", "dog", "owl"]


def random_case(num_examples, num_classes, seed=0, strength=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_examples)
    scores = rng.normal(size=(num_examples, num_classes))
    scores[np.arange(num_examples), labels] += strength
    return labels, special.softmax(scores, axis=1)


def test_hand_calculated_metrics():
    result = classification.measure(LABELS, STATED, NAMES, num_resamples=50)
    assert result.num_examples == 6
    assert result.scores["accuracy"] == pytest.approx(4 / 6)
    losses = [math.log(p) for p in (0.7, 0.5, 0.1, 0.6, 1.0, 0.2)]
    assert result.scores["loss"] == pytest.approx(-sum(losses) / 6)
    # F1 = 2 hits / (support + predicted): cat 4/6, dog 4/5, owl 0.
    assert result.scores["macro_f1"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    assert result.scores["weighted_f1"] == pytest.approx((3 * 4 / 6 + 2 * 4 / 5) / 6)
    assert result.scores["macro_precision"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert result.scores["macro_recall"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result.scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result.confusion == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert result.per_class[1].to_json() == {
        "name": "dog",
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "support": 2,
    }
    assert result.majority == MajorityAnswer("cat", 0.5, pytest.approx((2 * 3 / 9) / 3))


def test_output_is_plain_json_even_with_absent_classes():
    names = [f"class {i}" for i in range(8)]
    stated = np.full((3, 8), 0.05, np.float32)
    stated[:, 2:5] = 0.65, 0.06, 0.04
    result = classification.measure([2, 2, 3], stated, names, num_resamples=20)
    text = json.dumps(result.to_json(), allow_nan=False)
    assert SplitMetrics.from_json(json.loads(text)) == result
    assert result.absent_classes == [n for n in names if n not in ("class 2", "class 3")]
    assert result.scores["top_5_accuracy"] == 1.0
    # Macro averages leave classes out that neither occur nor are predicted.
    assert result.scores["macro_f1"] == pytest.approx((2 * 2 / 5 + 0) / 2)


def test_binary_has_the_rank_statistic_as_roc_auc():
    labels, stated = random_case(200, 2)
    result = classification.measure(labels, stated, ["no", "yes"], num_resamples=0)
    positive, negative = stated[labels == 1, 1], stated[labels == 0, 1]
    statistic = stats.mannwhitneyu(positive, negative).statistic
    assert result.scores["roc_auc"] == pytest.approx(statistic / len(positive) / len(negative))
    assert result.intervals == {}
    assert "top_5_accuracy" not in result.scores


def test_intervals_hold_the_value_and_repeat_with_the_seed():
    labels, stated = random_case(500, 3)
    first = classification.measure(labels, stated, NAMES, seed=4)
    assert first == classification.measure(labels, stated, NAMES, seed=4)
    assert first.intervals != classification.measure(labels, stated, NAMES, seed=5).intervals
    for name in ("accuracy", "loss", "macro_f1"):
        low, high = first.intervals[name]
        assert low < first.scores[name] < high


def test_probability_zero_of_the_truth_keeps_the_loss_finite():
    result = classification.measure([1], [[1.0, 0.0]], ["a", "b"], num_resamples=5)
    assert 30 < result.scores["loss"] < 40


@pytest.mark.parametrize(
    ("labels", "stated", "error", "words"),
    [
        ([], np.zeros((0, 2)), DataError, "without examples"),
        ([0], [[np.nan, 1.0]], NumericError, "first at example 0"),
        ([0], [[3.0, -2.0]], NumericError, "are not probabilities"),
        ([0], [[3.0, 2.0]], NumericError, "sum is 5"),
        ([2], [[0.5, 0.5]], DataError, "label 2"),
        ([-1], [[0.5, 0.5]], DataError, "label -1"),
        ([0.5], [[0.5, 0.5]], DataError, "whole numbers"),
        ([0, 1], [[0.5, 0.5]], ShapeError, "do not fit"),
        ([0], [[0.2, 0.3, 0.5]], ShapeError, "do not fit 2 classes"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels, stated, error, words):
    with pytest.raises(error, match=words):
        classification.measure(labels, stated, ["a", "b"])


def test_paired_difference_is_narrower_than_an_unpaired_one():
    labels, first = random_case(1000, 3, strength=2.0)
    second = first.copy()
    second[:60] = np.roll(first[:60], 1, axis=1)
    gain = classification.paired_difference(labels, first, second).gains["accuracy"]
    low, high = gain.interval
    right = first[:60].argmax(axis=1) == labels[:60]
    rolled = second[:60].argmax(axis=1) == labels[:60]
    assert gain.difference == pytest.approx((right.sum() - rolled.sum()) / 1000)
    # The variance of a paired difference is that of (right - rolled) over examples.
    spread = 1.96 * np.std(np.r_[right.astype(int) - rolled, np.zeros(940)]) / np.sqrt(1000)
    assert low == pytest.approx(gain.difference - spread, abs=0.003)
    assert high == pytest.approx(gain.difference + spread, abs=0.003)


def test_a_model_against_itself_differs_by_nothing():
    labels, stated = random_case(100, 3)
    result = classification.paired_difference(labels, stated, stated, num_resamples=20)
    assert result.gains["accuracy"] == Gain(0.0, [0.0, 0.0])
    assert result.only_a_right == result.only_b_right == 0
    json.dumps(result.to_json(), allow_nan=False)


def test_worst_mistakes_are_the_most_confident_wrong_answers():
    rows = classification.worst_mistakes(LABELS, STATED, NAMES, ids=list("uvwxyz"))
    assert [row.id for row in rows] == ["w", "z"]
    assert rows[0].to_json() == {
        "index": 2,
        "id": "w",
        "label": "cat",
        "predicted": "dog",
        "probability": pytest.approx(0.8),
        "label_probability": pytest.approx(0.1),
    }
    assert len(classification.worst_mistakes(LABELS, STATED, NAMES, limit=1)) == 1
