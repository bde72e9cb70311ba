"""The commands from flags to files, on real digits with a small network trained here."""

import csv
import json
import pathlib
import shutil

import numpy as np
import pytest

import tltf
from tltf import evaluate, export, predict, train
from tltf.config.options import Options, make
from tltf.runs import folder as runs_folder

FLAGS = [
    "--data=digits",
    "--backbone=small_cnn(filters=[8])",
    "--backbone_weights=none",
    "--image_size_px=8",
    "--train_epochs=3",
    "--head=classify(pooling=flatten)",
    "--learning_rate=.01",
    "--method=full",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert train.main([*FLAGS, f"--output={folder}", "--baseline=logistic|scratch"]) == 0
    return folder


def report(folder):
    return json.loads((folder / "report.json").read_text())


def test_report_has_what_scripts_rely_on(run):
    found = report(run)
    assert found["test"]["accuracy"] > 0.8 > found["baselines"]["majority"]["test"]["accuracy"]
    for split in ("test", "validation"):
        assert {"accuracy", "loss", "macro_f1", "num_examples"} <= set(found[split])
    assert found["time_s"]["total"] > found["time_s"]["train"] > 0
    assert 0 < found["parameters"]["trainable"] <= found["parameters"]["total"]
    assert found["versions"]["tensorflow"]
    assert set(found["baselines"]) == {"majority", "logistic_regression", "scratch"}
    low, high = found["baselines"]["scratch"]["gain"]["accuracy"]["interval"]
    assert low <= found["baselines"]["scratch"]["gain"]["accuracy"]["difference"] <= high


def test_predictions_recompute_the_accuracy(run):
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    found = report(run)["test"]
    assert len(rows) == found["num_examples"]
    assert np.mean([row["true_label"] == row["predicted_label"] for row in rows]) == pytest.approx(
        found["accuracy"]
    )
    shares = [float(value) for name, value in rows[0].items() if name.startswith("probability_")]
    assert len(shares) == 10 and sum(shares) == pytest.approx(1, abs=1e-5)


def test_run_folder_is_complete(run):
    names = {path.name for path in run.iterdir()}
    assert {
        "report.json",
        "report.md",
        "report.html",
        "predictions.csv",
        "metrics.jsonl",
        "run.flags",
        "export",
        "model",
        "checkpoints",
    } <= names
    assert (run / "export/1/saved_model.pb").exists()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3


def test_run_flags_reproduce_the_run(run, tmp_path):
    again = tmp_path / "again"
    arguments = [f"--flagfile={run}/run.flags", f"--output={again}", "--baseline=", "--noexport"]
    arguments += ["--explain=none"]
    assert train.main(arguments) == 0
    assert report(again)["test"] == report(run)["test"]
    assert (again / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


def test_evaluate_gives_the_test_split_the_same_score(run, tmp_path):
    assert evaluate.main([f"--run={run}", f"--output={tmp_path}"]) == 0
    for name in ("accuracy", "loss", "macro_f1"):
        assert report(tmp_path)["test"][name] == pytest.approx(report(run)["test"][name], abs=1e-6)


def test_loaded_model_predicts_arrays_as_the_report_does(run):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype("uint8")[..., None]
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    picked = [int(row["id"].rpartition(":")[2]) for row in rows]
    assert [row["true_label"] for row in rows] == [str(label) for label in bunch.target[picked]]
    found = tltf.load(run).predict(list(images[picked]))
    assert [prediction.label for prediction in found] == [row["predicted_label"] for row in rows]
    stated = [[float(row[f"probability_{digit}"]) for digit in range(10)] for row in rows]
    given = [[prediction.probabilities[str(digit)] for digit in range(10)] for prediction in found]
    np.testing.assert_allclose(given, stated, atol=1e-5)


@pytest.mark.large
def test_export_makes_the_next_version(run):
    before = {path.name for path in (run / "export").iterdir()}
    assert export.main([f"--run={run}"]) == 0
    assert {path.name for path in (run / "export").iterdir()} == before | {str(len(before) + 1)}


def test_finished_run_is_refused_and_overwritten_only_when_told(run, capsys):
    assert train.main([*FLAGS, f"--output={run}"]) == 2
    assert "finished run" in capsys.readouterr().err


def test_unfinished_run_with_other_flags_is_refused_with_the_difference(run, tmp_path, capsys):
    folder = tmp_path / "unfinished"
    folder.mkdir()
    (folder / "run.flags").write_bytes((run / "run.flags").read_bytes())
    shutil.copytree(run / "model", folder / "model")
    runs_folder.write_status(folder, "training")
    flags = [*FLAGS, f"--output={folder}", "--train_epochs=4"]
    assert train.main(flags) == 4
    assert "train_epochs: 3 -> 4" in capsys.readouterr().err


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path, capsys):
    folder = tmp_path / "dry"
    assert train.main([*FLAGS, f"--output={folder}", "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "trained" in out and "head" in out and not folder.exists()


def test_predict_command_reads_standard_names(run, tmp_path):
    from PIL import Image

    Image.fromarray(np.full((8, 8), 128, "uint8")).save(tmp_path / "a.png")
    out = tmp_path / "out.csv"
    assert predict.main([f"--run={run}", f"--input={tmp_path}/a.png", f"--output={out}"]) == 0
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 1 and rows[0]["predicted_label"]


@pytest.mark.parametrize(
    "flags,message",
    [
        (["--backbone=efficientnet_lite"], r"fix: --backbone=efficientnet_lite0"),
        (["--method=partal(last_groups=2)"], r"fix: --method=partial\(last_groups=2\)"),
        (["--data=mnist5k"], r"fix: --data=mnist_5k"),
        (["--split=holdout(tset=.1)"], r"no argument 'tset'"),
        (["--head=classify(hidden=x, width=3)"], r"no argument 'width'"),
        (["--clipnorm=1", "--global_clipnorm=1"], r"exclude each other"),
        (["--augment=flop"], r"fix: --augment=flip"),
    ],
)
def test_unknown_names_suggest_the_nearest(flags, message, capsys, tmp_path):
    import re

    assert train.main([*FLAGS, f"--output={tmp_path}/run", *flags]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and re.search(message, errors[0]), errors


def test_python_gives_the_same_options_as_the_command_line(run):
    chosen = runs_folder.read_options(run)
    assert isinstance(chosen, Options)
    assert make(train_epochs=3).train.train_epochs == chosen.train.train_epochs == 3
    assert pathlib.Path(chosen.output.output) == run
