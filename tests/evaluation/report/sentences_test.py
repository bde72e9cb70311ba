"""Sentences and rows say what the numbers say."""

import dataclasses

import pytest

from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import BaselineRow, Gain, PairedDifference
from tltf.evaluation.report import sentences, wording
from tltf.evaluation.report.report import DataSummary, Parameters, Report, SplitCounts
from tltf.evaluation.split_metrics import ClassRow, SplitMetrics

METRICS = SplitMetrics(
    {
        "accuracy": 0.9,
        "loss": 0.3,
        "macro_f1": 0.88,
        "mean_confidence": 0.95,
        "calibration_error": 0.06,
    },
    200,
    class_names=["cat", "dog", "owl"],
    per_class=[
        ClassRow("cat", precision=0.96, recall=0.9, f1=0.93, support=100),
        ClassRow("dog", precision=0.9, recall=0.9, f1=0.9, support=100),
        ClassRow("owl", precision=0.0, recall=0.0, f1=0.0, support=0),
    ],
    confusion=[[90, 10, 0], [4, 90, 6], [0, 0, 0]],
    intervals={"accuracy": [0.85, 0.94]},
    interval_confidence=0.95,
)


def gain(difference, low, high):
    return PairedDifference({"accuracy": Gain(difference, [low, high])})


def baseline(accuracy, difference=None, **scores):
    return BaselineRow(SplitMetrics({"accuracy": accuracy, **scores}), gain=difference)


def test_sentences_of_a_good_run():
    report = Report(
        test=METRICS,
        baselines={
            "majority": baseline(0.5, gain(0.4, 0.33, 0.46)),
            "scratch": baseline(0.8, gain(0.1, 0.05, 0.15)),
        },
    )
    assert sentences.sentences(report) == [
        "The model is right on 90.0% of 200 test examples (95% interval 85.0% to 94.0%).",
        "Majority class: accuracy 50.0%; this model is better by 40.0 points (33.0 to 46.0).",
        "Pretraining helped: +10.0 points (+5.0 to +15.0) over the same network from random "
        "weights.",
        "Overconfident: the model states a probability of 95.0% on average and is right 90.0% of "
        "the time (calibration error 6.0%).",
        "Weakest class: dog (F1 0.900, 100 examples), most often taken for owl (6 times).",
    ]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.03, "Pretraining helped"),
        (-0.01, 0.03, "cannot be told from this split"),
        (-0.03, -0.01, "Pretraining did harm"),
    ],
)
def test_the_transfer_gain_is_worded_by_its_interval(low, high, words):
    scratch = baseline(0.8, gain((low + high) / 2, low, high))
    report = Report(test=METRICS, baselines={"scratch": scratch})
    assert any(words in sentence for sentence in sentences.sentences(report))


def test_a_difference_around_zero_claims_nothing():
    row = baseline(0.89, gain(0.01, -0.01, 0.03))
    text = " ".join(sentences.sentences(Report(test=METRICS, baselines={"small_cnn": row})))
    assert "Small cnn: accuracy 89.0%" in text
    assert "too small to be told from chance with 200 test examples" in text


@pytest.mark.parametrize(
    ("difference", "words"), [(-10.4, "better by 10.4 (8.400 to 12.4)"), (10.4, "worse by 10.4")]
)
def test_a_smaller_error_is_said_to_be_better(difference, words):
    bounds = sorted([difference - 2, difference + 2])
    metrics = SplitMetrics({"mean_absolute_error": 10.384}, 50, "number")
    found = PairedDifference({"mean_absolute_error": Gain(difference, bounds)})
    row = BaselineRow(SplitMetrics({"mean_absolute_error": 24.738}), gain=found)
    said = sentences.sentences(Report(test=metrics, baselines={"training_quantiles": row}))
    assert any(
        line.startswith(
            f"Always the training median: mean absolute error 24.7; this model is {words}"
        )
        for line in said
    )


def test_validation_stands_in_for_a_missing_test_split():
    report = Report(validation=METRICS)
    assert report.main_split() == ("validation", METRICS)
    assert "200 validation examples" in sentences.sentences(report)[0]
    assert sentences.sentences(Report()) == []


def test_comparison_has_the_model_first_then_the_best():
    rows = {"majority": baseline(0.5, macro_f1=0.3), "scratch": baseline(0.95)}
    shown = sentences.comparison(Report(test=METRICS, baselines=rows))
    assert [row.name for row in shown] == ["model", "scratch", "majority"]
    assert [row.is_model for row in shown] == [True, False, False]
    assert shown[2].cells == ["0.300", "\N{EN DASH}"]
    assert [row.value for row in shown] == [0.9, 0.95, 0.5]


