"""The last lines of a run: numbers that fit 80 columns, and commands that can be copied."""

import pathlib
import shlex

import pytest

from tltf.evaluation.baseline_row import BaselineRow, Gain, PairedDifference
from tltf.evaluation.report import terminal
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics

METRICS = SplitMetrics(
    {"accuracy": 0.9, "loss": 0.3, "macro_f1": 0.88}, 200, intervals={"accuracy": [0.85, 0.94]}
)


def report(probe=False):
    gain = PairedDifference({"accuracy": Gain(0.1, [0.05, 0.15])})
    chosen = {"is_probe": True} if probe else {}
    row = BaselineRow(SplitMetrics({"accuracy": 0.8}), chosen, gain=gain)
    return Report(
        test=METRICS,
        baselines={"logistic_regression": row},
        time_s={"total": 320.0, "train": 268.0},
    )


def test_numbers_that_do_not_fit_a_line_stand_in_aligned_rows(monkeypatch):
    monkeypatch.setattr(terminal, "TEXT", 100)
    assert len(terminal.score_lines("test", METRICS)) == 1
    monkeypatch.setattr(terminal, "TEXT", 20)
    first, *rows = terminal.score_lines("test", METRICS)
    assert first == "test       90.0% accuracy (85.0% to 94.0%), 200 examples"
    assert [row.split() for row in rows] == [["macro", "F1", "0.880"], ["loss", "0.300"]]
    assert len({len(row) for row in rows}) == 1


def test_the_commands_can_be_copied(tmp_path):
    run = tmp_path / "my run"
    (run / "export/1").mkdir(parents=True)
    text = terminal.closing_text(report(), run)
    assert "time       5 min 20 s, 4 min 28 s of it training" in text
    serve = next(line for line in text.splitlines() if line.startswith("serve"))
    words = shlex.split(serve)[1:]
    assert words[:3] == ["docker", "run", "-p"]
    assert f"{run}/export:/models/my_run" in words and "MODEL_NAME=my_run" in words
    predict = next(line for line in text.splitlines() if line.startswith("predict"))
    assert f"--run={run}" in shlex.split(predict)
    assert f"python     model = tltf.load({str(run)!r})" in text


def test_the_probe_is_said_once_with_what_fine_tuning_added(tmp_path):
    text = terminal.closing_text(report(probe=True), tmp_path)
    assert "probe      Probe 80.0%, after fine-tuning 90.0% accuracy: +10.0 points (+5.0 to" in text
    assert "probe " not in terminal.closing_text(report(), tmp_path)


@pytest.mark.parametrize(
    ("is_terminal", "term"), [(True, "xterm"), (True, "dumb"), (False, "xterm")]
)
def test_the_report_is_a_link_where_a_terminal_knows_links(monkeypatch, is_terminal, term):
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    monkeypatch.setenv("TERM", term)
    shown = terminal.link(pathlib.Path("/runs/a b/report.html"))
    if is_terminal and term != "dumb":
        assert "\x1b]8;;file:///runs/a%20b/report.html\x1b\\/runs/a b/report.html" in shown
    else:
        assert shown == "/runs/a b/report.html"
