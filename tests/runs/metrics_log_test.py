"""metrics.jsonl survives kills, repeats and numbers that are not numbers."""

import json

import numpy as np
import pytest

from tltf.errors import StorageError
from tltf.runs import metrics_log


def test_rows_are_on_disk_at_once_and_appended(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    log = metrics_log.MetricsLog(path)
    log.write({"phase": "full", "epoch": 1, "loss": np.float32(0.5), "val_loss": float("nan")})
    assert json.loads(path.read_text()) == {
        "phase": "full",
        "epoch": 1,
        "loss": 0.5,
        "val_loss": None,
    }
    log.close()
    again = metrics_log.MetricsLog(path)
    again.write({"phase": "full", "epoch": 2, "loss": 0.25})
    again.close()
    assert [row["epoch"] for row in metrics_log.read(path)] == [1, 2]


def test_a_line_cut_short_is_dropped_on_resume(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"phase": "a", "epoch": 1}\n{"phase": "a", "ep')
    assert metrics_log.read(path) == [{"phase": "a", "epoch": 1}]
    log = metrics_log.MetricsLog(path)
    log.write({"phase": "a", "epoch": 2})
    log.close()
    assert [row["epoch"] for row in metrics_log.read(path)] == [1, 2]


def test_a_repeated_epoch_counts_once_with_its_last_values(tmp_path):
    log = metrics_log.MetricsLog(tmp_path / "metrics.jsonl")
    for phase, epoch, loss in [("a", 1, 3.0), ("a", 2, 2.0), ("a", 2, 1.5), ("b", 1, 1.0)]:
        log.write({"phase": phase, "epoch": epoch, "loss": loss})
    log.close()
    assert [row["loss"] for row in metrics_log.read(log.path)] == [3.0, 1.5, 1.0]


def test_an_epoch_that_is_run_again_takes_its_place(tmp_path):
    """The file is that of a run which was never interrupted: no line stands in it twice."""
    path = tmp_path / "metrics.jsonl"
    rows = [
        {"phase": phase, "epoch": epoch, "loss": 1 / epoch} for phase in "ab" for epoch in (1, 2, 3)
    ]
    for count, first in ((5, 0), (5, 2), (4, 1), (6, 3)):  # kills after so many lines, resumes
        log = metrics_log.MetricsLog(path)
        for row in rows[first:count]:
            log.write(row)
        log.close()
        assert [json.loads(line) for line in path.read_text().splitlines()] == rows[:count]


def test_lines_that_are_no_epochs_stay(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('[1]\nnote\n{"phase": "a", "epoch": 1}\n{"phase": "a", "epoch": 1}\n')
    log = metrics_log.MetricsLog(path)
    log.write({"phase": "a", "epoch": 1, "loss": 2.0})
    log.close()
    assert path.read_text() == '[1]\nnote\n{"phase": "a", "epoch": 1, "loss": 2.0}\n'


def test_missing_is_empty_and_nonsense_is_an_error(tmp_path):
    assert metrics_log.read(tmp_path / "none.jsonl") == []
    path = tmp_path / "metrics.jsonl"
    path.write_text('[1]\n{"epoch": 1}\n')
    with pytest.raises(StorageError, match=r"metrics\.jsonl:1"):
        metrics_log.read(path)
    with pytest.raises(StorageError, match="cannot be written"):
        metrics_log.MetricsLog(path / "below" / "metrics.jsonl")
