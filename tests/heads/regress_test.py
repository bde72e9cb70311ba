"""The head of a number: its loss against the equation, its metrics, and whole runs."""

import csv
import json

import keras
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.errors import DataError, FlagError
from tltf.evaluation import evaluators

RNG = np.random.default_rng(0)
LEVELS = np.array([0.1, 0.5, 0.8])
LOGITS = RNG.normal(size=(30, 3)).astype("float32")
NUMBERS = RNG.normal(50, 20, 30).astype("float32")
TEXT = "regress(quantiles=[.1, .5, .8], center=40.0, scale=5.0)"


def head(text=TEXT):
    return call_strings.pick(HEADS, text).build()


def test_loss_is_the_equation():
    gaps = ((NUMBERS - 40) / 5)[:, None] - LOGITS
    each = np.where(gaps >= 0, LEVELS * gaps, (LEVELS - 1) * gaps).mean(axis=1)
    assert float(head().loss()(NUMBERS, LOGITS)) == pytest.approx(each.mean(), rel=1e-5)
    np.testing.assert_allclose(head().losses(LOGITS, NUMBERS), each, rtol=1e-4)


def test_its_minimum_are_the_quantiles():
    logits = keras.Variable(np.zeros((1, 3), "float32"))
    sample = np.random.default_rng(1).gumbel(size=4001).astype("float32")
    aims, loss = 40 + 5 * sample, head().loss()
    rows = keras.ops.ones((len(sample), 1))
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(0.05)
    for _ in range(300):
        with tf.GradientTape() as tape:
            value = loss(aims, rows @ logits)
        optimizer.apply_gradients([(tape.gradient(value, logits.value), logits)])
    np.testing.assert_allclose(logits.numpy()[0], np.quantile(sample, LEVELS), atol=0.06)


def test_quantiles_are_rising_and_in_the_numbers_unit():
    stated = keras.ops.convert_to_numpy(head().scores(LOGITS))
    np.testing.assert_allclose(stated, np.sort(LOGITS, axis=1) * 5 + 40, rtol=1e-5)
    assert head().metric_value(LOGITS, NUMBERS) == pytest.approx(
        np.abs(stated[:, 1] - NUMBERS).mean()
    )
    (metric,) = head().metrics()
    metric.update_state(NUMBERS, LOGITS)
    assert float(metric.result()) == pytest.approx(np.abs(stated[:, 1] - NUMBERS).mean(), rel=1e-5)
    assert head().answers(stated, ())[0] == format(stated[0, 1].item(), ".9g")
    assert list(head().read(stated[0], ())["quantiles"]) == ["0.1", "0.5", "0.8"]


def test_the_margin_gives_new_examples_the_wanted_coverage():
    """Quantiles that are much too narrow: 90% wanted, 38% reached."""
    narrow = head("regress(center=0.0, scale=2.0)")
    rng, reached = np.random.default_rng(0), []
    for _ in range(200):
        numbers = rng.normal(size=400).astype("float32")
        logits = np.tile(np.array([[-0.25, 0.0, 0.25]], "float32"), (400, 1))
        tuned = narrow.tune(keras.ops.convert_to_numpy(narrow.scores(logits[:200])), numbers[:200])
        stated = keras.ops.convert_to_numpy(tuned.scores(logits[200:]))
        reached.append(((stated[:, 0] <= numbers[200:]) & (stated[:, 2] >= numbers[200:])).mean())
    assert np.mean(reached) == pytest.approx(0.9, abs=0.01)
    assert tuned.tune(stated, numbers[200:]) is tuned
    wide = narrow.tune(np.tile([[-100.0, 0.0, 100.0]], (200, 1)), numbers[:200])
    assert wide.margin < 0
    stated = keras.ops.convert_to_numpy(wide.scores(logits))
    assert (np.diff(stated, axis=1) >= 0).all(), "in order all the same"


@pytest.mark.parametrize(
    "text",
    [
        "regress(quantiles=[.1, .9])",
        "regress(quantiles=[.5, .1])",
        "regress(quantiles=[0, .5])",
        "regress(scale=0.0)",
    ],
)
def test_what_is_no_quantile_is_refused(text):
    with pytest.raises(FlagError):
        head(text)
    with pytest.raises(FlagError, match="pinball"):
        head().loss("focal")


def test_metrics_are_those_of_scikit_learn():
    quantiles = np.sort(RNG.normal(50, 20, (30, 3)), axis=1)
    found = evaluators.evaluator_for(head()).measure(NUMBERS, quantiles)
    median = quantiles[:, 1]
    expected = {
        "mean_absolute_error": metrics.mean_absolute_error(NUMBERS, median),
        "root_mean_squared_error": metrics.root_mean_squared_error(NUMBERS, median),
        "r2": metrics.r2_score(NUMBERS, median),
        "spearman": stats.spearmanr(NUMBERS, median).statistic,
        "loss": np.mean(
            [
                metrics.mean_pinball_loss(NUMBERS, quantiles[:, i], alpha=level)
                for i, level in enumerate(LEVELS)
            ]
        ),
        "coverage": ((quantiles[:, 0] <= NUMBERS) & (quantiles[:, 2] >= NUMBERS)).mean(),
        "wanted_coverage": 0.7,
    }
    for name, value in expected.items():
        assert found.scores[name] == pytest.approx(value, rel=1e-5), name
    low, high = found.intervals["r2"]
    assert low < found.scores["r2"] < high


