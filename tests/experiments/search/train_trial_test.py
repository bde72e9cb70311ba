"""The training of a trial: it leaves its score, does not look at the test split, and `tltf.train` goes on with it."""

import functools
import json
import pathlib

import numpy as np
import pytest

from tltf.config import checks
from tltf.config.options import make, replace
from tltf.errors import DataError
from tltf.experiments import one_run, rounds
from tltf.experiments.search import best, study, train_trial
from tltf.experiments.search.trial import COMPLETE, TrialRow
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


def test_the_kept_epoch_is_that_with_the_numbers_of_the_model():
    def epoch(number, value, loss=1.0, phase="full"):
        return {"phase": phase, "epoch": number, "val_accuracy": value, "val_loss": loss}

    kept = functools.partial(train_trial.kept_epoch, metric="accuracy")
    rows = [epoch(1, 0.5), epoch(2, 0.7, 0.4), epoch(3, 0.7, 0.3), epoch(4, 0.6)]
    assert kept(rows, value=0.7, loss=0.3) == 3 and kept(rows, value=0.7, loss=0.4) == 2
    assert kept(rows, value=0.6, loss=1.0) == 4, "--keep=last"
    assert kept(rows, value=0.72, loss=0.29) is None, "a mix of weights"
    assert kept([*rows, epoch(1, 0.9, phase="last")], value=0.9, loss=1.0) is None
    solved = {"phase": "solve", "penalty": 1.0, "val_accuracy": 0.9, "val_loss": 0.1}
    assert kept([solved, *rows], value=0.7, loss=0.3) == 3
    assert kept([solved, *rows], value=0.9, loss=0.1) == 0, (
        "no epoch was better than the solved head"
    )
    assert kept([solved], value=0.9, loss=0.1) is None


@pytest.mark.parametrize(
    ("more", "epoch"),
    [
        ({"method": "lp_ft", "learning_rate": 3.0}, 0),
        ({"keep": "last", "learning_rate": 0.05}, 2),
    ],
)
def test_the_best_is_trained_again_for_as_long_as_its_weights_were(data, tmp_path, more, epoch):
    """A rate of 3 spoils the solved head; with the last epoch kept all of them are trained again."""
    chosen = make(**(FLAGS | {"data": data, "output": str(tmp_path / "000"), "seed": 3} | more))
    train(chosen)
    score = study.read_score(tmp_path / "000")
    assert score.best_epoch == epoch
    again = best.on_all_rows(chosen, TrialRow(0, COMPLETE, {}, score, (), 1.0, ""))
    assert again.train.method == (best.SOLVED if epoch == 0 else chosen.train.method)
    assert again.train.train_epochs == 2
