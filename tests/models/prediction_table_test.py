"""The table reads back, with every character of the texts."""

import csv

import numpy as np
import pytest

from tltf.errors import ShapeError
from tltf.models import prediction_table


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_read_back_to_the_last_bit(tmp_path):
    texts = ['said "no", twice', "two\nlines\r\nand more", "emoji \U0001f600; comma, tab\t"]
    stated = np.random.default_rng(0).dirichlet([1, 1], 3).astype(np.float32)
    path = tmp_path / "predictions.csv"
    names = ["neg, ative", "positive"]
    answers = [names[i] for i in stated.argmax(axis=1)]
    truths = ["neg, ative", "positive", "neg, ative"]
    table = prediction_table.Table(["a", "b", "c"], {"text": texts}, truths, answers, stated)
    columns = [f"probability_{name}" for name in names]
    prediction_table.write(path, table, columns)
    rows = read(path)
    assert list(rows[0]) == [
        "id",
        "text",
        "true_label",
        "predicted_label",
        "probability_neg, ative",
        "probability_positive",
    ]
    assert [row["text"] for row in rows] == texts
    assert [row["true_label"] for row in rows] == ["neg, ative", "positive", "neg, ative"]
    columns = [[float(row[k]) for row in rows] for k in list(rows[0])[4:]]
    np.testing.assert_array_equal(np.array(columns, np.float32).T, stated)
    assert [row["predicted_label"] for row in rows] == answers
    old = path.read_text(encoding="utf-8").replace("true_label,predicted_label", "label,predicted")
    (tmp_path / "old.csv").write_text(old, encoding="utf-8")
    before, _ = prediction_table.read(tmp_path / "old.csv")
    again, names = prediction_table.read(path)
    assert (before.truths, before.answers) == (again.truths, again.answers), "of earlier versions"
    assert names == list(rows[0])[4:]
    assert (again.contents, again.truths, again.answers) == ({"text": texts}, truths, answers)
    both = prediction_table.join_tables([again, again])
    assert both.ids == ["a", "b", "c"] * 2 and len(both.values) == 6


def test_unlabelled_rows_and_names_that_are_no_utf8(tmp_path):
    path = tmp_path / "predictions.csv"
    table = prediction_table.Table(
        ["\udcff.png"], {"path": ["\udcff.png"]}, None, ["b"], [[0.25, 0.75]]
    )
    prediction_table.write(path, table, ["probability_a", "probability_b"])
    (row,) = read(path)
    assert row == {
        "id": "\\udcff.png",
        "path": "\\udcff.png",
        "true_label": "",
        "predicted_label": "b",
        "probability_a": "0.25",
        "probability_b": "0.75",
    }


def test_lengths_must_fit(tmp_path):
    table = prediction_table.Table(["a", "b"], {"text": ["t"]}, None, ["x"], [[1.0]])
    with pytest.raises(ShapeError, match="2 ids, 1 text, 2 labels, 1 answers, 1 values"):
        prediction_table.write(tmp_path / "p.csv", table, ["probability_x"])
    assert not (tmp_path / "p.csv").exists()