@pytest.mark.parametrize(
    ("coverage", "interval", "verdict"),
    [
        (0.81, [0.78, 0.84], "they are too narrow"),
        (0.97, [0.95, 0.99], "they are too wide"),
        (0.86, [0.8, 0.92], "as they should, as far as these examples can show"),
    ],
)
def test_intervals_of_numbers_are_judged(coverage, interval, verdict):
    scores = {"mean_absolute_error": 2.0, "coverage": coverage, "wanted_coverage": 0.9}
    metrics = SplitMetrics(scores, 200, "number", intervals={"coverage": interval})
    said = sentences.sentences(Report(test=metrics))[-1]
    assert said == f"The 90% intervals hold {coverage:.1%} of the true values: {verdict}."


@pytest.mark.parametrize(
    ("confidence", "start"),
    [(0.95, "Overconfident"), (0.85, "Underconfident"), (0.905, "Well calibrated on average")],
)
def test_confidence_is_compared_with_how_often_it_is_right(confidence, start):
    metrics = dataclasses.replace(METRICS, scores=METRICS.scores | {"mean_confidence": confidence})
    assert any(line.startswith(f"{start}: ") for line in sentences.sentences(Report(test=metrics)))


def test_balance_counts_classes_that_one_split_lacks():
    splits = {"train": SplitCounts(5, {"a": 4, "b": 1}), "test": SplitCounts(2, {"c": 2})}
    result = sentences.balance(DataSummary(splits=splits))
    assert result.roles == ["train", "test"]
    assert result.rows == [
        sentences.BalanceRow("a", [4, 0], 1.0),
        sentences.BalanceRow("b", [1, 0], 0.25),
        sentences.BalanceRow("c", [0, 2], 0.0),
    ]
    assert (result.smallest, result.median, result.largest) == (0, 1, 4)
    assert sentences.balance(DataSummary()) is None


def test_numbers_read_well():
    assert sentences.percent(0.9876) == "98.8%"
    assert sentences.percent(None) == "\N{EN DASH}"
    assert wording.points(-0.019) == "\N{MINUS SIGN}1.9"
    assert wording.points(0.031) == "+3.1"
    assert wording.count_of(1, "class", "classes") == "1 class"
    assert wording.count_of(1200, "class", "classes") == "1,200 classes"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.000"),
        (0.1234, "0.123"),
        (9.8765, "9.877"),
        (10.384, "10.4"),
        (-103.25, "-103"),
        (1234.5678, "1,235"),
        (0.000794, "0.000794"),
        (0.001, "0.001"),
        (1.23e-12, "1.23 \N{MULTIPLICATION SIGN} 10⁻¹²"),
    ],
)
def test_numbers_have_the_digits_that_are_read(value, text):
    assert wording.number(value) == text


def test_a_difference_that_is_not_zero_is_not_shown_as_zero():
    minus = "\N{MINUS SIGN}"
    assert [wording.points(value) for value in (0.0, 1e-17, -0.0004, 0.00002)] == [
        "0.0",
        "0.0",
        f"{minus}0.04",
        "+0.002",
    ]
    said = dataclasses.replace(evaluators.wording_for(METRICS), is_share=False)
    assert [said.change(value) for value in (39.757, -0.955)] == ["+39.8", f"{minus}0.955"]


TABLE = [{"group": "stem", "trained": 0}, {"group": "top", "trained": 5}]


@pytest.mark.parametrize(
    ("table", "trained", "text"),
    [
        (TABLE, 2000, "Everything was trained: 2,000 parameters."),
        ([{"group": "head", "trained": 5}], 1, "Only the head was trained: 1 of 2,000 parameters"),
        (TABLE, 5, "Trained: 5 of 2,000 parameters (0.25%), in top."),
        ([], 5, "Trained: 5 of 2,000 parameters (0.25%)."),
    ],
)
def test_what_was_trained_is_said_in_words(table, trained, text):
    assert sentences.trained_text(table, Parameters(2000, trained)).startswith(text)
    assert sentences.trained_text(table, None) == ""


def test_few_of_many_parameters_are_not_said_to_be_none():
    text = sentences.trained_text([], Parameters(22_567_301, 1925))
    assert text == "Trained: 1,925 of 22,567,301 parameters (0.01%)."
