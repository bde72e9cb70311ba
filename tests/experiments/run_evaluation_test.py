"""What evaluation takes, and what its report says."""

import csv
import json

import numpy as np
import pytest

from tests import served
from tltf import evaluate
from tltf.config import flagfiles
from tltf.config.options import make
from tltf.data import loader, trained_rows
from tltf.evaluation.report.report import Report
from tltf.models import saving

ROWS = [("a good film", "good"), ("the plot is thin", "bad"), ("the cast is great", "good")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    saving.save(served.text_once(), run)
    flagfiles.write(run / "run.flags", make(data="vader", seed=3), "made")
    return run


@pytest.fixture
def run(saved):
    yield saved
    (saved / "report.json").unlink(missing_ok=True)


def evaluated(run, folder, rows, call="csv(path={path}, text=text)", header="text,label", flags=()):
    path = folder / "new.csv"
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    data = call.format(path=path)
    code = evaluate.main(
        [
            f"--run={run}",
            f"--data={data}",
            f"--output={folder}/out",
            "--max_bad_fraction=.5",
            *flags,
        ]
    )
    report = folder / "out" / "report.json"
    return code, json.loads(report.read_text()) if report.exists() else None


def test_the_report_has_the_data_summary(run, tmp_path):
    code, report = evaluated(run, tmp_path, [*ROWS, ("no label", "")])
    data = report["data"]
    assert code == 0
    assert [data[key] for key in ("found", "used", "skipped", "excluded")] == [4, 3, 1, 0]
    assert data["splits"] == {"test": {"num_examples": 3, "class_counts": {"bad": 1, "good": 2}}}
    assert json.dumps(Report.from_json(report).to_json()) == json.dumps(report)
    rows = (tmp_path / "out" / "data_report.jsonl").read_text().splitlines()
    assert [json.loads(row)["reason"] for row in rows] == ["has no label"]
    assert "new.csv" in data["source"] and "Class balance" in (
        tmp_path / "out" / "report.html"
    ).read_text("utf-8")


def test_the_majority_is_that_of_the_training_split(run, tmp_path):
    counts = {"bad": 70, "good": 30}
    train = {"num_examples": 100, "class_counts": counts}
    (run / "report.json").write_text(json.dumps({"data": {"splits": {"train": train}}}))
    row = evaluated(run, tmp_path, ROWS)[1]["baselines"]["majority"]
    assert row["chosen"] == {"label": "bad"} and "training split" in row["note"]
    assert row["test"]["accuracy"] == pytest.approx(1 / 3)
    stated = np.array([71, 31]) / 102  # one is added to each count
    assert row["test"]["loss"] == pytest.approx(-np.log(stated[[1, 0, 1]]).mean())


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "[]",
        '{"data": {"splits": {"train": {}}}}',
        '{"data": {"splits": {"train": {"class_counts": {"bad": "7", "good": 1}}}}}',
        '{"data": {"splits": {"train": {"class_counts": {"bad": -7, "good": 1}}}}}',
    ],
)
def test_without_training_counts_the_note_says_so(run, tmp_path, content):
    if content is not None:
        (run / "report.json").write_text(content)
    code, report = evaluated(run, tmp_path, ROWS)
    row = report["baselines"]["majority"]
    assert code == 0 and row["chosen"] == {"label": "good"}
    assert "of these very examples" in row["note"] and "no report.json" in row["note"]


def test_thresholds_are_those_of_the_runs_validation_split(run, tmp_path):
    row = {"num_alarms": 9, "num_hits": 8, "num_positive": 8, "num_examples": 20}
    curves = {"positive": "good", "roc": [], "precision_recall": []}
    curves["thresholds"] = [
        {**row, "threshold": 0.37, "chosen_for": "95% precision"},
        {**row, "threshold": 0.5, "chosen_for": ""},
    ]
    report = {"validation": {"num_examples": 20, "accuracy": 0.9, "binary": curves}}
    (run / "report.json").write_text(json.dumps(report))
    found = evaluated(run, tmp_path, ROWS)[1]["test"]["binary"]
    assert found["is_chosen_elsewhere"] and found["positive"] == "good"
    chosen = [row for row in found["thresholds"] if row["chosen_for"]]
    assert [(row["threshold"], row["num_examples"]) for row in chosen] == [(0.37, 3)]
    with open(tmp_path / "out/predictions.csv", encoding="utf-8") as file:
        stated = [float(line["probability_good"]) for line in csv.DictReader(file)]
    assert chosen[0]["num_alarms"] == sum(value >= 0.37 for value in stated)
    del report["validation"]["binary"]
    (run / "report.json").write_text(json.dumps(report))
    (tmp_path / "again").mkdir()
    found = evaluated(run, tmp_path / "again", ROWS)[1]["test"]["binary"]
    assert not found["is_chosen_elsewhere"]


