"""The head of several numbers: its loss against the equation, its metrics, and whole runs."""

import csv
import json

import keras
import numpy as np
import pandas
import pytest
from sklearn import metrics

import tltf
from tltf import evaluate, predict, train
from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.config.option_groups import ScanOptions
from tltf.data import loader
from tltf.errors import DataError, FlagError
from tltf.evaluation import evaluators
from tltf.models import core_builder

RNG = np.random.default_rng(0)
LEVELS = np.array([0.1, 0.5, 0.8])
CENTER, SCALE = np.array([40.0, -1.0]), np.array([5.0, 0.01])
LOGITS = RNG.normal(size=(30, 6)).astype("float32")
NUMBERS = (CENTER + SCALE * RNG.normal(size=(30, 2))).astype("float32")
TEXT = "multi_regress(quantiles=[.1, .5, .8], center=[40, -1], scale=[5, .01])"
NAMES = ("height", "width")


def head(text=TEXT):
    return call_strings.pick(HEADS, text).build()


def stated(of=LOGITS):
    return keras.ops.convert_to_numpy(head().scores(of))


def test_loss_is_the_mean_of_the_equation_over_the_numbers():
    gaps = ((NUMBERS - CENTER) / SCALE)[:, :, None] - LOGITS.reshape(30, 2, 3)
    each = np.where(gaps >= 0, LEVELS * gaps, (LEVELS - 1) * gaps).mean(axis=(1, 2))
    assert float(head().loss()(NUMBERS, LOGITS)) == pytest.approx(each.mean(), rel=1e-4)
    np.testing.assert_allclose(head().losses(LOGITS, NUMBERS), each, rtol=1e-3)
    with pytest.raises(FlagError, match="pinball"):
        head().loss("focal")


def test_quantiles_are_rising_and_each_in_its_unit():
    expected = np.sort(LOGITS.reshape(30, 2, 3), axis=2) * SCALE[:, None] + CENTER[:, None]
    np.testing.assert_allclose(stated().reshape(30, 2, 3), expected, rtol=1e-5)
    errors = np.abs((expected[:, :, 1] - NUMBERS) / SCALE)
    assert head().metric_value(LOGITS, NUMBERS) == pytest.approx(errors.mean(), rel=1e-4)
    (metric,) = head().metrics()
    metric.update_state(NUMBERS, LOGITS)
    assert float(metric.result()) == pytest.approx(errors.mean(), rel=1e-3)
    assert head().columns(NAMES)[2:4] == ["height_quantile_0.8", "width_quantile_0.1"]


def test_each_number_gets_its_own_margin():
    """The first number's quantiles are right, the second's much too narrow."""
    numbers = np.random.default_rng(1).normal(size=(4000, 2)).astype("float32")
    plain = head("multi_regress(center=[0, 0], scale=[1, 1])")
    logits = np.tile(np.array([[-1.645, 0, 1.645, -0.2, 0, 0.2]], "float32"), (4000, 1))
    tuned = plain.tune(keras.ops.convert_to_numpy(plain.scores(logits)), numbers)
    np.testing.assert_allclose(tuned.margin, [0, 1.445], atol=0.06)
    found = keras.ops.convert_to_numpy(tuned.scores(logits)).reshape(-1, 2, 3)
    is_inside = (found[:, :, 0] <= numbers) & (numbers <= found[:, :, 2])
    np.testing.assert_allclose(is_inside.mean(axis=0), 0.9, atol=0.001)


