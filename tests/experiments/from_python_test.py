"""`tltf.fit` on data that a program holds: the same rows, splits and errors as those of files."""

import doctest
import html
import importlib.metadata
import inspect
import json
import os

import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf
from PIL import Image

import tltf
from tltf import evaluate, train
from tltf.config.option_groups import ScanOptions
from tltf.data import loader
from tltf.data.source import LoadSettings
from tltf.data.sources import in_memory
from tltf.data.sources.in_memory import MemoryRequest
from tltf.errors import DataError, FlagError, ModelError
from tltf.experiments import from_python

QUICK = {"backbone": "small_lstm", "method": "scratch", "train_epochs": 1}
PICTURES = {
    "backbone": "small_cnn(filters=[2])",
    "method": "scratch",
    "train_epochs": 1,
    "image_size_px": 8,
    "explain": "none",
}


def frame(count=60):
    texts = [f"{'fine' if n % 3 else 'awful'} day {n}" for n in range(count)]
    labels = ["good" if n % 3 else "bad" for n in range(count)]
    return pandas.DataFrame(
        {"review": texts, "stars": labels, "size": np.arange(count) / 7},
        index=[f"row-{n}" for n in range(count)],
    )


def pixels(count=24):
    x = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return x, np.arange(count) % 2


def read(data, request, target="class", scan=None, **part):
    made = in_memory.make_part(data, None, bool(request.image), **part)
    return in_memory.read(LoadSettings(0, scan or ScanOptions(), 2, target), [made], request)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("door") / "run"
    return tltf.fit(frame(), text="review", label="stars", output=folder, **QUICK)


def test_the_same_rows_in_a_file_give_the_same_run(result, tmp_path):
    frame().to_csv(tmp_path / "all.csv", index=False)
    data = f"--data=csv(path={tmp_path}/all.csv, text=review, label=stars)"
    flags = ["--backbone=small_lstm", "--method=scratch", "--train_epochs=1", "--noexport"]
    assert train.main([data, *flags, f"--output={tmp_path}/run"]) == 0
    told = json.loads((tmp_path / "run/report.json").read_text())
    assert result.report.metrics == {name: told["test"][name] for name in result.report.metrics}
    ours = pandas.read_csv(result.folder / "predictions.csv")
    theirs = pandas.read_csv(tmp_path / "run/predictions.csv")
    columns = [name for name in theirs if name != "id"]
    pandas.testing.assert_frame_equal(ours[columns], theirs[columns])
    assert set(ours["id"]) <= set(frame().index), "rows have the names of the frame"


def test_a_frame_in_gives_a_frame_out(result):
    asked = frame().iloc[:5]
    answers = result.model.predict(asked)
    assert list(answers.index) == list(asked.index)
    singles = result.model.predict(list(asked["review"]))
    assert answers["predicted_label"].tolist() == [row.label for row in singles]
    assert answers["confidence"].tolist() == [max(row.scores) for row in singles]
    assert list(answers.columns[2:]) == ["probability_bad", "probability_good", "error"]
    broken = result.model.predict(pandas.DataFrame({"review": ["fine", ""]}))
    assert broken["error"].tolist() == ["", "the text is empty"]
    assert np.isnan(broken["confidence"][1]) and pandas.isna(broken["predicted_label"][1])


def test_a_run_is_judged_on_new_rows_in_the_columns_that_it_was_trained_on(
    result, tmp_path, capsys
):
    new = pandas.DataFrame({"review": ["a fine day", "fine day 1"], "stars": ["good", "good"]})
    report = tltf.judge(result, new)
    told = capsys.readouterr().out
    assert report.folder == result.folder / "evaluations" / "1"
    assert report.metrics["accuracy"] in (0.0, 0.5, 1.0) and "On the run's own test split" in told
    new.to_csv(tmp_path / "new.csv", index=False)
    data = f"csv(path={tmp_path}/new.csv, text=review, label=stars)"
    same = tltf.judge(result.folder, data, output=tmp_path / "judged", eval_batch_size=1)
    assert same.metrics == report.metrics and (tmp_path / "judged" / "report.html").is_file()
    pairs = tltf.judge(result, (list(new["review"]), list(new["stars"])))
    assert pairs.metrics == report.metrics
    with pytest.raises(FlagError, match="there is no flag 'batch_size'"):
        tltf.judge(result, new, batch_size=3)
    with pytest.raises(FlagError, match="holds no run"):
        tltf.judge(tmp_path, new)


