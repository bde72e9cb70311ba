"""What a run chooses for its head when it is trained: temperature and threshold, in all that it leaves."""

import csv
import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tltf
from tltf import evaluate, predict
from tltf.data import run_data
from tltf.errors import FlagError
from tltf.evaluation.abstention import Abstention
from tltf.evaluation.calibration import Calibration
from tltf.heads import temperature
from tltf.runs import layout

FLAGS = {
    "data": "digits(num_train=500, num_test=200)",
    "backbone": "small_cnn(filters=[8])",
    "head": "classify(pooling=flatten)",
    "image_size_px": 8,
    "train_epochs": 2,
    "learning_rate": 0.01,
    "near_duplicates": False,
    "baseline": "none",
    "explain": "none",
    "quiet": True,
    "export": False,
}


def run(folder, **more):
    return tltf.run(tltf.make_options(**FLAGS | more, output=str(folder)))


@pytest.fixture(scope="module")
def sure(tmp_path_factory):
    """`(folder, report)` of a run that calibrates, abstains and exports."""
    folder = tmp_path_factory.mktemp("sure") / "run"
    report = run(folder, calibrate="temperature", abstain="coverage(.7)", export=True)
    return folder, report


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """`(folder, report)` of the same run, which does neither."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    return folder, run(folder, calibrate="none")


def pictures(run_folder, folder):
    """The paths of encoded test images."""
    part = run_data.load_parts(str(run_folder))["test"].take(np.arange(40))
    images = part.column.values
    paths = [folder / f"{place}.png" for place in range(40)]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(tf.io.encode_png(np.asarray(image, np.uint8)).numpy())
    return [str(path) for path in paths]


def test_training_and_answers_are_those_of_a_run_without(sure, plain):
    folders = [pathlib.Path(folder) for folder, _ in (sure, plain)]
    lines = [(folder / layout.METRICS).read_text().splitlines() for folder in folders]
    epochs = [[json.loads(line)["val_loss"] for line in part] for part in lines]
    assert epochs[0] == epochs[1], "the validation loss that chooses epochs is not calibrated"
    models = [tltf.load(folder) for folder in folders]
    hot, cold = (model.core for model in models)
    for one, other in zip(hot.model.weights, cold.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert cold.head.temperature is None and not cold.head.abstains
    assert hot.head.temperature and hot.head.sure_from
    assert sure[1].test.score("accuracy") == plain[1].test.score("accuracy")
    assert sure[1].validation.score("loss") < plain[1].validation.score("loss")


def test_the_temperature_is_the_best_on_validation_and_named_in_the_report(sure, plain):
    folder, report = sure
    model = tltf.load(folder)
    part = run_data.load_parts(str(folder))["validation"]
    logits, labels = model.logits(part), np.asarray(part.labels)
    assert model.core.head.temperature == pytest.approx(
        temperature.fit(logits, labels, temperature.class_losses), rel=1e-4
    )
    shown = Calibration.from_details(report.test.details)
    assert shown.temperatures == [model.core.head.temperature]
    expected = plain[1].test.score("calibration_error")
    assert shown.calibration_error == pytest.approx(expected, abs=1e-7)
    assert shown.loss == pytest.approx(plain[1].test.score("loss"), rel=1e-6)
    for name in ("loss", "calibration_error"):
        gain = report.test.score(name) - plain[1].test.score(name)
        assert shown.gains[name].difference == pytest.approx(gain, abs=1e-6)
    assert report.chosen_on_validation[-2:] == ["the temperature", "the threshold of being sure"]
    page = (folder / layout.REPORT_HTML).read_text("utf-8")
    assert "Before calibration" in page and "After calibration" in page
    assert "Probabilities before and after calibration" in (
        folder / layout.REPORT_MARKDOWN
    ).read_text("utf-8")


def test_validation_is_answered_as_often_as_the_rule_says(sure, plain):
    _, report = sure
    found = Abstention.from_details(report.validation.details)
    assert found.coverage == pytest.approx(0.7, abs=1 / found.num_examples)
    tested = Abstention.from_details(report.test.details)
    assert tested.rule == "coverage(.7)" and tested.num_examples == 200
    assert tested.num_right_of_all == round(report.test.score("accuracy") * 200)
    assert tested.accuracy > report.test.score("accuracy")
    assert Abstention.from_details(plain[1].test.details) is None
    text = (sure[0] / layout.REPORT_MARKDOWN).read_text("utf-8")
    assert "What comes of answering only where the model is sure" in text
    assert f"The model is sure of {100 * tested.coverage:.1f}%" in text


def test_predictions_and_the_export_say_where_they_are_not_sure(sure, tmp_path, capsys):
    folder, _ = sure
    paths, model = pictures(folder, tmp_path), tltf.load(folder)
    found = model.predict(paths)
    assert {row.is_sure for row in found} == {True, False}
    for row in found:
        most = max(row.probabilities, key=row.probabilities.get)
        assert row.label == (most if row.is_sure else "")
        edge = np.float32(model.core.head.sure_from)
        assert row.is_sure == (np.float32(max(row.probabilities.values())) >= edge)
    flags = [f"--run={folder}", f"--input={','.join(paths)}"]
    assert predict.main(flags) == 0
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert list(rows[0])[:5] == ["id", "path", "predicted_label", "is_sure", "confidence"]
    assert [row["is_sure"] for row in rows] == [str(row.is_sure).lower() for row in found]
    assert [row["predicted_label"] for row in rows] == [row.label for row in found]
    assert f"not sure {sum(not row.is_sure for row in found)}" in captured.err
    assert predict.main([*flags, "--top_k=2", "--format=jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["is_sure"] for line in lines] == [row.is_sure for row in found]
    assert [line["predicted_label"] or "" for line in lines] == [row.label for row in found]
    assert predict.main([*flags, "--top_k=2"]) == 0
    header = capsys.readouterr().out.splitlines()[0]
    assert "confidence,label_1,confidence_1,label_2,confidence_2,error" in header
    (version,) = (folder / layout.EXPORT).iterdir()
    served = tf.saved_model.load(str(version)).signatures["serving_default"](
        image_bytes=tf.constant([pathlib.Path(path).read_bytes() for path in paths])
    )
    assert served["is_sure"].numpy().tolist() == [row.is_sure for row in found]
    assert [label.decode() for label in served["label"].numpy()] == [row.label for row in found]


def test_evaluate_judges_the_same_probabilities(sure, tmp_path, capsys):
    folder, report = sure
    assert evaluate.main([f"--run={folder}", f"--output={tmp_path}/again"]) == 0
    assert "The model is sure of" in capsys.readouterr().out
    found = json.loads((tmp_path / "again/report.json").read_text("utf-8"))["test"]
    assert found["loss"] == pytest.approx(report.test.score("loss"), rel=1e-5)
    assert (
        found["abstention"]["num_answered"] == (report.test.details["abstention"]["num_answered"])
    )
    assert (
        found["calibration"]["temperatures"] == report.test.details["calibration"]["temperatures"]
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"abstain": "coverage(.9)", "head": "multi_label"}, "unsure of one class per row"),
        (
            {"calibrate": "temperature", "head": "regress"},
            "no probabilities that a temperature can",
        ),
        ({"abstain": "accuracy(.99)"}, "takes 597 validation rows or more, and there are 1"),
        ({"abstain": "conformal(.001)"}, "takes 999 validation rows or more"),
    ],
)
def test_what_cannot_be_chosen_is_refused_before_training(tmp_path, flags, said):
    with pytest.raises(FlagError, match=said):
        run(tmp_path / "run", **flags, dry_run=True)


@pytest.mark.parametrize("flags", [{"abstain": "coverage(.9)"}, {"calibrate": "temperature"}])
def test_data_without_a_validation_split_is_refused(tmp_path, flags):
    rows = [f"a {('good', 'bad')[n % 2]} day {n},{('yes', 'no')[n % 2]}" for n in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    data = f"csv(path={tmp_path}/rows.csv, text=text, label=label)"
    given = {"data": data, "backbone": "small_lstm", "split": "holdout(validation=0)"}
    options = tltf.make_options(**given, **flags, near_duplicates=False, dry_run=True)
    with pytest.raises(FlagError, match="takes a validation split, on which it chooses"):
        tltf.run(options)
