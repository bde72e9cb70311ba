import csv
import json

import numpy as np
import pytest
import scipy.stats

from tltf import rounds, train, wording

FLAGS = [
    "--data=digits", "--backbone=small_cnn(filters=[4])", "--image_size_px=8",
    "--head=classify(pooling=flatten)", "--train_epochs=1", "--noexport",
    "--split=kfold(folds=3, fold=-1)",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "folds"
    assert train.main([*FLAGS, f"--output={folder}"]) == 0
    return folder


def test_every_example_is_judged_once(run):
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    assert len(rows) == len({row["id"] for row in rows}) == 1797
    report = json.loads((run / "report.json").read_text())
    hits = np.mean([row["label"] == row["predicted"] for row in rows])
    assert report["test"]["accuracy"] == pytest.approx(hits)
    assert report["test"]["num_examples"] == 1797
    assert len(report["folds"]) == 3


def test_folds_are_runs_of_their_own(run):
    for number in range(3):
        fold = json.loads((run / "rounds" / str(number) / "report.json").read_text())
        report = json.loads((run / "report.json").read_text())
        assert report["folds"][number]["accuracy"] == fold["test"]["accuracy"]
        assert f"fold={number}" in (run / "rounds" / str(number) / "run.flags").read_text()


def test_an_interrupted_cross_validation_reads_its_finished_folds(run, tmp_path, capsys):
    (run / "status.json").write_text('{"status": "training"}')
    assert train.main([*FLAGS, f"--output={run}"]) == 0
    assert "fold 1 of 3" not in capsys.readouterr().out


def test_gain_of_the_folds_is_a_t_interval():
    gains = [0.1, 0.2, 0.4]
    entries = [
        {"test": {"accuracy": 1, "loss": 1, "macro_f1": 1}, "gain": {"accuracy": {"difference": g}}}
        for g in gains
    ]
    low, high = rounds._mean_baseline(entries, wording.of({}))["gain"]["accuracy"]["interval"]
    expected = scipy.stats.ttest_1samp(gains, 0).confidence_interval()
    assert (low, high) == pytest.approx((expected.low, expected.high))
