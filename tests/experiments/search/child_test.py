"""Trials in processes of their own: how they fail, are given up and stopped, and what is heard of them."""

import os
import pathlib
import signal
import time

import pytest

from tests.experiments.search import curve
from tltf.config import checks
from tltf.config.options import make, replace
from tltf.errors import StorageError
from tltf.experiments.search import child, searching
from tltf.experiments.search.trial import COMPLETE, FAILED, PRUNED, UNFINISHED, Score, Watch

MODULE = "tests.experiments.search.stand_in"
"""A stand-in for a training, which does what --title says."""
QUIET = Watch(lambda step, quality: False, lambda: False)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    root = str(pathlib.Path(__file__).resolve().parents[3])
    monkeypatch.setenv("PYTHONPATH", root)


def options(folder, title):
    return make(data="digits", backbone="small_cnn", output=str(folder / "000"), title=title)


def run(folder, title, watch=QUIET):
    return child.ChildRunner(MODULE)(options(folder, title), watch)


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("out of memory", "exit code 5: error[5] --batch_size: out of memory with 32 rows"),
        ("killed", "it was killed (signal 9), which the system does where memory runs out"),
        ("crashed", "it was ended by signal 11"),
        ("asked to end", "it was asked to end by a signal"),
        ("silent", "exit code 3: it printed nothing"),
        ("no score", "exit code 0: "),
    ],
)
def test_a_process_that_fails_is_a_failed_trial_with_its_reason(tmp_path, title, reason):
    found = run(tmp_path, title)
    assert found.status == FAILED and found.reason.startswith(reason)


def test_epochs_are_heard_while_it_runs_and_the_score_in_the_end(tmp_path):
    heard = []
    found = run(tmp_path, "epochs", Watch(lambda *told: bool(heard.append(told)), lambda: False))
    assert heard == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert found.status == COMPLETE and found.score == Score(0.75, 0.4, "accuracy", num_rows=9)


def test_one_that_is_given_up_is_asked_to_end_and_ends(tmp_path):
    found = run(tmp_path, "forever", Watch(lambda step, quality: step == 2, lambda: False))
    assert found.status == PRUNED
    assert (tmp_path / "000" / "ended.txt").read_text() == "in order"


def test_it_is_stopped_when_the_time_is_spent_or_the_search_is_interrupted(tmp_path):
    heard = []
    told = Watch(lambda *step: bool(heard.append(step)), lambda: len(heard) > 2)
    found = run(tmp_path, "forever", told)
    assert found.status == UNFINISHED
    assert (tmp_path / "000" / "ended.txt").read_text() == "in order"

    def interrupt(step, quality):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "other", "forever", Watch(interrupt, lambda: False))
    assert (tmp_path / "other" / "000" / "ended.txt").read_text() == "in order"


def test_a_search_goes_on_after_a_trial_out_of_memory(tmp_path):
    chosen = curve.options(
        tmp_path,
        space="batch_size: [16, 32]; learning_rate: log(1e-4, 1e-1)",
        sampler="random",
        trials=4,
    )

    def runner(one, watch):
        title = "out of memory" if one.train.batch_size == 32 else "epochs"
        return child.ChildRunner(MODULE)(replace(one, title=title), watch)

    found = searching.run(chosen, runner, finishes=False)
    assert {row.status for row in found.rows} == {COMPLETE, FAILED} and len(found.rows) == 4
    failed = next(row for row in found.rows if row.status == FAILED)
    assert "out of memory" in failed.reason and failed.values["batch_size"] == 32


def test_the_process_of_a_search_that_is_gone_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "ORPHAN_S", 0.2)
    folder = tmp_path / "000"
    folder.mkdir()
    lock = child.filelock.FileLock(folder / ".lock")
    with lock, pytest.raises(StorageError, match="still training here"):
        run(tmp_path, "epochs")
    assert run(tmp_path, "epochs").status == COMPLETE


def test_a_trial_ends_in_order_when_the_process_that_began_it_is_killed(tmp_path):
    folder = tmp_path / "000"
    own = os.fork()
    if not own:  # it dies while its child runs

        def die(step, quality):
            os.kill(os.getpid(), signal.SIGKILL)

        run(tmp_path, "forever", Watch(die, lambda: False))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(own, 0)[1]) == -signal.SIGKILL
    end = time.monotonic() + 20
    while not (folder / "ended.txt").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert (folder / "ended.txt").read_text() == "in order"


def test_flags_are_those_that_are_not_the_defaults(tmp_path):
    chosen = make(data="digits", output="x", learning_rate=0.1, export=False, method="lora(rank=4)")
    assert child.arguments(chosen) == [
        "--data=digits",
        "--method=lora(rank=4)",
        "--learning_rate=0.1",
        "--output=x",
        "--export=false",
    ]


def test_errors_are_turned_round_so_that_more_is_better(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text(
        '{"phase": "a", "epoch": 1, "val_loss": 3, "val_mean_absolute_error": 2}\n'
        '{"phase": "a", "penalty": 1, "val_loss": 3, "val_mean_absolute_error": 9}\n'
        '{"phase": "a", "epoch": 2, "val_loss": null, "val_mean_absolute_error": null}\n'
    )
    first, second = child.qualities(tmp_path, is_error=True)
    assert first == -2 and second != second
    assert child.qualities(tmp_path, is_error=True, metric="loss")[0] == -3
    for head, metric, is_error in [
        ("classify", "auto", False),
        ("regress", "auto", True),
        ("multi_regress", "auto", True),
        ("multi_label", "auto", False),
        ("classify", "loss", True),
        ("regress", "macro_f1", False),
    ]:
        chosen = make(data="digits", head=head, metric=metric, output="x", backbone="small_cnn")
        assert child.is_error_judged(chosen, checks.resolve(chosen)) == is_error
