"""Labelling on a terminal: rounds, answers that are written at once, and a killed session that goes on."""

import csv

import numpy as np
import pytest

import tltf
from tltf import label
from tltf.active_learning import terminal
from tltf.config import options as option_values
from tltf.config.label_options import LabelOptions
from tltf.data import loader, run_data
from tltf.errors import DataError, FlagError

WORDS = {"good": ["fine", "great", "warm"], "bad": ["dull", "long", "waste"]}


def write_texts(path, start, count, with_labels):
    rows = [["text", "label"] if with_labels else ["text"]]
    for number in range(start, start + count):
        name = ("good", "bad")[number % 2]
        text = f"{WORDS[name][number % 3]} film number {number}"
        rows.append([text, name] if with_labels else [text])
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelling")
    write_texts(folder / "old.csv", 0, 40, True)
    write_texts(folder / "pool.csv", 100, 30, False)
    write_texts(folder / "both.csv", 38, 30, True)
    tltf.fit(
        f"csv(path={folder}/old.csv, text=text, label=label)",
        output=folder / "run",
        backbone="small_lstm",
        method="linear_probe",
        train_epochs=1,
        baseline="none",
        explain="none",
        quiet=True,
    )
    return folder


def chosen(folder, output, **values):
    given = {"run": f"{folder}/run", "pool": f"{folder}/pool.csv", "per_round": 4, "output": output}
    return option_values.make(
        LabelOptions,
        **{k: v if isinstance(v, int) else str(v) for k, v in (given | values).items()},
    )


def answering(*answers):
    """A person who writes these lines, and is then gone."""
    remaining = iter(answers)

    def read(prompt):
        try:
            return next(remaining)
        except StopIteration as error:
            raise EOFError from error

    return read


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_answers_are_a_table_that_training_takes(folder, tmp_path, capsys):
    output = tmp_path / "labels.csv"
    read = answering("good", "1", "b", "g", "GOOD", "nothing", "s", "u", "bad", "q")
    session = terminal.run(chosen(folder, output), read)
    assert session.num_labels == 6
    rows = rows_of(output)
    assert list(rows[0]) == ["id", "text", "label", "asked_by", "asked_in_round"]
    assert [row["label"] for row in rows] == ["good", "bad", "bad", "good", "good", "bad"]
    assert [row["asked_in_round"] for row in rows] == list("111122")
    assert {row["asked_by"] for row in rows} == {"badge"}
    assert len({row["id"] for row in rows}) == 6
    printed = capsys.readouterr().out
    assert "round 2: 4 rows by badge" in printed and "of your last 4 labels" in printed
    assert "there is no class 'nothing'" in printed
    assert "python -m tltf.update --run=" in printed
    source = loader.load(session.table.data())
    assert list(source.texts()) == [row["text"] for row in rows]
    assert [source.class_names[place] for place in source.labels] == [r["label"] for r in rows]


def test_a_killed_session_goes_on_with_the_same_rows(folder, tmp_path):
    answers = ["good", "s", "bad", "good", "bad", "bad"]
    whole, pieces = tmp_path / "whole.csv", tmp_path / "pieces.csv"
    for number, path in ((6, whole), (2, pieces)):
        for start in range(0, 6, number):
            part = answers[start : start + number]
            terminal.run(chosen(folder, path), answering(*part))
    assert rows_of(whole) == rows_of(pieces) and len(rows_of(whole)) == 5
    assert rows_of(tmp_path / "whole_skipped.csv") == rows_of(tmp_path / "pieces_skipped.csv")
    assert rows_of(tmp_path / "whole_skipped.csv")[0]["label"] == ""


def test_a_person_who_is_interrupted_loses_nothing(folder, tmp_path):
    said = iter(["good", "bad"])

    def read(prompt):
        try:
            return next(said)
        except StopIteration as error:
            raise KeyboardInterrupt from error

    with pytest.raises(KeyboardInterrupt):
        terminal.run(chosen(folder, tmp_path / "l.csv"), read)
    assert [row["label"] for row in rows_of(tmp_path / "l.csv")] == ["good", "bad"]


def test_undo_takes_back_into_an_earlier_round(folder, tmp_path):
    read = answering("good", "bad", "good", "bad", "good", "u", "u", "u")
    session = terminal.run(chosen(folder, tmp_path / "l.csv"), read)
    assert [one.round for one in session.answers] == [1, 1]
    first = session.round(1).places
    assert session.next().place == first[2]
    terminal.run(chosen(folder, tmp_path / "l.csv"), answering("u", "u", "u"))
    assert rows_of(tmp_path / "l.csv") == []


