"""Searches with real trainings in their own processes, killed at any moment."""

import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from tltf.experiments.search import study
from tltf.runs import folder as runs_folder

ROOT = pathlib.Path(__file__).resolve().parents[3]
FLAGS = (
    "--data=digits(num_train=160, num_test=60)",
    "--backbone=small_cnn(filters=[8, 8])",
    "--image_size_px=16",
    "--method=full",
    "--train_epochs=6",
    "--batch_size=16",
    "--checkpoint_minutes=1e-9",
    "--baseline=none",
    "--export=false",
    "--space=learning_rate: log(1e-3, 1e-1); head: [classify, classify(dropout=.2)]",
    "--trials=3",
    "--pruner=none",
)
"""Of a search of three trials of seconds, in which a checkpoint is written after each step."""


def start(folder, *flags):
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(ROOT),
        "TLTF_CACHE": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "tltf.search", *FLAGS, f"--output={folder}/search", *flags]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def finish(folder, *flags):
    process = start(folder, *flags)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return outcome(folder / "search")


def outcome(search):
    """What must be equal: of each trial its state, values, score and epochs, and the weights of the best."""
    saved = json.loads((search / "search.json").read_text())
    trials = []
    for one in saved["trials"]:
        lines = (search / f"trials/{one['number']:03d}/metrics.jsonl").read_text().splitlines()
        epochs = [
            {key: value for key, value in json.loads(line).items() if key != "seconds"}
            for line in lines
        ]
        trials.append([one["number"], one["status"], one["values"], one["score"], epochs])
    best = search / f"trials/{saved['best']:03d}"
    (weights,) = best.glob("model/v*/core.safetensors")
    return trials, saved["best"], hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, finish(folder, "--retrain")


@pytest.mark.large
def test_a_search_ends_with_the_report_of_the_best_and_its_flags(whole):
    folder, (trials, best, _) = whole
    search = folder / "search"
    assert [trial[1] for trial in trials].count("complete") >= 1 and len(trials) == 3
    scores = {number: score["value"] for number, _, _, score, _ in trials if score}
    assert scores[best] == max(scores.values())
    for number in range(3):
        run = search / f"trials/{number:03d}"
        assert (run / "report.json").exists() == (number == best), "no other test split was read"
        assert (run / "model").exists() == (number == best)
    text = (search / "report.html").read_text()
    assert f"trials/{best:03d}/report.html" in text
    report = json.loads((search / f"trials/{best:03d}/report.json").read_text())
    assert report["validation"]["accuracy"] == pytest.approx(scores[best])
    retrained = json.loads((search / "retrained/report.json").read_text())
    sizes = {role: part["num_examples"] for role, part in report["data"]["splits"].items()}
    again = {role: part["num_examples"] for role, part in retrained["data"]["splits"].items()}
    assert again == {"train": sizes["train"] + sizes["validation"], "test": sizes["test"]}


@pytest.mark.large
def test_best_flags_train_the_same_network_again(whole, tmp_path):
    folder, (_, _, weights) = whole
    command = [sys.executable, "-m", "tltf.train"]
    command += [f"--flagfile={folder}/search/best.flags", f"--output={tmp_path}/run"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    (again,) = (tmp_path / "run").glob("model/v*/core.safetensors")
    assert hashlib.sha256(again.read_bytes()).hexdigest() == weights


def running_child(search):
    """The process that trains a trial now, and 0 where there is none."""
    for owner in search.glob("trials/*/.lock.owner"):
        if runs_folder.read_status(owner.parent) == "training":
            named = owner.read_text().split()
            number = int(named[1]) if len(named) > 1 else 0  # it is being written
            if number and pathlib.Path(f"/proc/{number}").exists():
                return number
    return 0


def parent_of(number):
    """The process that began another one; 0 where that has ended."""
    try:
        status = pathlib.Path(f"/proc/{number}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return int(status.partition("\nPPid:")[2].split()[0])


def kill_in_a_trial(folder, draw, kills_child):
    """Begins the search, and kills it after a random time in a trial; whether there was time for that."""
    process = start(folder)
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        child = running_child(folder / "search")
        if child:
            time.sleep(draw.uniform(0, 1.5))
            is_alive = kills_child and parent_of(child) == process.pid
            if is_alive:
                os.kill(child, signal.SIGSTOP)  # so that it cannot end in order
            process.kill()
            if is_alive:
                os.kill(child, signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.05)
    process.communicate()
    return False


@pytest.mark.large
@pytest.mark.parametrize("kills_child", [True, False], ids=["with its trial", "alone"])
def test_ten_kills_of_a_search_lose_nothing(whole, tmp_path, kills_child):
    draw = random.Random(int(kills_child))
    kills = [kill_in_a_trial(tmp_path, draw, kills_child) for _ in range(10)]
    assert all(kills), "none came when all was done"
    assert finish(tmp_path, "--retrain") == whole[1]


@pytest.mark.large
def test_a_killed_trial_is_a_failed_one_and_the_search_goes_on(tmp_path):
    process = start(tmp_path)
    while not (child := running_child(tmp_path / "search")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    process.communicate(timeout=600)
    assert process.returncode == 0
    trials, best, _ = outcome(tmp_path / "search")
    assert trials[0][1] == "failed" and best > 0 and len(trials) == 3


@pytest.mark.large
def test_two_searches_in_one_folder_share_its_trials(tmp_path):
    both = [start(tmp_path, "--trials=4") for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=900)
        assert process.returncode == 0, errors
    trials, best, _ = outcome(tmp_path / "search")
    assert [trial[1] for trial in trials] == ["complete"] * 4
    assert study.read_score(tmp_path / f"search/trials/{best:03d}")
    assert (tmp_path / f"search/trials/{best:03d}/report.json").exists()
