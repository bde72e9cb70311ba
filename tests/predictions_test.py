"""The table reads back, with every character of the texts."""

import csv

import numpy as np
import pytest

from tltf import predictions
from tltf.errors import ShapeError


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_read_back_to_the_last_bit(tmp_path):
    texts = ['said "no", twice', "two\nlines\r\nand more", "emoji \U0001f600; comma, tab\t"]
    stated = np.random.default_rng(0).dirichlet([1, 1], 3).astype(np.float32)
    path = tmp_path / "predictions.csv"
    predictions.write_predictions(
        path, ["a", "b", "c"], [0, 1, 0], stated, ["neg, ative", "positive"], "text", texts
    )
    rows = read(path)
    assert list(rows[0]) == [
        "id", "text", "label", "predicted", "probability_neg, ative", "probability_positive"
    ]  # fmt: skip
    assert [row["text"] for row in rows] == texts
    assert [row["label"] for row in rows] == ["neg, ative", "positive", "neg, ative"]
    columns = [[float(row[k]) for row in rows] for k in list(rows[0])[4:]]
    np.testing.assert_array_equal(np.array(columns, np.float32).T, stated)
    names = ["neg, ative", "positive"]
    assert [row["predicted"] for row in rows] == [names[i] for i in stated.argmax(axis=1)]


def test_unlabelled_rows_and_names_that_are_no_utf8(tmp_path):
    path = tmp_path / "predictions.csv"
    predictions.write_predictions(
        path, ["\udcff.png"], None, [[0.25, 0.75]], ["a", "b"], "path", ["\udcff.png"]
    )
    (row,) = read(path)
    assert row == {
        "id": "\\udcff.png",
        "path": "\\udcff.png",
        "label": "",
        "predicted": "b",
        "probability_a": "0.25",
        "probability_b": "0.75",
    }


def test_lengths_must_fit(tmp_path):
    with pytest.raises(ShapeError, match="2 ids, 1 text, 1 probabilities"):
        predictions.write_predictions(
            tmp_path / "p.csv", ["a", "b"], None, [[1.0]], ["x"], "text", ["t"]
        )
    assert not (tmp_path / "p.csv").exists()
