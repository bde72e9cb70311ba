"""Two workers on this machine share a run folder: the first one writes, all go on from the same."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.training.fit_test import free_ports
from tltf.errors import ModelError
from tltf.runs import checkpoints, folder
from tltf.training import resume
from tltf.training.distribution import multi_worker
from tltf.training.fit_state import FitRecord, FitState, Place

ROOT = pathlib.Path(__file__).resolve().parents[3]
FLAGS = (
    "--data=digits(num_train=96, num_test=40)",
    "--backbone=small_cnn(filters=[4])",
    "--image_size_px=8",
    "--head=classify(pooling=flatten)",
    "--method=full",
    "--batch_size=8",
    "--train_epochs=3",
    "--strategy=multi_worker",
    "--cache=false",
)


def checkpoint(epoch):
    """Of a fit that has ended so many epochs."""
    return FitState(
        phase=0,
        place=Place(epoch),
        epoch_steps=3,
        record=FitRecord(),
        fingerprint="",
        seconds=0.0,
        is_stopped=False,
        best=None,
        best_weights={},
        plateau={},
        weights={"x": np.zeros(1)},
        optimizer=[],
        seeds=[],
        metrics=[],
    ).to_checkpoint()


def test_all_workers_go_on_from_the_checkpoint_of_the_first(tmp_path, monkeypatch):
    """Though the folder already has another for those who look later."""
    for step, epoch in ((3, 1), (3, 2), (6, 3)):
        checkpoints.save(tmp_path, step, checkpoint(epoch))
    told = []
    monkeypatch.setattr(
        multi_worker, "broadcast_from_chief", lambda strategy, own: told.append(own) or own
    )
    assert resume.newest(tmp_path, None, True).place.epochs == 3
    np.testing.assert_array_equal(told.pop(), [6, 0])
    monkeypatch.setattr(
        multi_worker, "broadcast_from_chief", lambda strategy, own: np.array([3, 1])
    )
    assert resume.newest(tmp_path, None, False).place.epochs == 2
    monkeypatch.setattr(
        multi_worker, "broadcast_from_chief", lambda strategy, own: np.array([-1, 0])
    )
    assert resume.newest(tmp_path, None, False) is None
    monkeypatch.setattr(
        multi_worker, "broadcast_from_chief", lambda strategy, own: np.array([9, 0])
    )
    with pytest.raises(ModelError, match="checkpoint 9, from which the first worker goes on"):
        resume.newest(tmp_path, None, False)


def started(run, kinds, *flags):
    """The processes of a cluster with one task of each kind, the first of them the chief."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    cluster = {"worker": addresses}
    if kinds[0] == "chief":
        cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    tasks = [
        {"type": kind, "index": kinds[:number].count(kind)} for number, kind in enumerate(kinds)
    ]
    command = [sys.executable, "-m", "tltf.train", *FLAGS, f"--output={run}", *flags]
    return [
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})},
        )
        for task in tasks
    ]


def ended(processes):
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return said


def weights(run):
    (path,) = run.glob("model/v*/core.safetensors")
    return load_file(path)


@pytest.mark.large
def test_two_workers_that_are_killed_go_on_together(tmp_path):
    """Worker 0 beside a chief is not the first; after SIGKILL the run ends as one that was not cut."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    said = ended(started(whole, ("chief", "worker")))
    assert "report" in said[0] and "report.html" not in said[1]
    assert folder.read_status(whole) == "finished" and (whole / "export/1").is_dir()
    processes = started(cut, ("worker", "worker"), "--export=false")
    while not list((cut / "checkpoints").glob("*[0-9]")):
        assert processes[0].poll() is None, processes[0].communicate()[0]
        time.sleep(0.05)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert folder.read_status(cut) == "training"
    ended(started(cut, ("worker", "worker"), "--export=false"))
    for name, values in weights(whole).items():
        np.testing.assert_allclose(weights(cut)[name], values, rtol=1e-5, atol=1e-6)
    lines = map(json.loads, (cut / "metrics.jsonl").read_text().splitlines())
    assert [line["epoch"] for line in lines] == [1, 2, 3]


@pytest.mark.large
def test_two_workers_train_every_fold(tmp_path):
    flags = ("--split=kfold(folds=2, fold=-1)", "--train_epochs=1", "--export=false")
    said = ended(started(tmp_path / "run", ("worker", "worker"), *flags))
    assert "fold 2 of 2" in said[1] and "Mean accuracy of 2 folds" in said[0]
    assert folder.read_status(tmp_path / "run") == "finished"
    report = json.loads((tmp_path / "run/report.json").read_text())
    folds = [
        json.loads(path.read_text())["test"]["num_examples"]
        for path in (tmp_path / "run/rounds").glob("*/report.json")
    ]
    assert len(folds) == 2 and sum(folds) == report["test"]["num_examples"]
