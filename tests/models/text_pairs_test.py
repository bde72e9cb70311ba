"""Examples that are two texts: from a table to training, prediction, the export and the client."""

import csv
import json

import numpy as np
import pandas
import pytest
import tensorflow as tf

import tltf
from tltf import evaluate, predict, train
from tltf.errors import DataError, FlagError
from tltf.models import raw_inputs
from tltf.serving import client

FIELDS = ("question", "the answer")
CALL = "csv(path={}, text=question|the answer)"


def pair_rows(count=48):
    """Rows of which the label says whether both texts have the same colour."""
    colours = np.random.default_rng(0).choice(["red", "blue"], (count, 2))
    for place, (first, second) in enumerate(colours):
        label = "same" if first == second else "other"
        yield f"is it {first} {place}", f"it is {second} {place}", label


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pairs.csv and a run that was trained on it."""
    folder = tmp_path_factory.mktemp("pairs")
    with open(folder / "pairs.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([(*FIELDS, "label"), *pair_rows()])
    flags = ["--backbone=small_lstm", "--method=scratch", "--train_epochs=1", "--baseline="]
    flags += ["--explain=none", "--calibrate=none"]
    data = "--data=" + CALL.format(folder / "pairs.csv")
    assert train.main([data, *flags, f"--output={folder / 'run'}"]) == 0
    return folder


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_tables_of_predictions_have_both_texts(place):
    judged = table(place / "run/predictions.csv")
    expected = ["id", *FIELDS, "content_digest", "true_label", "predicted_label"]
    assert list(judged[0])[:6] == expected
    argv = [f"--run={place / 'run'}", f"--input={place / 'pairs.csv'}", f"--output={place}/p.csv"]
    assert predict.main(argv) == 0
    made = {row["id"]: row for row in table(place / "p.csv")}
    assert len(made) == 48
    for row in judged:
        again = made[row["id"]]
        assert [again[name] for name in FIELDS] == [row[name] for name in FIELDS]
        assert again["predicted_label"] == row["predicted_label"]
        assert abs(float(again["probability_same"]) - float(row["probability_same"])) < 1e-5


def test_frames_rows_and_dicts_are_inputs(place):
    model = tltf.load(str(place / "run"))
    frame = pandas.DataFrame(table(place / "pairs.csv"))[["label", *reversed(FIELDS)]]
    expected = model.predict(frame)["predicted_label"].tolist()
    assert len(expected) == 48
    rows = list(zip(frame["question"], frame["the answer"], strict=True))
    assert [prediction.label for prediction in model.predict(rows)] == expected
    dicts = [dict(zip(FIELDS, row, strict=True)) for row in rows]
    assert [prediction.label for prediction in model.predict(dicts)] == expected
    assert [prediction.label for prediction in model.predict(rows[0])] == expected[:1]
    (blank,) = model.predict([("is it red", " ")])
    assert blank.error == "the answer: the text is empty"
    for wrong in ("one text", [("one",)], {"question": ["a"]}, ["a", "b"]):
        with pytest.raises(DataError):
            model.predict(wrong)


def test_the_export_takes_both_texts_by_name(place):
    (folder,) = (place / "run/export").iterdir()
    facts = json.loads((folder / "assets.extra/tltf.json").read_text(encoding="utf-8"))
    assert facts["inputs"] == ["question", "the_answer"]
    rows = table(place / "run/predictions.csv")
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    columns = [tf.constant([row[name] for row in rows]) for name in FIELDS]
    given = served(question=columns[0], the_answer=columns[1])["probabilities"].numpy()
    stated = [[float(row[f"probability_{name}"]) for name in ("other", "same")] for row in rows]
    np.testing.assert_allclose(given, stated, atol=1e-5)


def test_evaluate_wants_as_many_texts(place, capsys):
    run = f"--run={place / 'run'}"
    data = "--data=" + CALL.format(place / "pairs.csv")
    assert evaluate.main([run, data, f"--output={place / 'again'}"]) == 0
    one = f"--data=csv(path={place / 'pairs.csv'}, text=question)"
    assert evaluate.main([run, one, f"--output={place / 'one'}"]) == 2
    assert (
        "csv has 1 texts per row, the model takes 2: question, the answer"
        in capsys.readouterr().err
    )


def test_lines_of_text_are_not_pairs(place, capsys):
    (place / "lines.txt").write_text("is it red\n", encoding="utf-8")
    assert predict.main([f"--run={place / 'run'}", f"--input={place / 'lines.txt'}"]) == 2
    assert "several texts per input: question, the answer" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a|", "a|a", "id|b", "a|label"])
def test_names_that_cannot_be_told_apart_are_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text("a,id,label\n1,2,3\n", encoding="utf-8")
    from tltf.data import loader

    with pytest.raises(FlagError, match="cannot be the name of one of several texts"):
        loader.load(f"csv(path={tmp_path / 't.csv'}, text={text})")


def test_names_of_inputs_are_arguments_and_differ():
    names = raw_inputs.input_names(["a b", "a_b", "9", "class", "größe", "_"])
    assert len(set(names.values())) == 6 and all(name.isidentifier() for name in names.values())
    assert raw_inputs.input_names(["image"]) == {"image": "image_bytes"}


def test_the_client_sends_one_list_for_each_input():
    columns = client._columns({"question": ["a", "b"], "answer": ["c", "d"]})
    assert columns == {"question": ["a", "b"], "answer": ["c", "d"]}
    assert client._columns({"question": [], "answer": []}) == {}
    with pytest.raises(DataError, match="different lengths"):
        client._columns({"question": ["a"], "answer": []})
