import json

from tltf import data_report
from tltf.data import checks


def test_every_row_that_is_not_used_has_a_line(tmp_path):
    scan = checks.Scan("made")
    scan.num_found = 200
    for row in range(60):
        scan.skip(f"a.csv:{row}", "has no label")
    scan.exclude("b\n\udcff.png", "its content is in the test split too")
    data_report.write(tmp_path, scan.finish(0.5))
    text = (tmp_path / "data_report.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["id"] for row in rows] == [f"a.csv:{n}" for n in range(60)] + ["b\n\udcff.png"]
    assert rows[59] == {"id": "a.csv:59", "what": "skipped", "reason": "has no label"}
    assert rows[60]["what"] == "excluded"


def test_without_such_rows_the_file_is_empty(tmp_path):
    data_report.write(tmp_path, {"found": 3})
    assert (tmp_path / "data_report.jsonl").read_text() == ""
