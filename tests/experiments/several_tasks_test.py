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


def test_heads_that_are_solved_for_are_those_of_runs_of_single_tasks(tmp_path):
    """On a frozen network the tasks do not touch each other."""
    from tltf.config import checks
    from tltf.data import loader
    from tltf.data.source import Splits
    from tltf.training import training

    path = tmp_path / "whole.csv"
    with path.open("w", newline="") as file:
        rows = [[f"{['dull', 'fine'][n % 2]} {n}", n % 5, "ab"[n % 2]] for n in range(80)]
        csv.writer(file).writerows([["text", "stars", "topic"], *rows])
    flags = {**FLAGS, "method": "linear_probe(solver=lbfgs)", "baseline": "none"}
    flags |= {"data": f"csv(path={path}, text=text)"}
    options = tltf.make_options(head=HEADS, **flags)
    parts = loader.training_parts(options, checks.resolve(options, needs_output=False))
    joint = training.fit_parts(options, parts).model
    logits = joint.core.head.parts(joint.logits(parts["test"]))
    for task, head in (("stars", "regress"), ("topic", "classify")):
        own = Splits({role: part.of_task(task) for role, part in parts.items()})
        single = training.fit_parts(tltf.make_options(head=head, **flags), own).model
        found = single.logits(own["test"])
        np.testing.assert_allclose(logits[task], found, atol=1e-5, err_msg=task)
        assert np.ptp(found) > 0.1, "the head was solved for"


def test_weights_by_gradient_norm_move(table):
    from tltf.config import checks
    from tltf.data import loader
    from tltf.heads.task_weights import TaskNumber
    from tltf.training import training

    flags = {**FLAGS, "head": f"{HEADS}; weights: gradnorm", "train_epochs": 1}
    flags |= {"text_length": 4, "calibrate": "none"}
    options = tltf.make_options(data=f"csv(path={table}, text=text)", **flags)
    parts = loader.training_parts(options, checks.resolve(options, needs_output=False))
    trained = training.fit_parts(options, parts).model
    layers = [layer for layer in trained.core.model.layers if isinstance(layer, TaskNumber)]
    assert len(layers) == 2
    assert all(float(layer.number) != layer.start for layer in layers)


@pytest.mark.parametrize(
    ("also", "flag"),
    [
        ({"method": "lwf"}, "method"),
        ({"method": "probe"}, "method"),
        ({"baseline": "logistic"}, "baseline"),
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


def test_answers_of_each_head_are_explained(run, tmp_path, capsys):
    from tltf import explain

    folder, _ = run
    flags = [f"--run={folder}", "--text=fine film", f"--output={tmp_path}/page"]
    assert explain.main(flags) == 0
    rows = [*map(json.loads, (tmp_path / "page/explanations.jsonl").read_text().splitlines())]
    assert [row["task"] for row in rows] == ["stars", "topic"]
    (answer,) = tltf.load(str(folder)).predict(["fine film"])
    for row in rows:
        assert row["answer"] == answer.tasks[row["task"]].answer and row["explanations"]
    page = (tmp_path / "page/explanations.html").read_text("utf-8")
    assert "<bdi>stars</bdi>:" in page and "<dd>1 input</dd>" in page
    assert explain.main([*flags[:2], "--task=topic", f"--output={tmp_path}/one"]) == 0
    (row,) = map(json.loads, (tmp_path / "one/explanations.jsonl").read_text().splitlines())
    assert row["task"] == "topic" and row["explanations"] == rows[1]["explanations"]
    assert explain.main([*flags[:2], "--task=topics"]) == 2
    assert "the run has no task 'topics'" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_each_head_is_watched_on_the_log_of_all_of_them(run, table, tmp_path, capsys, form):
    from tltf import monitor, predict

    folder, _ = run
    assert (folder / layout.TASKS / "stars" / layout.REFERENCE).exists()
    log = tmp_path / f"log.{form}"
    said = [f"--run={folder}", f"--input={table}", f"--output={log}", f"--format={form}"]
    assert predict.main(said) == 0
    flags = [f"--run={folder}", f"--input={log}", "--window=40"]
    assert monitor.main(flags) == 2
    assert "has several heads, which are watched one by one" in capsys.readouterr().err
    for task in ("stars", "topic"):
        output = tmp_path / task
        assert monitor.main([*flags, f"--task={task}", f"--output={output}"]) in (0, 10)
        assert "window 2" in capsys.readouterr().out
    if form == "csv":
        again = ["--task=topic", f"--output={tmp_path}/again", "--predict_again"]
        assert monitor.main([*flags, *again]) in (0, 10)


def test_trackers_are_told_the_numbers_of_each_task(run):
    from tltf.experiments.tracking.report_numbers import numbers_of

    numbers = numbers_of(run[1])
    for block in run[1].tasks:
        for name, value in block.test.scores.items():
            assert numbers[f"{block.task}/test/{name}"] == value


def test_the_page_to_try_has_an_answer_and_the_truth_of_each_head(run, tmp_path):
    from tltf.config.command_options import DemoOptions
    from tltf.serving.demo import trial

    tried = trial.trial_of(DemoOptions(run=str(run[0]), explainer="none"), tmp_path)
    assert [head.task for head in tried.heads] == ["stars", "topic"]
    assert "**topic**: Test accuracy" in tried.about
    assert any("stars: " in one.label and "topic: " in one.label for one in tried.examples)
    prediction = tried.answer(("fine film",))
    assert tried.heads[1].own(prediction).label in ("film", "phone")
    assert tried.heads[0].own(prediction).value == prediction.tasks["stars"].value


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


def test_several_data_sets_train_one_network(table, tmp_path, monkeypatch, capsys):
    """From a run with relative paths to its flags, report, predictions and new evaluation."""
    from tltf import evaluate
    from tltf.config import flagfiles
    from tltf.config.options import Options

    rows = list(csv.DictReader(table.open(newline="")))
    monkeypatch.chdir(tmp_path)
    for task in ("stars", "topic"):
        own = [[row["text"], row[task]] for row in rows if row[task]]
        with open(f"{task}.csv", "w", newline="") as file:
            csv.writer(file).writerows([["text", task], *own[: 40 if task == "stars" else 60]])
    data = "; ".join(f"{t}: csv(path={t}.csv, text=text, label={t})" for t in ("stars", "topic"))
    flags = {**FLAGS, "method": "lp_ft", "export": False, "explain": "none", "train_epochs": 1}
    report = tltf.run(tltf.make_options(data=data, head=HEADS, output="run", **flags))
    assert [block.task for block in report.tasks] == ["stars", "topic"]
    assert [block.test.num_examples for block in report.tasks] == [8, 12]
    monkeypatch.chdir("/")
    flags, _ = flagfiles.parse(Options, [f"--flagfile={tmp_path}/run/run.flags"])
    assert f"stars: csv(path={tmp_path}/stars.csv" in flags.data.data
    assert evaluate.main([f"--run={tmp_path}/run", f"--output={tmp_path}/new"]) == 0
    saved = json.loads((tmp_path / "new/report.json").read_text("utf-8"))
    for block, own in zip(saved["tasks"], report.tasks, strict=True):
        assert block["test"]["loss"] == pytest.approx(own.test.score("loss"), abs=1e-5)
