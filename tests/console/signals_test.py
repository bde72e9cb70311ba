"""SIGTERM and SIGINT: in order within seconds, at once the second time, and nothing is lost."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tltf.console import signals

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = """
import sys, time
from tltf.console import signals
signals.GRACE_S = 2.0
try:
    with signals.handle_signals():
        {body}
except KeyboardInterrupt:
    print("raised", flush=True)
    sys.exit(75)
"""


def started(body):
    command = [sys.executable, "-c", SCRIPT.format(body=body)]
    child = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_outside_of_training_a_signal_raises(number):
    child = started("print('ready', flush=True); time.sleep(60)")
    child.send_signal(number)
    out, _ = child.communicate(timeout=10)
    assert (child.returncode, out) == (75, "raised\n")


def test_while_it_is_put_off_it_is_noted():
    child = started(
        "ready = signals.defer_signals(); ready.__enter__(); print('ready', flush=True)\n"
        "        while not signals.is_end_requested(): time.sleep(.01)\n"
        "        print('noted', flush=True); ready.__exit__(None, None, None); sys.exit(3)"
    )
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=10)
    assert (child.returncode, out) == (75, "noted\nraised\n"), "and raised at the block's end"


def test_a_main_thread_that_never_looks_is_ended_all_the_same():
    """One long call into C: no handler runs before it returns, as in TensorFlow."""
    child = started(
        "import hashlib; print('ready', flush=True)\n"
        "        hashlib.pbkdf2_hmac('sha512', b'x', b'y', 50_000_000)"
    )
    time.sleep(1.0)
    start = time.monotonic()
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 75 and 1.5 < time.monotonic() - start < 8
    assert "interrupted, and busy for 2 s" in said


def test_the_second_signal_ends_at_once():
    child = started(
        "ready = signals.defer_signals(); ready.__enter__(); signals.GRACE_S = 50.0\n"
        "        print('ready', flush=True); time.sleep(60)"
    )
    child.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    start = time.monotonic()
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=10)
    assert child.returncode == 75 and time.monotonic() - start < 2


def test_a_signal_does_not_outlive_its_command():
    with pytest.raises(KeyboardInterrupt), signals.handle_signals():
        signal.raise_signal(signal.SIGTERM)
    assert not signals.is_end_requested()
    with signals.defer_signals():
        pass


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with signals.handle_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def train(run, *more):
    flags = [
        "--data=digits(num_train=200, num_test=100)",
        "--backbone=small_cnn(filters=[8, 8])",
        "--method=full",
        "--train_epochs=5",
        "--batch_size=4",
        f"--output={run}",
        *more,
    ]
    return [sys.executable, "-m", "tltf.train", *flags]


def fingerprint(run):
    (weights,) = run.glob("model/v*/core.safetensors")
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return hashlib.sha256(weights.read_bytes()).hexdigest(), timeless


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.large)]
)
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(tmp_path, number):
    """Killed while its third checkpoint gets its name, then stopped in the next epoch."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    settings = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True}
    whole = subprocess.run(train(tmp_path / "whole", "--export=false"), **settings)
    assert whole.returncode == 0, whole.stderr
    flags = train(tmp_path / "cut", "--export=false")[3:]
    point = ["-m", "tests.killed_training_script", "the checkpoint gets its name", "--", *flags]
    killed = subprocess.run([sys.executable, *point], **settings)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "cut/checkpoints/000000150").exists()
    child = subprocess.Popen(
        train(tmp_path / "cut", "--export=false"),
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    while not (tmp_path / "cut/checkpoints/000000150").exists():
        time.sleep(0.01)
        assert child.poll() is None
    start = time.monotonic()
    child.send_signal(number)
    _, said = child.communicate(timeout=30)
    if number == signal.SIGTERM:
        assert child.returncode == 75 and time.monotonic() - start < 12
        assert "error[75] interrupted" in said and "Traceback" not in said
    again = subprocess.run(train(tmp_path / "cut", "--export=false"), **settings)
    assert again.returncode == 0, again.stderr
    assert fingerprint(tmp_path / "cut") == fingerprint(tmp_path / "whole")
