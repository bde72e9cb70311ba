"""Rows of logs of predictions as answers, and logs of other runs, which are refused."""

import json
import pathlib

import numpy as np
import pytest

from tests.serving.monitoring import making
from tltf.errors import DataError, FlagError
from tltf.serving.monitoring import log_rows
from tltf.serving.monitoring.growing_file import Record
from tltf.serving.monitoring.log_rows import LogRows
from tltf.serving.monitoring.reference import About

CLASSES = making.a_reference().about
LOG = pathlib.Path("log")


def records(text, kind="csv"):
    lines = text.splitlines(keepends=True)
    header = lines.pop(0).encode() if kind == "csv" else b""
    return [Record(line.encode(), LOG, 0, header) for line in lines]


@pytest.mark.parametrize(("kind", "write"), [("csv", making.csv_rows), ("json", making.json_rows)])
def test_answers_are_those_of_the_log(kind, write):
    scores = making.probabilities(np.random.default_rng(0), 9)
    text = write(scores)
    assert log_rows.kind_of_log(text.splitlines()[0]) == kind
    found = LogRows(CLASSES, kind).read(records(text, kind))
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.given, scores.argmax(axis=1))
    assert found.num_bad == 0 and found.features is None and found.time == ""


@pytest.mark.parametrize(
    "line", ["a fine film", "id,text", '{"text": "predicted_label"}', "{", "", '["predicted_x"]']
)
def test_other_files_are_no_logs(line):
    assert log_rows.kind_of_log(line) == ""


def test_rows_with_an_error_or_that_cannot_be_read_are_bad():
    text = making.csv_rows(making.probabilities(np.random.default_rng(0), 3))
    text += "in:3,x,,,,,the text is empty\n" + "too,few\n" + 'a,"b"c,bad,1,1,0,\n'
    text += "in:4,x,bad,1,nan,0,\n" + "in:5,x,bad,1,many,0,\n"
    found = LogRows(CLASSES, "csv").read(records(text))
    assert len(found) == 3 and found.num_bad == 5
    text = making.json_rows(making.probabilities(np.random.default_rng(0), 3)) + "{broken\n[]\n"
    found = LogRows(CLASSES, "json").read(records(text, "json"))
    assert len(found) == 3 and found.num_bad == 2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("probability_good", "probability_ugly"), "it has no probability_good"),
        (("predicted_label", "predicted_value"), "it has no predicted_label"),
        ((",bad,", ",ugly,"), "'ugly' is none of the run's classes"),
    ],
)
def test_a_log_of_another_run_is_refused(change, what):
    scores = np.array([[0.9, 0.1]], np.float32)
    text = making.csv_rows(scores).replace(*change)
    with pytest.raises(DataError, match=what) as error:
        LogRows(CLASSES, "csv").read(records(text))
    assert error.value.fix


def test_json_of_other_classes_is_refused():
    row = {"predicted_label": "cat", "probabilities": {"cat": 1.0, "dog": 0.0}, "error": ""}
    with pytest.raises(DataError, match="its probabilities are not those of the run's bad, good"):
        LogRows(CLASSES, "json").read(records(json.dumps(row) + "\n", "json"))


def test_labels_and_numbers():
    labels = About("labels", "labels", "probabilities", ("pa", "pb"), ("a", "b"), "test", 9, "")
    text = "predicted_labels,pa,pb\na|b,.9,.8\n,.1,.2\n"
    found = LogRows(labels, "csv").read(records(text))
    np.testing.assert_array_equal(found.given, [[True, True], [False, False]])
    row = {"predicted_labels": ["b"], "probabilities": {"a": 0.1, "b": 0.7}}
    found = LogRows(labels, "json").read(records(json.dumps(row), "json"))
    np.testing.assert_array_equal(found.given, [[False, True]])
    number = About("number", "value", "quantiles", ("q1", "q2"), ("value",), "test", 9, "")
    row = {"predicted_value": 2.5, "quantiles": {"0.1": 1.0, "0.5": 2.5}}
    found = LogRows(number, "json").read(records(json.dumps(row), "json"))
    np.testing.assert_array_equal(found.given, [[2.5]])
    np.testing.assert_array_equal(found.scores, [[1.0, 2.5]])
    two = About("numbers", "values", "quantiles", ("x1", "y1"), ("x", "y"), "test", 9, "")
    row = {
        "predicted_values": {"x": 1.5, "y": 3},
        "quantiles": {"x": {"0.5": 1.5}, "y": {"0.5": 3}},
    }
    found = LogRows(two, "json").read(records(json.dumps(row), "json"))
    np.testing.assert_array_equal(found.given, [[1.5, 3]])
    with pytest.raises(DataError, match="is not 1 numbers"):
        LogRows(number, "csv").read(records("predicted_value,q1,q2\nmany,1,2\n"))


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00+00:00"),
        ("2026-03-01 12:00", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("1772366400", "2026-03-01T12:00:00+00:00"),
        (1772366400123, "2026-03-01T12:00:00+00:00"),
        ("yesterday", ""),
        ("12", ""),
        (None, ""),
    ],
)
def test_times(value, time):
    assert log_rows.time_of({"text": "x", "timestamp": value}) == time
    assert log_rows.time_of({"text": "x", "seen": value}, "seen") == time


def test_a_column_of_the_time_that_is_not_there():
    with pytest.raises(FlagError, match="there is no column 'seen'"):
        log_rows.time_of({"text": "x"}, "seen")


def test_the_time_is_that_of_the_last_row():
    scores = making.probabilities(np.random.default_rng(0), 2)
    text = making.csv_rows(scores, time=["2026-03-01", "2026-03-02"])
    assert LogRows(CLASSES, "csv").read(records(text)).time == "2026-03-02T00:00:00+00:00"