def test_examples_of_one_class(run, tmp_path):
    code, report = evaluated(run, tmp_path, [row for row in ROWS if row[1] == "good"])
    assert code == 0
    assert report["data"]["splits"]["test"]["class_counts"] == {"bad": 0, "good": 2}
    assert report["test"]["num_examples"] == 2
    assert report["test"]["class_names"] == ["bad", "good"]


def test_examples_without_labels_are_refused(run, tmp_path, capsys):
    call = "csv(path={path}, text=text, label='')"
    assert evaluated(run, tmp_path, ROWS, call)[0] == 2
    assert "--data: csv has no labels" in capsys.readouterr().err


def test_a_class_that_was_not_trained_is_refused(run, tmp_path, capsys):
    assert evaluated(run, tmp_path, [*ROWS, ("x y", "god")])[0] == 3
    assert "class 'god' was not trained (trained: good, bad)" in capsys.readouterr().err
    code, report = evaluated(
        run, tmp_path, [*ROWS, ("x y", "god")], flags=["--unknown_classes=skip"]
    )
    assert code == 0 and report["data"]["skipped"] == 1 and report["data"]["used"] == 3
    assert report["test"]["num_examples"] == 3
    listed = (tmp_path / "out" / "data_report.jsonl").read_text()
    assert "its class 'god' was not trained" in listed and "new.csv:5" in listed


def test_the_runs_own_test_split_stands_beside_other_examples(run, tmp_path, capsys):
    test = {"num_examples": 50, "accuracy": 0.9, "intervals": {"accuracy": [0.8, 0.95]}}
    names = {"data": "csv(path=films.csv)", "backbone": "small_lstm", "method": "full"}
    (run / "report.json").write_text(json.dumps({"test": test, "run": names}))
    _, report = evaluated(run, tmp_path, ROWS)
    assert list(report["baselines"]) == ["own_test", "majority"]
    row = report["baselines"]["own_test"]["test"]
    assert row["accuracy"] == 0.9 and row["intervals"] == {"accuracy": [0.8, 0.95]}
    assert report["title"] == "Evaluation of films: small LSTM, fine-tuned"
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Compared with the run&#39;s own test split" in page and "<b>90.0%</b>" in page
    assert "On the run's own test split: accuracy 90.0%." in capsys.readouterr().out


@pytest.mark.parametrize(
    "test",
    [
        {},
        {"accuracy": "0.9"},
        {"accuracy": 0.9, "intervals": "x"},
        {"accuracy": 0.9, "intervals": {"accuracy": ["a"]}},
    ],
)
def test_metrics_that_a_report_does_not_have_are_not_compared(run, tmp_path, test):
    (run / "report.json").write_text(json.dumps({"test": test}))
    code, report = evaluated(run, tmp_path, ROWS)
    own = report["baselines"].get("own_test")
    assert code == 0 and (own is None or own["test"].get("intervals") is None)


def test_rows_that_the_run_was_trained_on_are_left_out_once_more(run, tmp_path, capsys):
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + ",".join(ROWS[0]) + "\n")
    trained_rows.write(run, loader.load(f"csv(path={path}, text=text)", least_classes=1))
    try:
        _, report = evaluated(run, tmp_path, ROWS)
    finally:
        (run / "trained_rows.bin").unlink()
    (row,) = report["test"]["without_examples"]
    assert (row["num_left_out"], row["num_examples"]) == (1, 2)
    assert "trained on 1 of 3 examples" in capsys.readouterr().out


def test_baselines_are_no_flag_of_it(run, capsys):
    assert evaluate.main([f"--run={run}", "--baseline=logistic"]) == 2
    assert "no flag --baseline" in capsys.readouterr().err