def test_metrics_are_those_of_scikit_learn():
    judge = evaluators.evaluator_for(head())
    found = judge.measure(NUMBERS, judge.candidate(head(), stated()), NAMES)
    medians = stated().reshape(30, 2, 3)[:, :, 1]
    errors = [
        metrics.mean_absolute_error(NUMBERS[:, place], medians[:, place]) for place in range(2)
    ]
    assert found.scores["scaled_absolute_error"] == pytest.approx(np.mean(errors / SCALE))
    r2 = metrics.r2_score(NUMBERS, medians, multioutput="raw_values")
    assert found.scores["r2"] == pytest.approx(r2.mean())
    losses = [
        metrics.mean_pinball_loss(NUMBERS[:, place], stated()[:, 3 * place + q], alpha=level)
        / SCALE[place]
        for place in range(2)
        for q, level in enumerate(LEVELS)
    ]
    assert found.scores["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    for place, name in enumerate(NAMES):
        alone = found.details["numbers"][name]
        assert alone["mean_absolute_error"] == pytest.approx(errors[place])
        assert alone["r2"] == pytest.approx(r2[place])


def test_a_baseline_is_that_of_each_number():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(90, 4))
    labels = features @ rng.normal(size=(4, 2)) * SCALE + CENTER
    parts = [(features[rows], labels[rows]) for rows in np.split(np.arange(90), 3)]
    judge = evaluators.evaluator_for(head())
    row, candidate = judge.linear(*parts, NAMES)
    for place, name in enumerate(NAMES):
        single = evaluators.evaluator_for(head().of_number(place))
        own, quantiles = single.linear(*((x, y[:, place]) for x, y in parts))
        np.testing.assert_array_equal(candidate[:, 3 * place : 3 * place + 3], quantiles)
        assert row.chosen[name] == own.chosen


@pytest.mark.parametrize(
    "text",
    [
        "multi_regress(quantiles=[.1, .9])",
        "multi_regress(scale=[1, 0])",
        "multi_regress(center=[1, 2], scale=[1])",
    ],
)
def test_faulty_arguments_are_refused(text):
    with pytest.raises(FlagError):
        head(text)


