"""SIGKILL anywhere: the same command then ends with the same weights, epochs and predictions."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from tests.killed_training_script import FLAGS, POINTS
from tltf.runs import folder as runs_folder

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("writer", "least"),
    [
        ("checkpoint", 15),
        ("first_checkpoint", 15),
        ("same_step", 12),
        ("start", 15),
        ("overwrite", 20),
    ],
)
def test_a_kill_at_each_system_call_leaves_the_old_or_the_new(tmp_path, writer, least):
    """The script checks what is left; a number of kills that falls means calls it no longer sees."""
    done = program("tests.killed_writers_script", writer, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least


def program(module, *arguments, **variables):
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def train(folder, *flags, point=""):
    """A training into `folder`/run with a cache of its own, killed at a point if one is named."""
    given = [*FLAGS, f"--output={folder}/run", *flags]
    return program(
        "tests.killed_training_script", point, "--", *given, TLTF_CACHE=str(folder / "cache")
    )


def outcome(folder):
    """What must be equal: the weights, every epoch, predictions, and the test's numbers."""
    run = folder / "run"
    assert runs_folder.read_status(run) == "finished"
    (weights,) = run.glob("model/v*/core.safetensors")
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    timeless = [{key: value for key, value in row.items() if key != "seconds"} for row in lines]
    return {
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "epochs": timeless,
        "predictions": (run / "predictions.csv").read_text(),
        "test": json.loads((run / "report.json").read_text())["test"],
        "exports": sorted(path.name for path in (run / "export").glob("*")),
        "left": [str(path) for path in folder.rglob("*.part")],
    }


def require_kill(done):
    assert done.returncode == -signal.SIGKILL, (done.returncode, done.stderr[-3000:])


@pytest.mark.large
def test_a_run_that_is_killed_twice_ends_as_one_that_was_not(tmp_path):
    """While a checkpoint is renamed, and when an epoch is in the log but in no checkpoint."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    flags = ["--export=false", "--method=full", "--train_epochs=2"]
    assert train(whole, *flags).returncode == 0
    for point in ("the checkpoint gets its name", "an epoch is logged and not saved"):
        require_kill(train(cut, *flags, point=point))
    done = train(cut, *flags)
    assert done.returncode == 0, done.stderr
    assert outcome(cut) == outcome(whole)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The outcome of a training that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    done = train(folder)
    assert done.returncode == 0, done.stderr
    found = outcome(folder)
    assert len(found["epochs"]) == 6 and found["exports"] == ["1"] and not found["left"]
    return found


@pytest.mark.large
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_a_point_changes_nothing(tmp_path, undisturbed, point):
    require_kill(train(tmp_path, point=point))
    done = train(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "damaged" not in done.stderr
    assert outcome(tmp_path) == undisturbed


ONE_AFTER_THE_OTHER = (
    "the run begins",
    "the cache is filled",
    "the first step",
    "an epoch is logged and not saved",
    "the checkpoint gets its name",
    "the manifest is fsynced",
    "the last phase has ended",
    "the model is written",
    "evaluation",
    "the report is half there",
    "the export is written",
    "exported",
    "nearly finished",
)


@pytest.mark.large
def test_kills_one_after_the_other(tmp_path, undisturbed):
    """Each command goes on from what the kill before it left."""
    for point in ONE_AFTER_THE_OTHER:
        require_kill(train(tmp_path, point=point))
    assert train(tmp_path).returncode == 0
    assert outcome(tmp_path) == undisturbed


@pytest.mark.large
def test_a_solved_phase_before_a_trained_one(tmp_path):
    """lp_ft: the head is solved for, then everything is trained from there."""
    flags = ["--method=lp_ft", "--head=classify", "--export=false"]
    assert train(tmp_path / "whole", *flags).returncode == 0
    for point in ("between two phases", "the first step", "validation"):
        require_kill(train(tmp_path / "cut", *flags, point=point))
    assert train(tmp_path / "cut", *flags).returncode == 0
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


def fill_with_zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.large
@pytest.mark.parametrize("damage", [cut, flip, fill_with_zeros])
def test_a_damaged_checkpoint_costs_its_steps_and_one_warning(tmp_path, undisturbed, damage):
    require_kill(train(tmp_path, point="a step of the third phase"))
    older, newest = sorted((tmp_path / "run/checkpoints").glob("*[0-9]"))
    damage(newest / "arrays.npz")
    done = train(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is damaged; the one before it is used") == 1
    assert f"checkpoint {newest.name} is damaged" in done.stderr and older.name < newest.name
    assert outcome(tmp_path) == undisturbed


@pytest.mark.large
def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_again_unasked(tmp_path):
    require_kill(train(tmp_path, point="a step of the third phase"))
    for folder in (tmp_path / "run/checkpoints").iterdir():
        cut(folder / "arrays.npz")
    before = sorted((tmp_path / "run").rglob("*"))
    done = train(tmp_path)
    assert done.returncode == 4
    last = done.stderr.splitlines()[-1]
    assert (
        "tltf: error[4]" in last
        and "all checkpoints are damaged; fix: another --output; --resume=never" in last
    )
    assert sorted((tmp_path / "run").rglob("*")) == before
    assert train(tmp_path, "--resume=never", "--export=false").returncode == 0
