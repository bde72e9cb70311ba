"""The steps of a report follow from what it says, and their commands are ones that can be typed."""

import dataclasses
import shlex

import pytest

from tltf.config import command_options, flagfiles
from tltf.config.options import Options
from tltf.data.source import ScanCounts
from tltf.data.texts.preprocessing import TokenCounts
from tltf.evaluation.baseline_row import BaselineRow, Gain, PairedDifference
from tltf.evaluation.report import markdown, next_steps, writer
from tltf.evaluation.report.folds import Fold
from tltf.evaluation.report.report import DataSummary, Mistake, Report, SplitCounts
from tltf.evaluation.split_metrics import SplitMetrics

METRICS = SplitMetrics({"accuracy": 0.6}, 95)
LINEAR = BaselineRow(
    SplitMetrics({"accuracy": 0.3}),
    gain=PairedDifference({"accuracy": Gain(0.3, [0.2, 0.4])}),
)
GOOD = Report(
    test=METRICS,
    baselines={"logistic_regression": LINEAR},
    validation=METRICS,
    options={"output": "runs/a b", "method": "full", "keep": "best"},
    chosen_on_validation=["the epoch"],
)
USES = [
    "python -m tltf.predict '--run=runs/a b' --input=FILE",
    "python -m tltf.evaluate '--run=runs/a b' --data=NEW_DATA",
]


def commands(report, history=()):
    return [step.command for step in next_steps.next_steps(report, history)]


def texts(report, history=()):
    return [step.text for step in next_steps.next_steps(report, history)]


def with_gain(low, high):
    gain = PairedDifference({"accuracy": Gain((low + high) / 2, [low, high])})
    row = BaselineRow(SplitMetrics({"accuracy": 0.9}), gain=gain)
    return dataclasses.replace(GOOD, baselines={"logistic_regression": row})


def epochs(num, best):
    return [
        {"phase": "full", "epoch": n, "val_loss": 1.0, "val_accuracy": float(n == best)}
        for n in range(1, num + 1)
    ]


def with_data(warnings=(), **counts):
    splits = {"train": SplitCounts(sum(counts.values()), counts)}
    return dataclasses.replace(GOOD, data=DataSummary(ScanCounts(warnings=warnings), splits=splits))


def test_a_good_run_is_used_and_judged():
    assert commands(GOOD) == USES


def test_the_better_model_comes_first():
    first, *others = commands(with_gain(-0.5, -0.3))
    assert "--method=linear_probe(solver=lbfgs)" in shlex.split(first)
    assert others == USES
    assert commands(with_gain(0.3, 0.5)) == USES


@pytest.mark.parametrize(("num", "best", "is_long"), [(40, 2, True), (8, 2, True), (7, 2, False)])
def test_an_early_kept_epoch_means_a_shorter_training(num, best, is_long):
    found = commands(GOOD, epochs(num, best))
    assert any("--early_stopping_epochs=5" in command for command in found) == is_long
    assert found[-2:] == USES


def test_a_run_without_a_linear_baseline_is_compared_with_one():
    first, *others = commands(dataclasses.replace(GOOD, baselines={}))
    assert "--baseline=logistic" in shlex.split(first) and others == USES
    no_test = dataclasses.replace(GOOD, baselines=None, test=None)
    assert commands(no_test) == USES, "baselines are measured on the test split"


def test_a_best_epoch_that_is_the_last_means_a_longer_training():
    options = GOOD.options | {"train_epochs": 4}
    report = dataclasses.replace(GOOD, options=options)
    assert "--train_epochs=8" in shlex.split(commands(report, epochs(4, 4))[0])
    assert commands(report, epochs(4, 3)) == USES


def test_cut_texts_mean_a_larger_length():
    warning = TokenCounts(texts=9, cut=5, tokens=100, lost=62, unknown=0).warning(32)
    first, *_ = commands(with_data(["another warning", warning], a=50, b=50))
    assert "--text_length=64" in shlex.split(first)
    assert commands(with_data(["another warning"], a=50, b=50)) == USES
    twice = [f"fold {number}: {warning}" for number in (1, 2)]
    assert commands(with_data(twice, a=50, b=50)) == [first, *USES], "the same step once"