def test_the_report_shows_and_saves_itself(result, tmp_path):
    assert "accuracy" in repr(result) and len(repr(result)) < 400
    shown = result._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "<style" not in shown, "it styles itself only"
    assert html.escape('<head><base href="about:srcdoc">') in shown, "links stay in the page"
    result.report.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == (result.folder / "report.html").read_text(encoding="utf-8")


def test_the_export_is_checked_and_the_run_says_where_its_data_was(result, tmp_path, capsys):
    path = result.export(tmp_path / "served")
    assert (path / "saved_model.pb").is_file() and path.parent == tmp_path / "served"
    assert "reloaded in a clean process" in capsys.readouterr().err
    assert evaluate.main([f"--run={result.folder}", f"--output={tmp_path}/judged"]) == 2
    assert "in the memory of a Python program" in capsys.readouterr().err
    frame().to_csv(tmp_path / "all.csv")
    data = f"--data=csv(path={tmp_path}/all.csv, text=review, label=stars)"
    assert evaluate.main([f"--run={result.folder}", f"--output={tmp_path}/judged", data]) == 0
    assert "trained on 42 of 60 examples" in capsys.readouterr().out, "known by their content"


def test_every_form_of_texts_gives_the_same_source():
    table = frame(20)
    texts, labels = table["review"], table["stars"]
    request = MemoryRequest(text="text")
    ours = read((texts, labels), request)
    places = (labels == "good").astype(int)
    dataset = tf.data.Dataset.from_tensor_slices((texts.to_numpy(str), places.to_numpy()))
    named = MemoryRequest(text="text", class_names=("bad", "good"))
    for source in (
        read({"text": list(texts), "label": np.array(labels)}, request),
        read((texts.to_numpy(), labels.astype("category")), request),
        read((list(texts), list(places)), named),
        read(dataset, named),
        read(dataset.batch(7), named),
    ):
        assert source.column.values == list(texts) and source.class_names == ("bad", "good")
        np.testing.assert_array_equal(source.labels, ours.labels)
        np.testing.assert_array_equal(source.content_hashes(), ours.content_hashes())


def test_every_form_of_pictures_gives_the_same_pixels(tmp_path):
    x, y = pixels(6)
    files = [tmp_path / f"{n}.png" for n in range(6)]
    for picture, file in zip(x, files, strict=True):
        Image.fromarray(picture).save(file)
    request = MemoryRequest(image="image")
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    arrays = [
        read((x, y), request),
        read((list(x), y), request),
        read((x.astype("float32"), y), request),
        read(dataset, request),
        read(dataset.batch(4), request),
    ]
    for source in arrays:
        assert source.column.kind == "array"
        np.testing.assert_array_equal(source.column.values, x)
    encoded = [
        read(([Image.fromarray(p) for p in x], y), request),
        read(([file.read_bytes() for file in files], y), request),
    ]
    for source in encoded:
        decoded = [tf.io.decode_png(value).numpy() for value in source.column.values]
        np.testing.assert_array_equal(decoded, x)
    paths = read((files, y), request)
    assert paths.column.kind == "path" and list(paths.column.values) == list(map(str, files))
    sizes = read(([x[0], x[1][:5], *x[2:]], y), request)
    assert sizes.column.kind == "bytes" and len(sizes) == 6


def test_labels_of_several_columns():
    table = frame(12).assign(other=np.arange(12) * 2.5)
    source = read(table, MemoryRequest(text="review", label="size|other"), target="number")
    np.testing.assert_array_equal(source.labels, table[["size", "other"]])
    assert source.class_names == ("size", "other")
    flags = np.eye(3, dtype=int)[np.arange(12) % 3]
    pair = (table["review"], flags)
    source = read(pair, MemoryRequest(text="text", label="a|b|c"), "labels", label="a|b|c")
    np.testing.assert_array_equal(source.labels, flags)
    assert source.class_names == ("a", "b", "c")


def test_faulty_rows_are_counted_as_those_of_files():
    table = frame(20)
    table.loc["row-3", "review"] = np.nan
    table.loc["row-4", "stars"] = None
    request = MemoryRequest(text="review", label="stars")
    source = read(table, request, scan=ScanOptions(max_bad_fraction=0.5))
    skipped = {row["id"]: row["reason"] for row in source.scan.skipped_rows}
    assert skipped == {"row-3": "review is float, not a text", "row-4": "has no label"}
    with pytest.raises(DataError, match="2 of 20 rows are bad"):
        read(table, request)


