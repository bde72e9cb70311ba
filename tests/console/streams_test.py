"""A training goes on when nobody reads what it prints."""

import os
import pathlib
import pty
import signal
import subprocess
import sys

import pytest

from tests.console.signals_test import ROOT, train
from tltf.console import streams
from tltf.runs import folder

SCRIPT = """
import os, signal, sys, time
from tltf.console import streams
with streams.survive_closed_output(sys.argv[1]):
    print("first", flush=True)
    if sys.argv[2] == "hangup":
        print("ready", file=sys.stderr, flush=True)
    time.sleep(1.0)
    for number in range(3):
        print("out", number, flush=number == 0)
        print("err", number, file=sys.stderr)
    os.write(1, b"from a library\\n")
print("done", flush=True)
(open(sys.argv[1] + "/finished", "w") if sys.argv[1] else sys.stdout).close()
"""
OUT, ERR = ["out 0", "out 1", "out 2"], ["err 0", "err 1", "err 2"]


def lines_of(path):
    return sorted(path.read_text().splitlines())


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_leads_into_the_log(tmp_path, monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), "pipe"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout.readline() == b"first\n"
    child.stdout.close()
    assert child.wait(timeout=30) == 0 and (tmp_path / "finished").exists()
    expected = sorted([*OUT, *ERR, "from a library", "done"])
    assert lines_of(tmp_path / streams.LOG) == expected, "each line once"


@pytest.mark.parametrize("folder", ["", "/no/such/folder"])
def test_without_a_folder_the_rest_goes_nowhere(folder):
    command = [sys.executable, "-c", SCRIPT.rpartition("(open")[0], folder, "pipe"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    _, said = child.communicate(timeout=30)
    assert child.returncode == 0 and said.decode().splitlines() == ERR


def test_a_terminal_that_hangs_up_leads_into_the_log(tmp_path):
    """The kernel sends SIGHUP to the terminal's session, and every write to it fails with EIO."""
    child, master = pty.fork()
    if not child:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", SCRIPT, str(tmp_path), "hangup"])
    seen = b""
    while b"ready\r\n" not in seen:  # its newline is a write of its own
        seen += os.read(master, 1000)
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    expected = sorted([*OUT, *ERR, "from a library", "done"])
    assert lines_of(tmp_path / streams.LOG) == expected


def test_other_faults_of_a_stream_are_not_hidden(tmp_path, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left"), streams.survive_closed_output(tmp_path):
            print("text", flush=True)
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_streams_and_handler_are_put_back(tmp_path):
    before = sys.stdout, sys.stderr, signal.getsignal(signal.SIGHUP)
    with streams.survive_closed_output(tmp_path):
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGHUP)
    assert (sys.stdout, sys.stderr, signal.getsignal(signal.SIGHUP)) == before


@pytest.mark.large
@pytest.mark.parametrize("which", ["stdout", "both"])
def test_a_training_whose_pipe_is_closed_finishes(tmp_path, which):
    """`python -m tltf.train ... | head -1`, and with 2>&1."""
    run = tmp_path / "run"
    joined = "2>&1 |" if which == "both" else "2>/dev/null |"
    command = " ".join(f"'{part}'" for part in train(run, "--export=false"))
    pipeline = f"set -o pipefail; {command} {joined} head -1"
    done = subprocess.run(
        ["bash", "-c", pipeline], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert folder.read_status(run) == "finished"
    assert len(done.stdout.splitlines()) == 1
    if which == "both":
        log = (run / streams.LOG).read_text()
        assert "\n  5/5 " in log and "report.html" in log


@pytest.mark.large
def test_a_training_survives_the_end_of_its_terminal(tmp_path):
    run = tmp_path / "run"
    child, master = pty.fork()
    if not child:
        os.chdir(ROOT)
        os.execv(sys.executable, train(run, "--export=false"))
    seen = b""
    while b"\ntrains " not in seen:  # what comes before the first step
        seen += os.read(master, 10_000)
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert folder.read_status(run) == "finished"
    assert "report.html" in pathlib.Path(run, streams.LOG).read_text()
