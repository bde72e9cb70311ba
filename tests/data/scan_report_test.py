import json

import pytest

from tltf.data import row_scan, scan_report
from tltf.data.source import ScanCounts
from tltf.errors import DataError, FlagError


def test_every_row_that_is_not_used_has_a_line(tmp_path):
    scan = row_scan.Scan("made")
    scan.num_found = 200
    for row in range(60):
        scan.skip(f"a.csv:{row}", "has no label")
    scan.exclude("b\n\udcff.png", "its content is in the test split too")
    scan_report.write(tmp_path, scan.finish(0.5))
    text = (tmp_path / "data_report.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["id"] for row in rows] == [f"a.csv:{n}" for n in range(60)] + ["b\n\udcff.png"]
    assert rows[59] == {"id": "a.csv:59", "what": "skipped", "reason": "has no label"}
    assert rows[60]["what"] == "excluded"


def test_without_such_rows_the_file_is_empty(tmp_path):
    scan_report.write(tmp_path, ScanCounts(found=3, used=3))
    assert (tmp_path / "data_report.jsonl").read_text() == ""


def test_an_error_of_the_data_is_listed_and_others_are_not(tmp_path):
    with pytest.raises(FlagError), scan_report.write_on_failure(tmp_path / "flag"):
        raise FlagError("no such flag", flag="data")
    assert not (tmp_path / "flag").exists()
    with pytest.raises(DataError), scan_report.write_on_failure(tmp_path / "data"):
        raise DataError("is damaged", flag="data", place="a.npz", fix="copy it again")
    row = json.loads((tmp_path / "data/data_report.jsonl").read_text())
    assert row == {"id": "a.npz", "what": "fault", "reason": "is damaged", "fix": "copy it again"}


def test_the_error_of_the_data_is_told_where_the_report_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with (
        pytest.raises(DataError, match="is damaged"),
        scan_report.write_on_failure(tmp_path / "taken"),
    ):
        raise DataError("is damaged", flag="data")
    assert (tmp_path / "taken").read_text() == "mine"
