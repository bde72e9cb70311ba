import contextlib
import csv
import json
import re
import shutil

import numpy as np
import pytest
import scipy.stats

from tltf import train
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import BaselineRow, Gain, PairedDifference
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments import kfold
from tltf.runs import layout, removal

FLAGS = [
    "--data=digits",
    "--backbone=small_cnn(filters=[4])",
    "--image_size_px=8",
    "--head=classify(pooling=flatten)",
    "--train_epochs=1",
    "--noexport",
    "--split=kfold(folds=3, fold=-1)",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "folds"
    assert train.main([*FLAGS, f"--output={folder}"]) == 0
    return folder


def test_every_example_is_judged_once(run):
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    assert len(rows) == len({row["id"] for row in rows}) == 1797
    report = json.loads((run / "report.json").read_text())
    hits = np.mean([row["true_label"] == row["predicted_label"] for row in rows])
    assert report["test"]["accuracy"] == pytest.approx(hits)
    assert report["test"]["num_examples"] == 1797
    assert len(report["folds"]) == 3


def test_folds_are_runs_of_their_own(run):
    for number in range(3):
        fold = json.loads((run / "rounds" / str(number) / "report.json").read_text())
        report = json.loads((run / "report.json").read_text())
        assert report["folds"][number]["accuracy"] == fold["test"]["accuracy"]
        assert f"fold={number}" in (run / "rounds" / str(number) / "run.flags").read_text()


@pytest.mark.parametrize("path", ["report.json", "rounds/1/report.json"])
def test_the_report_is_read_as_it_was_written(run, path):
    """Key for key and in their order, so the texts are compared."""
    text = (run / path).read_text(encoding="utf-8")
    read = Report.from_json(json.loads(text)).to_json()
    assert json.dumps(read, indent=2, ensure_ascii=False) + "\n" == text


def test_an_interrupted_cross_validation_reads_its_finished_folds(run, tmp_path, capsys):
    (run / "status.json").write_text('{"status": "training"}')
    assert train.main([*FLAGS, f"--output={run}"]) == 0
    assert "fold 1 of 3" not in capsys.readouterr().out


def test_finished_folds_are_of_the_data_of_now(run, tmp_path, capsys, monkeypatch):
    """Other data are refused, named by --resume they pass, and --overwrite trains anew."""
    cut = tmp_path / "cut"
    shutil.copytree(run, cut)
    (cut / "status.json").write_text('{"status": "training"}')
    monkeypatch.setattr(kfold.fingerprint, "fingerprints", lambda parts: {"train split": "1 rows"})
    assert train.main([*FLAGS, f"--output={cut}"]) == 4
    assert re.search(r"train split: 1,\d+ rows \(.* -> 1 rows", capsys.readouterr().err)
    with monkeypatch.context() as patch:
        patch.setattr(kfold, "_fold", lambda chosen, recipe, *given: trained.append(given))
        trained = []
        with contextlib.suppress(TypeError):
            train.main([*FLAGS, f"--output={cut}", "--resume=data"])
        assert [bool(finished) for *_, finished, _ in trained] == [True] * 3
        trained.clear()
        (cut / "status.json").write_text('{"status": "training"}')
        with contextlib.suppress(TypeError):
            train.main([*FLAGS, f"--output={cut}", "--overwrite"])
        assert [bool(finished) for *_, finished, _ in trained] == [False] * 3


def test_a_replaced_run_is_removed_to_its_last_file(run, tmp_path):
    """All that a cross-validation has written, whatever was added to it since."""
    shutil.copytree(run, tmp_path / "run")
    removal.remove(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").rglob("*")} <= set(layout.OF_A_RUN)


def test_other_workers_train_the_folds_that_the_first_one_names(run, monkeypatch, tmp_path):
    """They write nothing, and do not look at the folder, which the first may be changing."""
    task = {
        "cluster": {"chief": ["a:1"], "worker": ["b:1"]},
        "task": {"type": "worker", "index": 0},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    monkeypatch.setattr(kfold.strategies, "start", lambda options: None)
    monkeypatch.setattr(
        kfold.multi_worker, "broadcast_from_chief", lambda strategy, own: np.array([1, 0, 1])
    )
    seen = []
    monkeypatch.setattr(kfold.one_run, "run", lambda chosen, recipe, callbacks: seen.append(chosen))
    assert train.main([*FLAGS, f"--output={tmp_path}/new"]) == 0
    assert [chosen.output.output for chosen in seen] == [f"{tmp_path}/new/rounds/1"]
    assert not (tmp_path / "new").exists()


def test_gain_of_the_folds_is_a_corrected_t_interval():
    gains = [0.1, 0.2, 0.4]
    scores = SplitMetrics({"accuracy": 1.0, "loss": 1.0, "macro_f1": 1.0})
    rows = [BaselineRow(scores, gain=PairedDifference({"accuracy": Gain(gain)})) for gain in gains]
    mean = kfold._mean_baseline(rows, evaluators.wording_for(None))
    low, high = mean.gain.gains["accuracy"].interval
    plain = scipy.stats.ttest_1samp(gains, 0).confidence_interval()
    widened = (plain.high - plain.low) * (1 + 3 / 2) ** 0.5  # Nadeau & Bengio: test / train is 1/2
    assert (low + high) / 2 == pytest.approx((plain.low + plain.high) / 2)
    assert high - low == pytest.approx(widened)