def test_intervals_and_differences_are_the_bootstraps():
    first, second = (np.sort(RNG.normal(50, 20, (30, 3)), axis=1) for _ in range(2))
    judge, drawn = evaluators.evaluator_for(head()), []
    found = judge.difference(NUMBERS, first, second, seed=3).gains["mean_absolute_error"]
    rng = np.random.default_rng(0)
    errors = np.abs(first[:, 1] - NUMBERS) - np.abs(second[:, 1] - NUMBERS)
    drawn = [errors[rng.integers(0, 30, 30)].mean() for _ in range(4000)]
    assert found.difference == pytest.approx(errors.mean())
    np.testing.assert_allclose(found.interval, np.percentile(drawn, [2.5, 97.5]), atol=1.5)


def test_constant_numbers_have_no_r2():
    found = evaluators.evaluator_for(head()).measure(
        np.full(5, 3.0), np.tile([1.0, 2.0, 3.0], (5, 1))
    )
    assert found.scores["r2"] is None and found.scores["spearman"] is None
    assert found.scores["coverage"] == 1


def test_ridge_and_its_quantiles():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=6)

    def part(count):
        features = rng.normal(size=(count, 6)) * 3 + 1
        return features, features @ weights + rng.normal(size=count)

    row, _ = evaluators.evaluator_for(head()).linear(part(400), part(200), part(3000))
    test = row.test
    assert test.scores["mean_absolute_error"] == pytest.approx(np.sqrt(2 / np.pi), abs=0.08)
    for level in test.levels:
        assert level.share_below == pytest.approx(level.level, abs=0.06)
    alone, _ = evaluators.evaluator_for(head()).linear(part(400), None, part(300))
    assert alone.test.scores["r2"] > 0.8, "a fifth of training is held back"


@pytest.fixture(name="counted", scope="module")
def _counted(tmp_path_factory):
    """Texts whose number is how often a word stands in them, and noise."""
    rng, rows = np.random.default_rng(0), []
    for number in range(300):
        count = int(rng.integers(0, 8))
        words = ["good"] * count + ["plain"] * (8 - count) + [f"number{number}"]
        rows.append((" ".join(words), 100 + 10 * count + rng.normal()))
    folder = tmp_path_factory.mktemp("counted")
    with open(folder / "rows.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "stars"), *rows])
    return folder


def flags(folder, run, *more):
    return [
        f"--data=csv(path={folder}/rows.csv, text=text, label=stars)",
        f"--output={folder}/{run}",
        "--backbone=small_lstm",
        "--head=regress",
        "--train_epochs=15",
        "--learning_rate=.01",
        "--method=full",
        *more,
    ]


@pytest.mark.large
def test_a_run_from_texts_to_an_export_that_is_verified(counted, capsys):
    from tltf import evaluate, predict, train

    assert train.main(flags(counted, "run", "--baseline=logistic")) == 0
    said = capsys.readouterr().out
    assert "mean absolute error" in said and "ridge regression" in said
    report = json.loads((counted / "run/report.json").read_text())
    test = report["test"]
    assert test["r2"] > 0.7 and 0.5 < test["coverage"] <= 1
    constant = report["baselines"]["training_quantiles"]
    assert constant["test"]["r2"] < 0.1
    assert constant["gain"]["mean_absolute_error"]["interval"][1] < 0, "fewer errors"
    with open(counted / "run/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    true, given, low = (
        np.array([float(row[key]) for row in rows])
        for key in ("true_value", "predicted_value", "quantile_0.05")
    )
    assert np.abs(true - given).mean() == pytest.approx(test["mean_absolute_error"], rel=1e-5)
    assert (low <= given).all()
    (counted / "new.csv").write_text("text\ngood good plain plain plain plain plain plain\n")
    assert predict.main([f"--run={counted}/run", f"--input={counted}/new.csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert 100 < float(row["predicted_value"]) < 150 and row["error"] == ""
    data = f"--data=csv(path={counted}/rows.csv, text=text, label=stars)"
    assert evaluate.main([f"--run={counted}/run", data, f"--output={counted}/again"]) == 0
    again = json.loads((counted / "again/report.json").read_text())
    assert again["test"]["r2"] > 0.7 and "training_quantiles" in again["baselines"]
    page = (counted / "run/report.html").read_text()
    assert "Answers compared with the true numbers" in page and "Worst mistakes" in page


@pytest.mark.large
def test_classes_that_are_numbers_can_be_predicted_as_numbers():
    from tltf.data import loader

    source = loader.load("digits(num_train=20, num_test=20)", target="number")
    assert source.labels.dtype == np.float64 and source.class_names == ()
    rated = loader.load("vader(domain=tweets)", target="number")
    assert np.abs(rated.labels).min() <= 0.5 and rated.labels.min() < -2
    with pytest.raises(DataError, match=r"is not a finite number|70000 of 70000"):
        loader.load("fashion_mnist(num_train=20, num_test=20)", target="number")
    with pytest.raises(FlagError, match=r"one class per row .*fix: --head=classify"):
        loader.load("emoji", target="number")
