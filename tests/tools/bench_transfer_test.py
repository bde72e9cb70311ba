"""The pure parts of the bench; what it measures is not a test's business."""

import dataclasses
import importlib
import pathlib
import subprocess
import sys

import pytest

from tltf.config import flagfiles, options

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(name="load")
def _load(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module


def rows(*seconds, **more):
    return [{"seconds": value, **more} for value in seconds]


def test_ratios_are_of_pairs_in_the_direction_of_the_gate(load):
    benching = load("benching")
    ours, others = rows(1.0, 2.0, 4.0), rows(10.0, 10.0, 80.0)  # ratios 10, 5, 20
    faster = benching.comparison("w", "keras", benching.Gate(">=", 9), ours, others)
    assert faster[2:5] == ["10.00 (5.00 to 20.00)", ">= 9", "met"]
    cost = benching.comparison("w", "floor", benching.Gate("<=", 1.35), others, ours)
    assert cost[2:5] == ["10.00 (5.00 to 20.00)", "<= 1.35", "missed"]
    assert cost[6] == "10 / 2"


def test_without_a_gate_there_is_no_verdict(load):
    benching = load("benching")
    line = benching.comparison("w", "sklearn", benching.Gate(">="), rows(1.0), rows(2.0))
    assert line[3:5] == ["", ""]


def test_what_is_faster_but_worse_has_missed_the_gate(load):
    benching = load("benching")
    gate = benching.Gate(">=", 2)
    for accuracy, verdict in ((0.80, "met"), (0.795, "met"), (0.78, "missed: less accurate")):
        ours, others = rows(1.0, accuracy=accuracy), rows(4.0, accuracy=0.8)
        assert benching.comparison("w", "keras", gate, ours, others)[4] == verdict


def test_fields_that_a_side_does_not_have_stay_blank(load):
    benching = load("benching")
    ours = rows(1.0, accuracy=0.5, peak_mb=100.0)
    assert benching.both(ours, rows(2.0), "accuracy", ".3f") == "0.500 / "


def test_memory_is_compared_by_its_own_field(load):
    benching = load("benching")
    line = benching.comparison(
        "w",
        "small",
        benching.Gate("<=", 1.3),
        [{"peak_mb": 1200.0}],
        [{"peak_mb": 1000.0}],
        "peak_mb",
    )
    assert line[2:5] == ["1.20 (1.20 to 1.20)", "<= 1.3", "met"]


def test_every_other_pair_goes_backwards(load):
    in_turn = load("benching").in_turn
    assert [in_turn("abc", pair) for pair in range(3)] == [list("abc"), list("cba"), list("abc")]


def test_a_line_fills_the_table(load):
    benching, measuring = load("benching"), load("measuring")
    line = benching.comparison("w", "keras", benching.Gate(">=", 9), rows(1.0), rows(2.0))
    header, rule, row = measuring.table(benching.HEADER, [line]).splitlines()
    assert header.count("|") == rule.count("|") == row.count("|")


@pytest.mark.parametrize("row", ["images_probe", "text_probe", "text_last2", "text_full"])
def test_tltf_takes_the_flags_of_the_work(load, row):
    template, gates = load("bench_transfer").COMPARED[row]
    chosen, _ = flagfiles.parse(options.Options, [*template.flags(), "--output=x"])
    assert chosen.train.train_epochs == template.epochs
    assert chosen.train.method == template.method
    assert set(gates) <= set(load("bench_transfer").SCRIPTS)


def test_work_survives_the_command_line(load, monkeypatch):
    work = load("bench_work")
    wanted = dataclasses.replace(load("bench_transfer").FULL, seed=3, data="a folder")
    monkeypatch.setattr(sys, "argv", ["script", wanted.text()])
    assert work.read_work() == wanted


MEASURING = """
import subprocess
import sys
sys.path.insert(0, sys.argv[1])
import benching
program = "x = bytearray(200 * 2**20); x[::4096] = b'1' * len(x[::4096]); print('done')"
text, peak_mb = benching.run_process([sys.executable, "-c", program])
print(text.strip(), peak_mb)
"""


def test_a_process_tells_its_own_peak():
    """From a small process, as the bench is one: a child's peak begins with its parent's size."""
    command = [sys.executable, "-c", MEASURING, str(TOOLS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    text, peak_mb = done.stdout.split()
    assert text == "done" and 200 < float(peak_mb) < 400


def test_forgetting_features_leaves_the_assets(load, tmp_path):
    (tmp_path / "real" / "assets" / "a").mkdir(parents=True)
    (tmp_path / "real" / "features").mkdir()
    cache = load("benching").Cache(tmp_path / "own", tmp_path / "real")
    (cache.folder / "features").mkdir()
    cache.forget()
    assert not (cache.folder / "features").exists()
    assert (cache.folder / "assets" / "a").is_dir()
    assert (tmp_path / "real" / "features").is_dir()
