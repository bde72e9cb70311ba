"""The faults of numbers and of memory, from flags to exit codes."""

import json
import math
import re

import keras
import numpy as np
import pytest

from tests.faults.breaking import NUM_TRAIN
from tests.faults.making import covers, require, run, run_program
from tltf.models import loading
from tltf.runs import checkpoints, metrics_log
from tltf.training import fit, fit_state, judges

FLAGS = [
    "--backbone=small_cnn(filters=[8])",
    "--image_size_px=8",
    "--head=classify(pooling=flatten)",
    "--method=full",
    "--batch_size=8",
    "--train_epochs=3",
    "--export=false",
]
FULL_BATCH = re.compile(r"its batch was digits:\d+, digits:\d+, digits:\d+ and 5 more")


@pytest.fixture(autouse=True)
def own_precision():
    yield
    keras.config.set_dtype_policy("float32")


def pictures(*broken):
    return f"--data=tests.faults.breaking:pictures(broken={list(broken)})"


def train(folder, capfd, *flags, **settings):
    return run("train", [*FLAGS, f"--output={folder}", *flags], capfd, **settings)


def alone(folder, *flags):
    """The same as a process: all of standard error is looked at."""
    return run_program("train", [*FLAGS, f"--output={folder}", *flags])


def require_finite_checkpoints(folder, least):
    """Asserts that all checkpoints are whole and finite, and gives the newest."""
    paths = sorted((folder / "checkpoints").glob("*/arrays.npz"))
    assert len(paths) >= least
    for path in paths:
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays), path
    return checkpoints.newest(folder)


def require_last_line(done, code, *words):
    """Asserts the code and one line of error behind the plan, the progress and nothing else."""
    require(done, code, words)
    assert done.err.splitlines()[-1].startswith(f"tltf: error[{code}] ")
    return done.err.splitlines()[-1]


def steps_until(line):
    """(step, epoch) of an error."""
    return tuple(map(int, re.search(r" step (\d+) of epoch (\d+) ", line).groups()))


def test_a_nan_batch(tmp_path, capfd):
    """Row 6 is in one batch of the first epoch; the checkpoint of the step before it is the last."""
    done = train(tmp_path, capfd, pictures(6), "--checkpoint_minutes=1e-9")
    line = require_last_line(
        done, 6, "--data: ", "not finite in picture 6; fix: correct or leave out"
    )
    step, epoch = steps_until(line)
    assert epoch == 1 and 1 < step <= NUM_TRAIN // 8
    saved = require_finite_checkpoints(tmp_path, least=1)
    assert (saved.state["epoch"], saved.state["steps"]) == (0, step - 1)
    again = train(tmp_path, capfd, pictures(6), "--checkpoint_minutes=1e-9")
    assert require_last_line(again, 6) == line, "going on meets the same step"


@covers(279)
@pytest.mark.parametrize(("method", "usual"), [("full", 0.001), ("linear_probe", 0.003)])
def test_a_learning_rate_beyond_all_sense(tmp_path, capfd, method, usual):
    """The steps of a linear probe run together; one that takes single ones stops at the second."""
    done = train(
        tmp_path,
        capfd,
        "--data=digits",
        "--learning_rate=1e9",
        f"--method={method}",
        "--checkpoint_minutes=1e-9",
    )
    line = require_last_line(
        done, 6, "the loss has grown to", f"fix: --learning_rate={usual}", "--resume=never"
    )
    step, epoch = steps_until(line)
    assert epoch == 1 and (step == 2 or method == "linear_probe")
    if method == "full":
        assert require_finite_checkpoints(tmp_path, least=1).state["steps"] == 1
    assert not list(tmp_path.glob("model")), "nothing was saved as a result"


def test_numbers_beyond_float32(tmp_path, capfd):
    """Bare digits of a learning rate near the largest float: the loss itself is not finite."""
    done = train(tmp_path, capfd, "--data=digits", "--learning_rate=1e38")
    line = require_last_line(done, 6, "not finite" if "gradient" in done.err else "the loss is ")
    assert FULL_BATCH.search(line) and "or look at these rows" in line
    assert checkpoints.newest(tmp_path) is None


SOLVED = ["--method=linear_probe(solver=lbfgs)", "--backbone=tests.faults.breaking:plain()"]


