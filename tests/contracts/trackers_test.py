"""Every tracker begins a run, takes an epoch twice, stops, goes on under the same id, and ends."""

import dataclasses

import pytest

from tests.contracts.given import parameters
from tltf.config import call_strings
from tltf.config.catalogs import TRACKERS
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments.tracking.tracker import EpochRow, FinishedRun, TrackedRun


@pytest.mark.parametrize("text", parameters("trackers"))
def test_a_tracked_run_may_stop_and_goes_on_to_its_end(text, tmp_path, monkeypatch):
    call = call_strings.pick(TRACKERS, text)
    pytest.importorskip(call.row.package)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.md").write_text("# Report", encoding="utf-8")
    flags = {"learning_rate": 0.1, "batch_size": None, "title": "", "export": True}
    run = TrackedRun("a run", tmp_path, flags)
    epoch = EpochRow(1, "full", {"loss": 0.5, "step": 3.0})
    first = call.build()
    place = first.start(run)
    first.log_epoch(epoch)
    first.finish(None)
    again = call.build()
    assert place.id and place.text
    assert again.start(dataclasses.replace(run, id=place.id)).id == place.id
    again.log_epoch(epoch)
    report = Report(test=SplitMetrics({"accuracy": 0.5}, 4, intervals={"accuracy": [0.2, 0.8]}))
    again.finish(FinishedRun(report, tmp_path))
