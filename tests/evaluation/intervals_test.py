"""How often the intervals of a report hold the truth, in seeded simulations."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from tests.faults.making import covers
from tltf import train
from tltf.data import label_kinds
from tltf.evaluation import bootstrap, classification, evaluators
from tltf.evaluation.label_metrics import Answers
from tltf.evaluation.report import folds, sentences, terminal
from tltf.evaluation.report.report import Report
from tltf.heads.multi_label import multi_label
from tltf.heads.regress import regress


def answered(right, num_classes=2):
    """`(labels, probabilities)` where so many rows are right."""
    labels = np.zeros(len(right), int)
    stated = np.full((len(right), num_classes), 0.1 / (num_classes - 1))
    stated[np.arange(len(right)), np.where(right, 0, 1)] = 0.9
    return labels, stated


@covers(107, 240)
@pytest.mark.parametrize(
    "count, low",
    [(1, 0.20655), (3, 0.4385), (16, 0.8064), (32, 0.8928)],
)
@pytest.mark.parametrize("are_right", [True, False])
def test_all_right_and_all_wrong_are_no_certainty(count, low, are_right):
    """Wilson's interval, in the place of Clopper and Pearson's: its mean coverage is nearer 95%."""
    labels, stated = answered(np.full(count, are_right))
    found = classification.measure(labels, stated, ["a", "b"])
    wanted = [low, 1.0] if are_right else [0.0, 1 - low]
    assert found.intervals["accuracy"] == pytest.approx(wanted, abs=2e-4)
    assert "loss" not in found.intervals, "resamples of equal rows are equal"
    assert "calibration_error" not in found.intervals
    report = Report(test=found, baselines={})
    assert evaluators.wording_for(found).value(wanted[0]) in terminal.score_text(found)
    assert evaluators.wording_for(found).value(wanted[0]) in sentences.sentences(report)[0]


def test_wilson_agrees_with_its_formula():
    """Wilson 1927: the shares whose score test does not refuse 7 of 20."""
    for edge in bootstrap.share_interval(7, 20, 0.95):
        assert abs(7 / 20 - edge) / np.sqrt(edge * (1 - edge) / 20) == pytest.approx(1.95996, 1e-4)


@pytest.mark.parametrize("count, share", [(20, 0.95), (20, 0.5), (100, 0.98), (300, 0.7)])
def test_coverage_of_accuracy(count, share):
    outcomes = np.arange(count + 1)
    bounds = np.array([bootstrap.share_interval(k, count, 0.95) for k in outcomes])
    is_held = (bounds[:, 0] <= share) & (share <= bounds[:, 1])
    assert 0.92 < stats.binom.pmf(outcomes, count, share)[is_held].sum() < 0.98


@pytest.mark.parametrize(
    "count, both, first, second", [(30, 0.8, 0.1, 0.0), (200, 0.6, 0.15, 0.15)]
)
def test_coverage_of_a_paired_difference_of_accuracy(count, both, first, second):
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(count, [both, first, second, 1 - both - first - second], 2000)
    bounds = np.array([bootstrap.share_difference(*row[1:3], count, 0.95) for row in drawn])
    is_held = (bounds[:, 0] <= first - second) & (first - second <= bounds[:, 1])
    assert 0.92 < is_held.mean() < 0.99


def test_paired_difference_of_few_rows_has_a_width():
    labels, right = answered(np.ones(3, bool))
    gain = classification.paired_difference(labels, right, answered(np.zeros(3, bool))[1])
    low, high = gain.gains["accuracy"].interval
    assert gain.gains["accuracy"].difference == 1.0 and low < 0.8 and high == 1.0
    assert gain.gains["loss"].interval is None
    json.dumps(gain.to_json(), allow_nan=False)


def few_shot(rng, num_rows, num_classes, accuracy=0.7):
    labels = rng.integers(0, num_classes, num_rows)
    is_right = rng.random(num_rows) < accuracy
    other = (labels + rng.integers(1, num_classes, num_rows)) % num_classes
    return labels, np.where(is_right, labels, other)


def test_coverage_of_macro_f1_and_none_for_small_classes():
    rng, held = np.random.default_rng(0), []
    truth = metrics.f1_score(*few_shot(rng, 200_000, 10), average="macro")
    for seed in range(100):
        labels, predicted = few_shot(rng, 250, 10)
        found = classification.measure(
            labels, np.eye(10)[predicted], list("abcdefghij"), seed=seed, num_resamples=200
        )
        bounds = found.intervals.get("macro_f1")
        assert (bounds is None) == (np.bincount(labels).min() < 10)
        if bounds:
            held.append(bounds[0] <= truth <= bounds[1])
    assert len(held) > 80 and np.mean(held) > 0.88


def coverage(truth, intervals):
    """Metric -> share of the intervals (list of dict metric -> [low, high]) that hold its truth."""
    return {
        name: np.mean([bounds[name][0] <= value <= bounds[name][1] for bounds in intervals])
        for name, value in truth.items()
    }


def between(low, shares, high):
    assert all(low < share < high for share in shares.values()), shares


def leaning(rng, num_rows, strength):
    """`(labels, probabilities)` of three classes; noise stands for what the model does not know."""
    labels = rng.integers(0, 3, num_rows)
    logits = strength * np.eye(3)[labels] + rng.normal(size=(num_rows, 3))
    odds = np.exp(logits)
    return labels, odds / odds.sum(axis=1, keepdims=True)


def test_coverage_of_the_loss_of_classes():
    rng, names = np.random.default_rng(0), ["a", "b", "c"]
    truth = {"loss": metrics.log_loss(*leaning(rng, 200_000, 1.5))}
    found = [
        classification.measure(*leaning(rng, 100, 1.5), names, seed=seed, num_resamples=300)
        for seed in range(200)
    ]
    between(0.9, coverage(truth, [row.intervals for row in found]), 0.98)


def test_coverage_of_paired_differences_of_the_loss_and_macro_f1():
    def pair(rng, num_rows):
        labels, first = leaning(rng, num_rows, 1.5)
        second = 0.7 * first + 0.3 * rng.dirichlet(np.ones(3), num_rows)
        return labels, first, second

    rng = np.random.default_rng(0)
    labels, *both = pair(rng, 200_000)
    losses = [metrics.log_loss(labels, stated) for stated in both]
    scores = [metrics.f1_score(labels, stated.argmax(axis=1), average="macro") for stated in both]
    truth = {"loss": losses[0] - losses[1], "macro_f1": scores[0] - scores[1]}
    found = [
        classification.paired_difference(*pair(rng, 120), seed=seed, num_resamples=300)
        for seed in range(200)
    ]
    intervals = [{name: row.gains[name].interval for name in truth} for row in found]
    between(0.9, coverage(truth, intervals), 0.985)


def several(rng, num_rows):
    """`(labels, Answers)` of four labels per row, given from one half on."""
    labels = (rng.random((num_rows, 4)) < 0.4).astype(np.uint8)
    logits = 2.0 * labels - 1 + 1.2 * rng.normal(size=labels.shape)
    stated = 1 / (1 + np.exp(-logits))
    return labels, Answers(stated, stated >= 0.5)


def test_coverage_of_the_metrics_of_several_labels():
    rng, judge, names = (
        np.random.default_rng(0),
        evaluators.evaluator_for(multi_label()),
        list("abcd"),
    )
    labels, answers = several(rng, 200_000)
    given = answers.given
    truth = {
        "micro_f1": metrics.f1_score(labels, given, average="micro"),
        "macro_f1": metrics.f1_score(labels, given, average="macro"),
        "exact_match": (labels == given).all(axis=1).mean(),
        "loss": metrics.log_loss(labels.ravel(), answers.probabilities.ravel()),
    }
    found = [judge.measure(*several(rng, 120), names, seed=seed) for seed in range(150)]
    assert set(found[0].intervals) == set(truth)
    between(0.89, coverage(truth, [row.intervals for row in found]), 0.99)


def numbers(rng, num_rows):
    """`(numbers, float[N, 3] quantiles)`: .9 of them within, deviation 1 around the median."""
    median = 2 * rng.normal(size=num_rows)
    return median + rng.normal(size=num_rows), median[:, None] + np.array([[-1.645, 0, 1.645]])


def test_coverage_of_the_metrics_of_numbers():
    rng, head = np.random.default_rng(0), regress(quantiles=[0.05, 0.5, 0.95])
    judge, (many, answers) = evaluators.evaluator_for(head), numbers(rng, 200_000)
    levels, errors = np.array(head.quantiles), many[:, None] - answers
    truth = {
        "mean_absolute_error": np.sqrt(2 / np.pi),
        "root_mean_squared_error": 1.0,
        "r2": 0.8,
        "coverage": 0.9,
        "loss": np.maximum(levels * errors, (levels - 1) * errors).mean(),
    }
    found = [judge.measure(*numbers(rng, 120), seed=seed) for seed in range(200)]
    assert set(found[0].intervals) == set(truth)
    between(0.89, coverage(truth, [row.intervals for row in found]), 0.985)


def test_constant_numbers_have_no_interval_of_r2():
    found = evaluators.evaluator_for(regress(quantiles=[0.5])).measure(
        np.full(9, 4.0), np.arange(9.0)[:, None]
    )
    assert found.scores["r2"] is None and "r2" not in found.intervals


def ridge_gains(rng, num_folds):
    """Gains, over folds, of one ridge classifier over another, which are equally good."""
    labels = rng.choice([-1.0, 1.0], 100)
    features = labels[:, None] * 0.3 + rng.normal(size=(100, 10))
    order, gains = np.arange(100) % num_folds, []
    for fold in range(num_folds):
        train, test, right = order != fold, order == fold, []
        for columns in (features[:, :5], features[:, 5:]):
            gram = columns[train].T @ columns[train] + np.eye(5)
            weights = np.linalg.solve(gram, columns[train].T @ labels[train])
            right.append((np.sign(columns[test] @ weights) == labels[test]).mean())
        gains.append(right[0] - right[1])
    return gains


def test_coverage_of_the_gain_over_folds():
    rng = np.random.default_rng(0)
    bounds = [folds.mean_interval(ridge_gains(rng, 5)) for _ in range(600)]
    held = np.mean([pair is None or pair[0] <= 0 <= pair[1] for pair in bounds])
    assert 0.94 < held < 0.995


def test_gain_over_folds_that_are_alike_has_no_interval():
    assert folds.mean_interval([0.25, 0.25, 0.25]) is None


@pytest.mark.parametrize(
    "chosen, words",
    [
        (["the epoch"], "The epoch was chosen on these rows"),
        (["the epoch", "the thresholds"], "The epoch and the thresholds were chosen on these rows"),
        (["the penalty", "the margin", "a"], "The penalty, the margin and a were chosen"),
    ],
)
def test_a_report_of_rows_that_chose_something_says_so(chosen, words):
    metrics = classification.measure(*answered(np.arange(20) > 3), ["a", "b"])
    report = Report(validation=metrics, chosen_on_validation=chosen)
    assert sentences.sentences(report)[1].startswith(words)
    assert list(sentences.choice_sentences(dataclasses.replace(report, test=metrics))) == []
    assert list(sentences.choice_sentences(Report(validation=metrics))) == []


@pytest.mark.parametrize("levels", [(0.05, 0.5, 0.95), (0.25, 0.5, 0.75), (0.1, 0.5, 0.9)])
def test_margin_is_the_order_statistic_and_few_rows_are_warned_of(levels, recwarn):
    """Romano et al. 2019: the ceil((n + 1) (1 - a))-th smallest of the scores."""
    wanted = levels[-1] - levels[0]
    for count in range(9, 120):
        numbers = np.random.default_rng(count).permutation(np.arange(1.0, count + 1))
        head = regress(quantiles=levels).tune(np.zeros((count, 3)), numbers)
        assert head.margin == next(
            k for k in range(1, count + 1) if round(k - (count + 1) * wanted, 9) >= 0
        )
    assert not recwarn
    with pytest.warns(UserWarning, match="too few .* fix: at least"):
        regress(quantiles=(0.01, 0.5, 0.99)).tune(np.zeros((20, 3)), np.arange(20.0))


def test_coverage_of_the_margin():
    rng, held = np.random.default_rng(0), []
    for _ in range(600):
        margin = regress().tune(np.zeros((50, 3)), rng.normal(size=50)).margin
        held.append(2 * stats.norm.cdf(margin) - 1)
    assert 0.89 < np.mean(held) < 0.925


def test_kappa_of_one_class_is_none():
    labels, stated = answered(np.ones(5, bool))
    assert classification.rank_metrics(labels, stated) == {
        "mean_rank_error": 0.0,
        "quadratic_kappa": None,
    }


UNTESTED = [
    "--backbone=small_cnn(filters=[4])",
    "--image_size_px=8",
    "--noexport",
    "--split=holdout(test=0)",
    "--baseline=",
    "--explain=none",
    "--calibrate=none",
]


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--train_epochs=2"], "The epoch was chosen on these rows"),
        (["--train_epochs=1"], ""),
        (["--train_epochs=2", "--keep=last"], ""),
        (["--method=linear_probe(solver=lbfgs)"], "The penalty was chosen on these rows"),
    ],
)
def test_a_run_without_a_test_split_says_what_chose_on_the_rows_it_reports(
    tmp_path, capsys, flags, said
):
    head = "--head=classify(pooling=flatten)"
    assert train.main(["--data=digits", head, *UNTESTED, *flags, f"--output={tmp_path}/run"]) == 0
    assert ("chosen on these rows" in capsys.readouterr().out) == bool(said)
    report = (tmp_path / "run/report.md").read_text()
    assert said in report and ("chosen on these rows" in report) == bool(said)


@pytest.mark.parametrize(
    "head, choice",
    [
        (multi_label(), "the thresholds"),
        (multi_label(thresholds=[0.5]), ""),
        (regress(), "the margin"),
        (regress(margin=0.0), ""),
        (regress(quantiles=[0.5]), ""),
    ],
)
def test_a_head_says_what_it_chooses(head, choice):
    assert head.choice == choice
    is_number = head.target == label_kinds.NUMBER
    labels = np.arange(40.0) if is_number else np.eye(2, dtype=np.uint8)[np.arange(40) % 2]
    num_outputs = len(head.quantiles) if is_number else 2
    stated = np.random.default_rng(0).random((40, num_outputs))
    assert (head.tune(stated, labels) != head) == bool(choice)
