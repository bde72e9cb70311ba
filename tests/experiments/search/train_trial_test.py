"""The training of a trial: it leaves its score, does not look at the test split, and `tltf.train` goes on with it."""

import json
import pathlib

import numpy as np
import pytest

from tltf.config import checks
from tltf.config.options import make, replace
from tltf.errors import DataError
from tltf.experiments import one_run, rounds
from tltf.experiments.search import best, study, train_trial
from tltf.experiments.search.trial import COMPLETE, Score, TrialRow
from tltf.runs import folder as runs_folder
from tltf.training import judges

FLAGS = {
    "backbone": "small_cnn(filters=[4])",
    "image_size_px": 8,
    "method": "full",
    "train_epochs": 2,
    "learning_rate": 0.05,
    "batch_size": 16,
    "baseline": "none",
    "explain": "none",
    "export": False,
    "quiet": True,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures of three classes that differ in brightness."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    labels = np.arange(90) % 3
    noise = random.uniform(0, 120, (90, 8, 8, 1))
    pictures = (noise + 60 * labels[:, None, None, None]).astype(np.uint8)
    np.savez(folder / "data.npz", x=pictures, y=labels)
    return f"numpy(path={folder}/data.npz)"


def train(chosen):
    train_trial.train(chosen, checks.resolve(chosen))


@pytest.fixture(scope="module")
def trial(data, tmp_path_factory):
    """The options of a trial that was trained."""
    folder = tmp_path_factory.mktemp("trial") / "000"
    chosen = make(data=data, output=str(folder), **FLAGS)
    train(chosen)
    return chosen


def test_the_score_is_what_the_report_says_of_validation(trial):
    run = pathlib.Path(trial.output.output)
    score = study.read_score(run)
    assert runs_folder.read_status(run) == "trained"
    assert not (run / "report.json").exists() and not (run / "predictions.csv").exists()
    before = (run / "metrics.jsonl").read_text()
    report = one_run.run(trial)
    assert (run / "metrics.jsonl").read_text() == before, "nothing is trained again"
    measured = json.loads((run / "report.json").read_text())["validation"]
    assert score.value == pytest.approx(measured["accuracy"]) and score.metric == "accuracy"
    assert score.num_rows == measured["num_examples"] and not score.lower_is_better
    rows = [json.loads(line) for line in before.splitlines()]
    assert score.value == pytest.approx(max(row["val_accuracy"] for row in rows))
    first = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert score.best_epoch == first["epoch"]
    assert report.test is not None
    assert best.is_run_of(run, replace(trial, baseline="auto"))
    assert not best.is_run_of(run, replace(trial, learning_rate=0.01))


def test_what_is_trained_is_not_trained_again(trial, monkeypatch):
    other = replace(trial, output=trial.output.output.replace("000", "001"), train_epochs=1)
    train(other)
    monkeypatch.setattr("tltf.training.training.train", lambda *_, **__: pytest.fail("trained"))
    train(other)


def test_each_round_has_a_score_and_the_run_goes_on_as_a_cross_validation(data, tmp_path):
    chosen = make(
        **(FLAGS | {"train_epochs": 1}),
        data=data,
        output=str(tmp_path / "run"),
        split="kfold(folds=2, fold=-1)",
    )
    train(chosen)
    scores = [study.read_score(tmp_path / f"run/rounds/{number}") for number in (1, 2)]
    assert all(score.num_rows > 0 for score in scores)
    report = rounds.run(chosen)
    assert len(report.folds) == 2 and runs_folder.read_status(tmp_path / "run") == "finished"


def test_trials_share_the_features_of_frozen_layers(data, tmp_path, own_cache):
    chosen = make(**(FLAGS | {"method": "linear_probe"}), data=data, output=str(tmp_path / "000"))
    train(chosen)
    before = {(path, path.stat().st_ino) for path in own_cache.rglob("*") if path.is_file()}
    assert any(path.stat().st_size > 100 for path, _ in before)
    train(replace(chosen, output=str(tmp_path / "001"), learning_rate=0.01))
    after = {(path, path.stat().st_ino) for path in own_cache.rglob("*") if path.is_file()}
    assert after == before, "nothing was written again"


def test_without_validation_rows_there_is_an_error(data, tmp_path):
    chosen = make(data=data, output=str(tmp_path), split="holdout(validation=0)", **FLAGS)
    with pytest.raises(DataError, match="a search needs validation rows"):
        train(chosen)


class Outputs:
    """A head whose outputs are its logits."""

    metric, lower_is_better = "accuracy", False

    @staticmethod
    def losses(logits, labels):
        return -logits[np.arange(len(labels)), labels]

    @staticmethod
    def scores(logits):
        return logits

    @staticmethod
    def metric_value(logits, labels):
        return float((logits.argmax(axis=1) == labels).mean())


def test_the_flag_metric_says_what_trials_are_judged_by():
    logits, labels = np.float32([[2, 1], [3, 0], [1, 4], [5, 2]]), np.array([0, 0, 1, 1])
    assert judges.judge_logits(Outputs, logits, labels) == ("accuracy", False, 0.75, -2.75)
    assert judges.judge_logits(Outputs, logits, labels, "loss") == ("loss", True, -2.75, -2.75)
    name, is_error, value, _ = judges.judge_logits(Outputs, logits, labels, "macro_f1")
    assert (name, is_error) == ("macro_f1", False) and value == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_the_kept_epoch_is_known_where_all_epochs_are_of_one_phase():
    def epoch(number, value, loss=1.0, phase="full"):
        return {"phase": phase, "epoch": number, "val_accuracy": value, "val_loss": loss}

    rows = [epoch(1, 0.5), epoch(2, 0.7, 0.4), epoch(3, 0.7, 0.3), epoch(4, 0.6)]
    assert train_trial.kept_epoch(rows, "accuracy", False) == 3
    assert train_trial.kept_epoch(rows, "accuracy", True) == 1
    assert train_trial.kept_epoch([*rows, epoch(1, 0.9, phase="last")], "accuracy", False) is None
    solved = {"phase": "solve", "penalty": 1.0, "val_accuracy": 0.9, "val_loss": 0.1}
    assert train_trial.kept_epoch([solved, *rows], "accuracy", False) == 3
    assert train_trial.kept_epoch([solved], "accuracy", False) is None


def test_it_is_trained_again_on_validation_rows_too(trial, tmp_path):
    row = TrialRow(0, COMPLETE, {}, Score(0.9, 0.1, "accuracy", best_epoch=1))
    chosen = replace(best.on_all_rows(trial, row), output=str(tmp_path / "all"))
    assert chosen.data.split == "holdout(train_on_validation=true)"
    assert chosen.train.train_epochs == 1
    counts = one_run.run(chosen).data.splits
    before = json.loads((pathlib.Path(trial.output.output) / "report.json").read_text())["data"]
    sizes = {role: split["num_examples"] for role, split in before["splits"].items()}
    assert counts["train"].num_examples == sizes["train"] + sizes["validation"]
    assert counts["test"].num_examples == sizes["test"] and "validation" not in counts


@pytest.mark.parametrize(
    ("split", "all_rows"),
    [
        (
            "holdout(test=.3, validation=.2)",
            "holdout(test=.3, validation=.2, train_on_validation=true)",
        ),
        ("given", "holdout(train_on_validation=true)"),
        ("kfold(folds=3, fold=-1)", "holdout(train_on_validation=true, test=0.0)"),
    ],
)
def test_the_split_of_all_rows(split, all_rows):
    assert (
        best.split_without_validation(split).replace("0.3", ".3").replace("0.2", ".2") == all_rows
    )
