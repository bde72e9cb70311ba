"""Trackers hear of a run what its folder says, and cannot stop it."""

import json
import re
import warnings

import pytest

from tests.experiments.tracking import recording
from tests.experiments.tracking.conftest import FLAGS
from tests.experiments.tracking.recording import heard
from tltf import train
from tltf.config import call_strings, checks, options
from tltf.config.catalogs import TRACKERS
from tltf.errors import FlagError
from tltf.experiments.tracking.report_numbers import numbers_of
from tltf.experiments.tracking.tracker import EpochRow, FinishedRun
from tltf.experiments.tracking.tracking import TrackedGroup, Tracking
from tltf.runs import metrics_log
from tltf.training import training

TRACK = "tests.experiments.tracking.recording:RecordingTracker"


def tracking_of(text, group=None):
    return Tracking(call_strings.pick_each(TRACKERS, text, "track"), group)


def options_of(run):
    return options.make(data="digits", backbone="small_cnn", output=str(run))


def rows(*epochs, phase="full"):
    return [{"phase": phase, "epoch": epoch, "loss": 1 / epoch} for epoch in epochs]


def test_a_tracker_hears_the_rows_of_metrics_jsonl_and_then_the_report(told_of_images):
    run, epochs, finished = told_of_images
    kept = metrics_log.read(run.folder / "metrics.jsonl")
    assert [row.number for row in epochs] == [1, 2] == [row["epoch"] for row in kept]
    for row, line in zip(epochs, kept, strict=True):
        numbers = {name: value for name, value in line.items() if name != "phase"}
        numbers["phase_epoch"] = numbers.pop("epoch")
        assert row.numbers == numbers and row.phase == line["phase"]
    assert run.flags["learning_rate"] == 0.001, "what auto has chosen"
    assert run.flags["batch_size"] and run.name == "run" and run.id == run.group == ""
    assert finished.folder == run.folder and finished.model.splits["test"]
    assert json.loads((run.folder / "tracked_runs.json").read_text()) == {TRACK + "()": "id of run"}
    stages = json.loads((run.folder / "report.json").read_text())["time_s"]
    assert "track" in stages, "its time is not that of the training"


def test_the_numbers_of_a_report_have_the_bounds_of_their_intervals(told_of_images):
    _, _, finished = told_of_images
    saved, numbers = (
        json.loads((finished.folder / "report.json").read_text()),
        numbers_of(finished.report),
    )
    for role in ("validation", "test"):
        assert numbers[f"{role}/accuracy"] == saved[role]["accuracy"]
        low, high = saved[role]["intervals"]["accuracy"]
        bounds = numbers[f"{role}/accuracy_low"], numbers[f"{role}/accuracy_high"]
        assert bounds == (low, high)
    assert numbers["test/num_examples"] == 30 and numbers["parameters/total"] > 0


def test_what_goes_on_is_the_same_tracked_run_with_the_same_numbers(tmp_path):
    log = metrics_log.MetricsLog(tmp_path / "metrics.jsonl")
    with pytest.raises(KeyboardInterrupt), tracking_of(TRACK) as tracking:
        tracking.begin(tmp_path, options_of(tmp_path))
        for row in rows(1, 2) + rows(1, phase="second"):
            log.write(row)
            tracking.write(row)
        raise KeyboardInterrupt
    assert heard("finish") == [None], "it was told that the run has stopped"
    recording.HEARD.clear()
    with tracking_of(TRACK) as tracking:
        tracking.begin(tmp_path, options_of(tmp_path))
        for row in rows(1, 2, phase="second"):
            tracking.write(row)
        tracking.finish(FinishedRun(None, tmp_path))
    (run,) = heard("start")
    assert run.id == f"id of {tmp_path.name}"
    assert [(row.number, row.phase) for row in heard("epoch")] == [(3, "second"), (4, "second")]
    assert len(heard("finish")) == 1 and heard("finish") != [None]


def test_a_tracker_that_is_added_later_hears_of_the_epochs_before(tmp_path):
    log = metrics_log.MetricsLog(tmp_path / "metrics.jsonl")
    for row in rows(1, 2):
        log.write(row)
    with tracking_of(TRACK) as tracking:
        tracking.begin(tmp_path, options_of(tmp_path))
        tracking.write(rows(3)[0])
    assert [row.number for row in heard("epoch")] == [1, 2, 3]