def rows(count=120):
    """Texts whose words say two numbers of very different size."""
    drawn = np.random.default_rng(0).integers(0, 4, (count, 2))
    for place, (first, second) in enumerate(drawn.tolist()):
        yield f"big {'tall ' * first}wide {'far ' * second}{place}", 1.5 + first / 10, 200 * second


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with all.csv and a run of --head=regress that was trained on it and exported."""
    folder = tmp_path_factory.mktemp("sizes")
    with open(folder / "all.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", *NAMES), *rows(), ("odd", "tall", 1)])
    flags = ["--head=regress", "--backbone=small_lstm", "--method=scratch", "--train_epochs=2"]
    data = f"--data=csv(path={folder}/all.csv, text=text, label=height|width)"
    split = "--split=holdout(test=.25, validation=.25)"
    assert train.main([data, split, *flags, "--export", f"--output={folder}/run"]) == 0
    return folder


def report(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_the_report_has_every_number(place):
    found = report(place / "run")
    assert found["options"]["head"].startswith("multi_regress(")
    assert list(found["test"]["numbers"]) == list(NAMES)
    assert found["data"]["skipped"] == 1
    assert found["baselines"]["training_quantiles"]["test"]["num_examples"] == 30
    page = (place / "run/report.html").read_text(encoding="utf-8")
    assert "Each number" in page and page.count("Answers and true numbers</text>") == 2


def test_predictions_are_those_of_the_run(place):
    judged = pandas.read_csv(
        place / "run/predictions.csv", dtype={"true_values": str, "predicted_values": str}
    )
    model = tltf.load(place / "run")
    for made, (_, row) in zip(model.predict(list(judged["text"])), judged.iterrows(), strict=True):
        assert list(made.values) == list(NAMES) and made.answer.count("|") == 1
        expected = row[["height_quantile_0.5", "width_quantile_0.5"]].astype(float)
        np.testing.assert_allclose(list(made.values.values()), expected, rtol=1e-4)
        np.testing.assert_allclose(made.quantiles["width"]["0.95"], row["width_quantile_0.95"])
    output = place / "made.jsonl"
    argv = [f"--run={place}/run", f"--input={place}/all.csv", f"--output={output}"]
    assert predict.main([*argv, "--format=jsonl"]) == 0
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(lines) == 121 and set(lines[0]["predicted_values"]) == set(NAMES)


def test_numbers_are_found_by_their_names(place, tmp_path, capsys):
    """Their order in --data does not matter; one that lacks or is unknown is refused."""
    scores = []
    for label in ("height|width", "width|height"):
        data = f"--data=csv(path={place}/all.csv, text=text, label={label})"
        output = tmp_path / label.replace("|", "_")
        assert evaluate.main([f"--run={place}/run", f"--output={output}", data]) == 0
        scores.append(report(output)["test"]["scaled_absolute_error"])
    assert scores[0] == scores[1]
    for label, error in (("width", "1 of the 2 numbers"), ("width|text", "text")):
        data = f"--data=csv(path={place}/all.csv, text=text, label={label})"
        assert evaluate.main([f"--run={place}/run", f"--output={tmp_path}/none", data]) == 3
        assert error in capsys.readouterr().err


def test_folds_are_judged_together(place, tmp_path):
    data = f"--data=csv(path={place}/all.csv, text=text, label=height|width)"
    flags = ["--head=regress", "--backbone=small_lstm", "--method=scratch", "--train_epochs=1"]
    folds = ["--split=kfold(folds=2, fold=-1)", "--export=false", f"--output={tmp_path}/folds"]
    assert train.main([data, *flags, *folds, "--explain=none"]) == 0
    found, table = report(tmp_path / "folds"), pandas.read_csv(tmp_path / "folds/predictions.csv")
    truths = np.array([text.split("|") for text in table["true_values"]], float)
    first = report(tmp_path / "folds/rounds/1")["options"]["head"]
    scale = call_strings.pick(HEADS, first).build().scale
    errors = [
        np.abs(table[f"{name}_quantile_0.5"] - truths[:, column]).mean() / scale[column]
        for column, name in enumerate(NAMES)
    ]
    assert found["test"]["num_examples"] == 120
    assert found["test"]["scaled_absolute_error"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_numbers_of_json_lines_and_their_faults(tmp_path):
    lines = [{"text": text, "size": {"height": a, "width": b}} for text, a, b in rows(8)]
    lines[3]["size"]["width"] = "wide"
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    call = f"jsonl(path={path}, text=text, label=size.height|size.width)"
    source = loader.load(call, target="number", scan=ScanOptions(max_bad_fraction=1))
    assert source.class_names == ("size.height", "size.width") and len(source) == 7
    assert source.scan.skipped_rows[0]["reason"] == "size.width is 'wide', not a finite number"
    expected = [[a, b] for n, (_, a, b) in enumerate(rows(8)) if n != 3]
    np.testing.assert_array_equal(source.labels, expected)
    assert not source.strata().any()
    call = call_strings.pick(HEADS, "regress(quantiles=[.5])")
    fitted = core_builder.fit_head(call, source).build()
    np.testing.assert_allclose(fitted.center, source.labels.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(fitted.scale, source.labels.std(axis=0), rtol=1e-5)
    with pytest.raises(FlagError, match="center"):
        core_builder.fit_head(call_strings.pick(HEADS, "regress(center=2.0)"), source)
    with pytest.raises(FlagError, match="3 values for 2 numbers"):
        core_builder.fit_head(call_strings.pick(HEADS, "multi_regress(scale=[1, 2, 3])"), source)


def test_a_number_that_never_changes_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("text,a,b\none,1,2\ntwo,2,2\nthree,3,2\n")
    with pytest.raises(DataError, match="b has only one number"):
        loader.load(f"csv(path={tmp_path}/t.csv, text=text, label=a|b)", target="number")


def test_numbers_stand_in_columns_of_their_own(tmp_path):
    (tmp_path / "t.csv").write_text("text,a\none,1|2\ntwo,2\nthree,3\n")
    with pytest.raises(DataError, match=r"some rows have 1 and others 2 numbers.*label=height"):
        loader.load(f"csv(path={tmp_path}/t.csv, text=text, label=a)", target="numbers")
    (tmp_path / "t.csv").write_text("text,a\none,1|2\ntwo,2|4\nthree,3|5\n")
    with pytest.raises(DataError, match="2 numbers per row stand in 1 column"):
        loader.load(f"csv(path={tmp_path}/t.csv, text=text, label=a)", target="numbers")
    (tmp_path / "t.csv").write_text("text,a\none,1\ntwo,2\nthree,3\n")
    source = loader.load(f"csv(path={tmp_path}/t.csv, text=text, label=a|a)", target="number")
    assert source.labels.tolist() == [1, 2, 3]
