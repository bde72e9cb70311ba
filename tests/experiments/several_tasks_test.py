"""A run of several heads on one network, from its data to predictions, export and evaluation."""

import csv
import json

import numpy as np
import pytest

import tltf
from tltf.config.task_heads import pick_head
from tltf.errors import FlagError
from tltf.runs import layout

HEADS = "stars: regress; topic: classify"
FLAGS = {
    "backbone": "small_lstm",
    "method": "full",
    "train_epochs": 2,
    "batch_size": 8,
    "text_length": 8,
    "learning_rate": 0.01,
    "near_duplicates": False,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV file in which every fifth row has no stars, and every seventh no topic."""
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    rows = [["text", "stars", "topic"]]
    for n in range(80):
        is_good, is_film = n % 2, n // 2 % 2
        words = ["dull bad", "fine great"][is_good], ["phone battery", "film actor"][is_film]
        stars = "" if n % 5 == 0 else [1.5, 4.5][is_good] + n % 3 / 10
        topic = "" if n % 7 == 0 else ["phone", "film"][is_film]
        rows.append([f"{words[0]} {words[1]} number {n}", stars, topic])
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    """`(folder, report)` of a finished run, with its export checked in a clean process."""
    folder = tmp_path_factory.mktemp("run") / "run"
    data = f"csv(path={table}, text=text)"
    report = tltf.run(tltf.make_options(data=data, head=HEADS, output=str(folder), **FLAGS))
    return folder, report


def test_the_report_has_a_block_per_task_on_the_rows_with_its_label(run):
    folder, report = run
    saved = json.loads((folder / "report.json").read_text("utf-8"))
    assert [block["task"] for block in saved["tasks"]] == ["stars", "topic"]
    page = (folder / "report.html").read_text("utf-8")
    assert "stars: regress; topic: classify; weights: fixed(stars=" in page
    for block in report.tasks:
        own = folder / layout.TASKS / block.task
        rows = list(csv.DictReader((own / layout.PREDICTIONS).open(newline="")))
        assert len(rows) == block.test.num_examples
        assert f"tasks/{block.task}/report.html" in page
        truth = next(name for name in rows[0] if name.startswith("true_"))
        assert all(row[truth] for row in rows), "rows without a label are not judged"
    assert "weights: fixed(stars=" in saved["options"]["head"]


def test_a_loaded_model_predicts_what_was_judged(run):
    folder, _ = run
    model = tltf.load(str(folder))
    for task, column in (("stars", "predicted_value"), ("topic", "predicted_label")):
        path = folder / layout.TASKS / task / layout.PREDICTIONS
        rows = list(csv.DictReader(path.open(newline="")))
        found = model.predict([row["text"] for row in rows])
        answers = [own.tasks[task].answer for own in found]
        if task == "topic":
            assert answers == [row[column] for row in rows]
        else:
            expected = [float(row[column]) for row in rows]
            np.testing.assert_allclose([float(text) for text in answers], expected, rtol=1e-4)


def test_the_tables_of_predictions_have_columns_per_task(run, tmp_path, capsys):
    from tltf import predict

    folder, _ = run
    out = tmp_path / "out.csv"
    flags = [f"--run={folder}", "--text=fine film"]
    assert predict.main([*flags, f"--output={out}"]) == 0
    (row,) = csv.DictReader(out.open(newline=""))
    assert row["topic_predicted_label"] in ("film", "phone") and float(row["stars_predicted_value"])
    assert predict.main([*flags, "--format=jsonl", f"--output={out}"]) == 0
    line = json.loads(out.read_text("utf-8"))
    assert line["topic"]["predicted_label"] == row["topic_predicted_label"]


def test_the_outputs_of_the_export_have_names_of_tasks(run):
    import tensorflow as tf

    folder, _ = run
    served = tf.saved_model.load(str(folder / "export/1")).signatures["serving_default"]
    found = served(text=tf.constant(["fine film"]))
    assert {"stars_value", "stars_quantiles", "topic_label", "topic_probabilities"} == set(found)
    (answer,) = tltf.load(str(folder)).predict(["fine film"])
    assert answer.tasks["stars"].value == pytest.approx(float(found["stars_value"][0]), abs=1e-5)


def test_evaluate_gives_the_metrics_of_the_run_again(run, tmp_path):
    from tltf import evaluate

    folder, report = run
    assert evaluate.main([f"--run={folder}", f"--output={tmp_path / 'new'}"]) == 0
    saved = json.loads((tmp_path / "new/report.json").read_text("utf-8"))
    for block, own in zip(saved["tasks"], report.tasks, strict=True):
        assert block["test"]["loss"] == pytest.approx(own.test.score("loss"), abs=1e-5)


@pytest.mark.parametrize(
    ("also", "flag"),
    [
        ({"method": "lwf"}, "method"),
        ({"method": "lp_ft"}, "method"),
        ({"baseline": "logistic"}, "baseline"),
        ({"explain": "integrated_gradients"}, "explain"),
        ({"export_format": "litert"}, "export_format"),
        ({"class_weights": "balanced"}, "class_weights"),
        ({"split": "kfold(fold=-1)"}, "split"),
    ],
)
def test_what_takes_one_head_says_so_before_any_work(table, tmp_path, also, flag):
    flags = {**FLAGS, "head": HEADS, **also}
    options = tltf.make_options(
        data=f"csv(path={table}, text=text)", output=str(tmp_path / "run"), **flags
    )
    with pytest.raises(FlagError, match="takes one head, and --head names several") as error:
        tltf.run(options)
    assert error.value.flag == flag


def test_a_column_may_have_another_name_than_its_task(table):
    from tltf.config.checks import resolve_data
    from tltf.data import loader

    data = f'csv(path={table}, text=text, label="rating: stars; topic: topic")'
    recipe = resolve_data(data, "holdout", "rating: regress; topic: classify")
    source = loader.load_labelled(recipe.source, recipe.head)
    assert [*source.label_fields] == ["rating", "topic"]
    rating = source.label_fields["rating"]
    assert rating.values[rating.known].min() >= 1.5 and not rating.known.all()


@pytest.mark.parametrize(
    "text", ["a b: regress; topic: classify", "regress; topic: classify", "a: regress; a: classify"]
)
def test_tasks_need_names(text):
    with pytest.raises(FlagError):
        pick_head(text)