def test_a_run_ends_though_its_trackers_break_and_each_is_one_warning(tmp_path):
    broken = "tests.experiments.tracking.recording:BrokenTracker"
    track = f"--track={TRACK}(breaks_at=1)|{broken}"
    with pytest.warns(UserWarning, match="--track") as caught:
        assert train.main([*FLAGS, track, f"--output={tmp_path}/run"]) == 0
    assert json.loads((tmp_path / "run/status.json").read_text()) == {"status": "finished"}
    said = [str(warning.message) for warning in caught if "--track" in str(warning.message)]
    (gone,) = [line for line in said if "breaks_at" in line]
    assert "ConnectionError: the server is gone" in gone and "the run goes on" in gone
    first, last = [line for line in said if broken in line]
    assert "No space left on device" in first and "tried again at the end" in first
    assert "may not be whole" in last
    assert [row.number for row in heard("epoch")] == [1, 2], "what it missed came at the end"
    assert heard("finish")[0].report.test, "and the report"


def test_a_tracker_that_hangs_on_an_epoch_is_left_alone_until_the_end(tmp_path):
    with warnings.catch_warnings(record=True) as caught, tracking_of(f"{TRACK}(breaks_at=2)") as it:
        warnings.simplefilter("always")
        it.begin(tmp_path, options_of(tmp_path))
        for row in rows(1, 2, 3, 4):
            it.write(row)
        assert [row.number for row in heard("epoch")] == [1]
        it.finish(FinishedRun(None, tmp_path))
    assert [row.number for row in heard("epoch")] == [1, 2, 3, 4]
    assert len(caught) == 1


def test_folds_are_runs_of_a_group(tmp_path):
    split = "--split=kfold(folds=2, fold=-1)"
    data = "--data=digits(num_train=40, num_test=20)"
    assert train.main([*FLAGS, data, split, "--train_epochs=1", f"--output={tmp_path}/cv"]) == 0
    whole, first, second = heard("start")
    assert (whole.name, whole.group) == ("cv", "")
    assert [first.name, second.name] == ["cv, fold 1", "cv, fold 2"]
    assert first.group == second.group == "cv" and first.group_id == "id of cv"
    *folds, pooled = heard("finish")
    assert [len(done.report.folds or ()) for done in [*folds, pooled]] == [0, 0, 2]
    assert pooled.model is None
    numbers = numbers_of(pooled.report)
    means = json.loads((tmp_path / "cv/report.json").read_text())["fold_means"]["accuracy"]
    assert numbers["test/accuracy"] == pytest.approx(means["mean"])
    assert numbers["folds/accuracy_deviation"] == pytest.approx(means["deviation"])


def test_only_the_process_that_writes_the_folder_opens_a_log(tmp_path):
    opened = []
    with training._log_of(None, options.make(), lambda *about: opened.append(about)) as log:
        log.write({})
    assert opened == []


def test_what_is_no_number_is_left_out_of_an_epoch():
    row = EpochRow.of(4, {"phase": "full", "epoch": 2, "loss": None, "step": 8, "note": "x"})
    assert row == EpochRow(4, "full", {"phase_epoch": 2.0, "step": 8.0})


def test_a_group_is_found_by_the_call_string_of_each_tracker(tmp_path):
    group = TrackedGroup("cv", {f"{TRACK}(breaks_at=9)": "other", f"{TRACK}()": "mine"})
    with tracking_of(TRACK, group) as tracking:
        tracking.begin(tmp_path, options_of(tmp_path))
    assert heard("start")[0].group_id == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wandbb", r"no tracker 'wandbb'.*fix: --track=wandb"),
        ("tensorboard(folder=x)", r"no argument 'folder'.*fix: --track=tensorboard"),
        ("wandb(mode=of)", r"takes offline.*received of"),
        ("wandb(project='')", "must not be empty"),
        ("mlflow(uri=https://me:secret@host)", r"password.*MLFLOW_TRACKING_PASSWORD"),
        ("mlflow(uri=./mlruns)", r"no runs in a plain folder.*sqlite:///mlflow.db"),
    ],
)
def test_a_wrong_tracker_is_refused_before_anything_is_loaded(text, message, monkeypatch):
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: "there")
    with pytest.raises(FlagError) as caught:
        checks.pick_trackers(text)
    assert re.search(message, str(caught.value)) and "secret" not in str(caught.value)


@pytest.mark.parametrize("name", TRACKERS)
def test_a_package_that_is_not_there_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FlagError, match=rf"{TRACKERS[name].package}.*extra {TRACKERS[name].extra}"):
        checks.pick_trackers(f"{name}")
    assert checks.pick_trackers("none") == ()