def test_it_ends_with_the_pool_or_with_enough_labels(folder, tmp_path):
    read = answering(*["good", "bad"] * 30)
    ended = terminal.run(chosen(folder, tmp_path / "few.csv", num_labels=5), read)
    assert ended.num_labels == 5 and next(iter([read("")])) == "bad"
    ended = terminal.run(chosen(folder, tmp_path / "all.csv", per_round=20), read)
    assert ended.num_labels == 30 and ended.next() is None


def test_without_a_head_the_first_rows_are_typical_ones(folder, tmp_path):
    read = answering(*["good", "bad"] * 4)
    session = terminal.run(chosen(folder, tmp_path / "l.csv", training_rows=0), read)
    assert [one.asked_by for one in session.answers] == ["typiclust"] * 4 + ["badge"] * 4


def test_a_new_class_is_taken_where_it_is_named(folder, tmp_path):
    given = chosen(folder, tmp_path / "l.csv", new_classes="odd")
    session = terminal.run(given, answering(*["odd", "good"] * 3))
    assert session.pool.class_names == ("bad", "good", "odd")
    assert [row["label"] for row in rows_of(tmp_path / "l.csv")] == ["odd", "good"] * 3
    assert session.round(2).head.probabilities(session.pool.features).shape == (30, 3)
    with pytest.raises(DataError, match="'odd' is not a class") as raised:
        terminal.run(chosen(folder, tmp_path / "l.csv"), answering())
    assert raised.value.fix == "--new_classes=odd"


def test_rows_that_the_run_was_trained_on_and_labels_are_left_out(folder, tmp_path, capsys):
    pool = f"csv(path={folder}/both.csv, text=text, label=label)"
    session = terminal.run(chosen(folder, tmp_path / "l.csv", pool=pool), answering())
    assert 28 <= len(session.pool.source) <= 30
    printed = capsys.readouterr().out
    assert "labels, which are not looked at" in printed


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"num_labels": 31}, FlagError, "asks for 31 labels, and the pool has 30 rows"),
        ({"per_round": 40}, FlagError, "asks for 40 labels"),
        ({"pool": "digits"}, FlagError, "has image, and the run takes text"),
        ({"pool": "/no/such.csv"}, FlagError, "/no/such.csv"),
        ({"query": "margn"}, FlagError, "there is no query 'margn'"),
    ],
)
def test_what_cannot_be_asked(folder, tmp_path, values, kind, words):
    with pytest.raises(kind, match=words):
        terminal.run(chosen(folder, tmp_path / "l.csv", **values), answering())
    assert not (tmp_path / "l.csv").exists()


def test_an_empty_pool_and_one_that_the_run_was_trained_on(folder, tmp_path):
    (tmp_path / "empty.csv").write_text("text\n")
    with pytest.raises((FlagError, DataError), match=r"no inputs|no rows"):
        terminal.run(chosen(folder, tmp_path / "l.csv", pool=tmp_path / "empty.csv"), answering())
    parts = run_data.load_parts(f"{folder}/run")
    lines = ["text", *map(str, parts.train.texts())]
    (tmp_path / "one.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="every row of the pool is one that the run was trained on"):
        terminal.run(chosen(folder, tmp_path / "l.csv", pool=tmp_path / "one.csv"), answering())


def test_a_table_of_another_pool_is_refused(folder, tmp_path):
    terminal.run(chosen(folder, tmp_path / "l.csv"), answering("good"))
    write_texts(tmp_path / "other.csv", 500, 20, False)
    with pytest.raises(DataError, match="is not a row of this pool"):
        terminal.run(chosen(folder, tmp_path / "l.csv", pool=tmp_path / "other.csv"), answering())


def test_pictures_without_a_file_are_written_beside_the_table(tmp_path):
    data = "digits(num_train=60, num_validation=20, num_test=30)"
    also = {"backbone": "small_cnn(filters=[4, 4])", "image_size_px": 12, "method": "linear_probe"}
    tltf.fit(data, output=tmp_path / "run", train_epochs=1, baseline="none", quiet=True, **also)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "pool.npz", x=pixels, y=np.arange(12) % 3)
    given = chosen(tmp_path, tmp_path / "l.csv", pool=f"numpy(path={tmp_path}/pool.npz)")
    session = terminal.run(given, answering("3", "7", "x", "8"))
    source = loader.load(session.table.data())
    assert [source.class_names[place] for place in source.labels] == ["3", "7", "8"]
    assert len(list((tmp_path / "l_images").iterdir())) == 4  # the next one is shown already


def test_the_command_reads_standard_input(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", answering("good", "q"))
    given = chosen(folder, tmp_path / "l.csv")
    argv = [f"--{key}={getattr(given, key)}" for key in ("run", "pool", "output")]
    assert label.main(argv) == 0
    assert len(rows_of(tmp_path / "l.csv")) == 1