def test_confident_mistakes_are_named_as_possible_wrong_labels():
    rows = [Mistake(n, f"row {n}", "a", "b", probability=0.95 - 0.01 * n) for n in range(9)]
    text, *_ = texts(dataclasses.replace(GOOD, worst_mistakes=rows))
    assert "wrong labels: look at row 0, row 1, row 2, correct" in text
    assert commands(dataclasses.replace(GOOD, worst_mistakes=rows[6:])) == USES


def test_small_classes_are_named_the_smallest_first():
    text, *_ = texts(with_data(cat=40, dog=9, owl=3, cow=50, eel=60))
    assert text == (
        "Label more examples of the smallest classes first: owl (3 examples), dog (9 examples)."
    )
    assert commands(with_data(cat=9, dog=9, owl=8)) == USES, "all are alike"


def test_an_evaluation_names_the_run_and_offers_no_training():
    rows = [Mistake(0, "x", "a", "b", probability=0.99)]
    report = Report(test=METRICS, run={"run": "runs/a b"}, worst_mistakes=rows)
    assert commands(report) == ["", USES[0]]


def test_a_cross_validation_says_which_model_to_use():
    """One that is trained on all rows, or that of the first fold, wherever its folder is."""
    folds = [Fold({"accuracy": 0.8}, "rounds/1"), Fold({"accuracy": 0.9}, "rounds/2")]
    one_model, one_fold = commands(dataclasses.replace(GOOD, folds=folds))
    assert shlex.split(one_model)[-3:] == [
        "--flagfile=runs/a b/run.flags",
        "--split=holdout(test=0)",
        "--output=NEW",
    ]
    assert "--run=runs/a b/rounds/1" in shlex.split(one_fold)
    of_earlier_version = [dataclasses.replace(fold, folder="") for fold in folds]
    _, one_fold = commands(dataclasses.replace(GOOD, folds=of_earlier_version))
    assert "--run=runs/a b/rounds/0" in shlex.split(one_fold)


def test_rows_that_were_nearly_wrong_are_named_where_there_are_some():
    rows = [Mistake(n, f"row {n}", "a", "a", probability=0.51 + 0.01 * n) for n in range(5)]
    text, *_ = texts(dataclasses.replace(GOOD, borderline=rows))
    assert "nearly answered wrong, such as row 0, row 1, row 2: they" in text
    assert commands(dataclasses.replace(GOOD, borderline=rows[:2])) == USES, "too few to name"
    sure = [dataclasses.replace(row, probability=0.7) for row in rows]
    assert commands(dataclasses.replace(GOOD, borderline=sure)) == USES


def test_a_report_that_names_no_run_has_no_steps():
    assert next_steps.next_steps(Report(test=METRICS)) == []


def test_everything_at_once_is_short_and_every_command_is_taken(tmp_path):
    warning = TokenCounts(texts=9, cut=5, tokens=100, lost=62, unknown=0).warning(32)
    report = dataclasses.replace(
        with_gain(-0.5, -0.3),
        data=with_data([warning], cat=40, dog=9, owl=3, cow=50, eel=60).data,
        worst_mistakes=[Mistake(0, "x", "a", "b", probability=0.99)],
    )
    found = next_steps.next_steps(report, epochs(40, 2))
    assert len(found) == 6
    kinds = {
        "tltf.train": Options,
        "tltf.predict": command_options.PredictOptions,
        "tltf.evaluate": command_options.EvaluateOptions,
    }
    for step in found:
        _, _, module, *flags = shlex.split(step.command)
        flagfiles.parse(kinds[module], [flag for flag in flags if "flagfile" not in flag])
    writer.write(report, tmp_path, history=epochs(40, 2))
    page = (tmp_path / "report.html").read_text("utf-8")
    written = (tmp_path / "report.md").read_text("utf-8")
    assert '<a href="#next">' in page and '<section id="next">' in page
    for number, step in enumerate(found, 1):
        assert f"{number}. {markdown.escape(step.text)}" in written
        assert step.command in written