@pytest.mark.parametrize(
    "broken,said",
    [
        ([6, 20], "features of the train split are not finite (linear_probe): of picture "),
        (
            [33],
            "features of the validation split are not finite (linear_probe): of picture 33; fix: correct",
        ),
        (
            range(NUM_TRAIN),
            "and 29 more; fix: correct or leave out these rows, or --precision=float32",
        ),
    ],
)
def test_a_solver_names_the_rows_that_are_not_finite(tmp_path, capfd, broken, said):
    done = train(tmp_path, capfd, pictures(*broken), *SOLVED)
    line = require_last_line(done, 6, "--data: ", said, "--resume=never")
    named = {int(number) for number in re.findall(r"picture (\d+)", line)}
    assert named <= set(broken) and len(named) == min(len(broken), 3)


def test_a_solver_of_augmented_views_names_the_row(tmp_path, capfd):
    """Two passes of their own orders, whose last batch is not a full one."""
    views = ["--augment=flip", "--cache_views=2", "--batch_size=5"]
    done = train(tmp_path, capfd, pictures(6), *SOLVED, *views)
    require_last_line(done, 6, "(linear_probe): of picture 6; fix: ")


def lr_find(folder, capfd, *flags):
    return run("lr_find", [*FLAGS[:-1], f"--output={folder}/found", *flags], capfd)


@pytest.mark.parametrize("broken", [range(NUM_TRAIN), [6]])
def test_a_nan_batch_in_the_range_test(tmp_path, capfd, broken):
    """In the first batch, or in one of those that come later, which no rate is to blame for."""
    done = lr_find(tmp_path, capfd, pictures(*broken), "--method=full")
    line = require_last_line(done, 6, "--data: the ", "correct or leave out these rows")
    named = {int(number) for number in re.findall(r"picture (\d+)", line)}
    assert named and named <= set(broken)
    assert not (tmp_path / "found").exists()


def test_a_first_loss_that_is_not_finite_is_not_laid_to_the_rate(tmp_path, capfd):
    """The weights do it: float32 overflows to infinity from the largest numbers that a file holds."""
    backbone = "--backbone=tests.faults.breaking:overflowing()"
    done = lr_find(tmp_path, capfd, pictures(), backbone)
    line = require_last_line(done, 6, "the loss is ", " at step 1 of epoch 1 (full)")
    assert "--precision=float32, or other --backbone_weights; or look at these rows" in line


@pytest.mark.parametrize(
    "flags,code,said",
    [
        (
            ["--data=digits", "--method=full", "--num_steps=5"],
            2,
            "--num_steps: takes a number >= 20",
        ),
        (["--data=digits", "--method=full", "--num_step=50"], 2, "no flag --num_step"),
        (["--data=digits", "--method=linear_probe(solver=lbfgs)"], 2, "takes no steps"),
        (["--data=image_folder(path=/no/such/folder)"], 2, "/no/such/folder"),
        (["--data=numpy(path={tmp}/a.npz)"], 3, "a.npz"),
        (["--data=digits", "--backbone_weights={tmp}/a.npz"], 4, "a.npz"),
    ],
)
def test_faults_of_the_range_test_are_one_line(tmp_path, capfd, flags, code, said):
    (tmp_path / "a.npz").write_bytes(b"PK no file of arrays")
    done = lr_find(tmp_path, capfd, *(flag.format(tmp=tmp_path) for flag in flags))
    require_last_line(done, code, said)


@pytest.mark.large
def test_the_rate_that_is_suggested_can_be_given(tmp_path, capfd):
    assert train(tmp_path, capfd, "--data=digits", "--learning_rate=1e9").code == 6
    done = train(tmp_path, capfd, "--data=digits", "--learning_rate=.01", "--resume=never")
    require(done, 0)