@pytest.mark.parametrize(
    ("data", "given", "said"),
    [
        (lambda: frame(), {}, "which column holds the texts.*review, stars, size"),
        (
            lambda: frame(),
            {"text": "reviw", "label": "stars"},
            "no column 'reviw'.*fix: text=review",
        ),
        (lambda: frame(), {"text": "review"}, "no column 'label'"),
        (lambda: 3, {}, "takes a DataFrame.*received int"),
        (lambda: (["a", "b"], ["x"]), {}, "different lengths: text 2, label 1"),
        (lambda: (["a"] * 6, np.eye(3)[[0, 1, 2] * 2]), {}, "argmax"),
        (lambda: (pixels()[0] / 255, pixels()[1]), PICTURES, "fractions from 0 to 1"),
        (lambda: (pixels()[0][..., :2], pixels()[1]), PICTURES, r"uint8\[8, 8, 2\]"),
        (lambda: frame(), {"text": "review", "epochs": 3}, "epochs"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_fix(data, given, said, tmp_path):
    with pytest.raises(FlagError, match=said):
        tltf.fit(data(), output=tmp_path / "run", **{**QUICK, **given})


def test_pictures_with_splits_callbacks_and_no_folder(capsys):
    seen = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, sorted(logs)))

    x, y = pixels()
    made = tltf.fit(
        (x[:12], y[:12]),
        validation=(x[12:18], y[12:18]),
        test=(x[18:], y[18:]),
        callbacks=[Count()],
        **PICTURES,
    )
    assert [epoch for epoch, _ in seen] == [0] and "val_accuracy" in seen[0][1]
    assert made.report.report.test.num_examples == 6
    assert str(made.folder) in capsys.readouterr().out
    assert len(made.model.predict(x[:3])) == 3


def test_random_weights_are_a_baseline_of_data_in_memory_too():
    made = tltf.fit(pixels(), baseline="scratch", **{**PICTURES, "method": "full"})
    assert made.report.report.baselines["scratch"].test.num_examples > 0


def test_columns_may_have_any_names():
    table = frame().rename(columns={"review": "a text, or 'two'", "stars": "the stars"})
    made = tltf.fit(table, text="a text, or 'two'", label="the stars", **QUICK)
    assert made.model.predict(table.iloc[:2])["predicted_label"].notna().all()


def test_folds_have_no_single_model(tmp_path):
    x, y = pixels()
    made = tltf.fit((x, y), split="kfold(folds=2, fold=-1)", output=tmp_path / "folds", **PICTURES)
    assert made.report.metrics["accuracy"] is not None
    with pytest.raises(ModelError, match=r"rounds/1'. is the model of one"):
        _ = made.model


def test_a_call_string_is_data_too(tmp_path):
    made = tltf.fit("digits(num_train=40, num_test=20)", output=tmp_path / "run", **PICTURES)
    assert made.report.report.test.num_examples == 20
    again = loader.load("digits(num_train=40, num_test=20)")
    assert made.model.class_names == again.class_names


def test_the_public_names_and_their_signatures():
    assert dir(tltf) == ["FitResult", "Options", "fit", "judge", "load", "make_options", "run"]
    assert list(inspect.signature(tltf.fit).parameters) == [
        "data",
        "backbone",
        "text",
        "image",
        "label",
        "validation",
        "test",
        "class_names",
        "root",
        "output",
        "callbacks",
        "flags",
    ]
    public = {name for name in dir(tltf.FitResult) if not name.startswith("_")}
    assert public == {"export", "model"}, "with the fields report and folder"
    assert {name for name in vars(from_python.RunReport) if not name.startswith("_")} == {
        "metrics",
        "save",
    }


def test_tensorflow_is_quiet_where_python_asks_for_a_model_unless_the_environment_decides(
    monkeypatch,
):
    assert tltf.__version__ == importlib.metadata.version("tltf")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    assert tltf.Options and "TF_CPP_MIN_LOG_LEVEL" not in os.environ
    assert tltf.load and os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    assert tltf.fit and os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(from_python).attempted >= 5
    assert doctest.testmod(from_python).failed == 0
