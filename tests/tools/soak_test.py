"""The soak's bookkeeping, on made-up processes; and what a pair of the checkpoint benchmark says."""

import importlib
import json
import signal
import types

import pytest

from tests.tools.bench_transfer_test import TOOLS


@pytest.fixture(name="soak")
def _soak(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("soak")


def killed(**more):
    return {
        "name": "full",
        "code": -signal.SIGKILL,
        "lost": 7,
        "fault": "",
        "seconds": 2.0,
        "is_over": False,
        "training": 0,
    } | more


class Work:
    """Ends a training with each third kill's process; counts what was asked for."""

    def __init__(self, notebook):
        self.notebook, self.asked = notebook, []

    def kill(self, number, training, name):
        self.asked.append(("kill", number, training, name))
        over = {"code": 0, "is_over": True, "is_equal": True, "lost": 0} if number % 3 == 2 else {}
        return killed(name=name, training=training) | over

    def end(self, training, name):
        self.asked.append(("end", training, name))
        return killed(name=name, training=training, code=0, is_over=True, is_equal=True, lost=0)


def test_trainings_take_turns_and_a_stopped_soak_goes_on(soak, tmp_path):
    path = tmp_path / "soak.jsonl"
    work = Work(soak.measuring.Notebook(path))
    rows = soak.soak(work, 5)
    names = list(soak.TRAININGS)
    assert [row["name"] for row in rows] == [names[0]] * 3 + [names[1]] * 3 + [names[2]] * 2
    assert sum(row["code"] == -signal.SIGKILL for row in rows) == 5
    assert work.asked[-1] == ("end", 2, names[2]), "the last training is let go to its end"
    again = Work(soak.measuring.Notebook(path))
    timeless = [{k: v for k, v in row.items() if k != "key"} for row in rows]
    assert [{k: v for k, v in row.items() if k != "key"} for row in soak.soak(again, 5)] == timeless
    assert not again.asked
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:4]) + "\n")
    rest = Work(soak.measuring.Notebook(path))
    soak.soak(rest, 5)
    assert [json.loads(line)["key"] for line in lines[:4]] == [f"kill {n}" for n in range(4)]
    assert [ask[1] for ask in rest.asked[:2]] == [4, 5]


def test_a_line_counts_what_was_lost(soak):
    rows = [
        killed(),
        killed(lost=12),
        killed(code=0, is_over=True, is_equal=True, lost=0),
        killed(is_over=True, is_equal=False),
        killed(fault="damaged"),
    ]
    assert soak.line("full", rows) == ["full", 4, 2, 1, 12, 50, "1 of 2", "2.0"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({}, 0),
        ({"lost": 50}, 0),
        ({"lost": 51}, 1),
        ({"fault": "damaged"}, 1),
        ({"is_over": True, "is_equal": False}, 1),
    ],
)
def test_what_was_lost_ends_the_script_with_1(soak, tmp_path, monkeypatch, row, code):
    monkeypatch.setattr(soak, "soak", lambda work, count: [killed(), killed(**row)])
    monkeypatch.setattr("sys.argv", ["soak.py", f"--folder={tmp_path}"])
    assert soak.main() == code


def test_steps_beyond_an_epoch_are_told(soak, tmp_path):
    assert soak.lost_steps(tmp_path) == 0
    (tmp_path / "steps").write_bytes((41).to_bytes(8, "little"))
    assert soak.lost_steps(tmp_path) == 41


def test_a_killed_run_is_read_as_the_next_command_reads_it(soak, tmp_path):
    (tmp_path / soak.OUTPUT).write_text("tltf: error[4]")
    assert "error[4]" in soak.fault(tmp_path, 4)
    assert soak.fault(tmp_path, -signal.SIGKILL) == ""
    (tmp_path / "run/checkpoints/000000005").mkdir(parents=True)
    assert "000000005 is damaged" in soak.fault(tmp_path, -signal.SIGKILL)


def test_the_ratio_of_a_pair_is_of_its_own_sides(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    bench = importlib.import_module("bench_checkpoints")
    pairs = [
        {
            "with": {
                "seconds": ours,
                "saves": types.SimpleNamespace(seconds=1.0, count=4, num_bytes=2**20),
            },
            "without": {"seconds": other},
        }
        for ours, other in ((11, 10), (24, 20), (13, 10))
    ]
    assert bench.line(pairs) == [
        3,
        "1.200 (1.100 to 1.300)",
        "13.00 / 10.00",
        4,
        "1.00",
        "250.0",
        "7.69%",
    ]