def test_float16_gradients_that_are_not_finite_are_counted(tmp_path, capfd):
    require(train(tmp_path, capfd, pictures(6), "--precision=mixed_float16"), 0)
    rows = metrics_log.read(tmp_path / "metrics.jsonl")
    assert [row["skipped_steps"] for row in rows] == [1, 1, 1], "the batch with picture 6"
    assert rows[-1]["step"] == 3 * (NUM_TRAIN // 8 - 1)
    assert "skipped" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_hundred_skipped_float16_steps_in_a_row(tmp_path, capfd):
    every = pictures(*range(NUM_TRAIN))
    done = train(tmp_path, capfd, every, "--precision=mixed_float16", "--train_epochs=30")
    line = require_last_line(done, 6, "float16 gradients were not finite in 100 steps in a row")
    assert steps_until(line) == (4, 25), "4 steps an epoch"
    saved = require_finite_checkpoints(tmp_path, least=1)
    assert saved.state["epoch"] == 24 and saved.state["step"] == 0


def test_a_nan_of_validation_in_epoch_1_is_never_the_best(tmp_path, capfd, monkeypatch):
    measure, calls = judges.Judges.measure, []

    def measured(fit, role="validation"):
        calls.append(role)
        return (math.nan, math.nan) if len(calls) == 1 else measure(fit, role)

    monkeypatch.setattr(judges.Judges, "measure", measured)
    require(train(tmp_path, capfd, "--data=digits", "--keep=best"), 0)
    rows = metrics_log.read(tmp_path / "metrics.jsonl")
    assert rows[0]["val_accuracy"] is None and rows[1]["val_accuracy"] > 0.5
    saved = checkpoints.newest(tmp_path)
    order = sorted(rows[1:], key=lambda row: (-row["val_accuracy"], row["val_loss"]))
    assert saved.state["best"]["epoch"] == order[0]["epoch"] > 1
    kept = loading.load(tmp_path).core.named_weights()
    for name, array in fit_state.arrays_under(saved, "best/").items():
        np.testing.assert_array_equal(kept[name].numpy(), array)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["validation"]["accuracy"] == pytest.approx(order[0]["val_accuracy"])


@pytest.mark.large
@pytest.mark.parametrize(
    "place,fix",
    [
        (
            "True",
            "--batch_size: out of memory with 8 rows per batch; fix: --batch_size=4, with --resume=never",
        ),
        (
            "False",
            "--eval_batch_size: out of memory with 128 rows per batch; fix: --eval_batch_size=64",
        ),
    ],
)
def test_memory_that_runs_out(tmp_path, capfd, place, fix):
    """TensorFlow itself cannot get 2^48 bytes, in training or in evaluation; it tries for 10 s."""
    backbone = f"--backbone=tests.faults.breaking:greedy(is_training={place})"
    done = train(tmp_path, capfd, "--data=digits", backbone)
    assert require_last_line(done, 5).removeprefix("tltf: error[5] ") == fix


def test_memory_of_the_host_that_runs_out(tmp_path, capfd, monkeypatch):
    def exhausted(*given):
        np.empty(2**48, np.float64)

    monkeypatch.setattr(fit, "_keras_fit", exhausted)
    done = train(tmp_path, capfd, "--data=digits")
    require_last_line(done, 5, "fix: --batch_size=4")


def test_a_run_out_of_memory_in_evaluation_goes_on_with_a_smaller_batch(
    tmp_path, capfd, monkeypatch
):
    def exhausted(fit, role="validation"):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(judges.Judges, "measure", exhausted)
        assert train(tmp_path, capfd, "--data=digits").code == 5
    require(train(tmp_path, capfd, "--data=digits", "--eval_batch_size=64"), 0)


@pytest.mark.large
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_two_devices(tmp_path, precision):
    """A process of its own, in which TensorFlow's and Keras's messages would be seen."""
    devices = ["--logical_devices=2", "--strategy=mirrored", "--checkpoint_minutes=1e-9"]
    broken = (6,) if precision == "float32" else range(NUM_TRAIN)
    done = alone(
        tmp_path, pictures(*broken), *devices, f"--precision={precision}", "--train_epochs=30"
    )
    line = require_last_line(done, 6, "not finite in picture ")
    assert "Error" not in done.err.replace(line, "")
    assert steps_until(line)[1] == (1 if precision == "float32" else 25)
    require_finite_checkpoints(tmp_path, least=1)


@pytest.mark.large
def test_two_devices_with_a_learning_rate_beyond_all_sense(tmp_path):
    done = alone(
        tmp_path,
        "--data=digits",
        "--learning_rate=1e9",
        "--logical_devices=2",
        "--strategy=mirrored",
    )
    assert steps_until(require_last_line(done, 6, "the loss has grown")) == (2, 1)
