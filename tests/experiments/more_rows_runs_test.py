"""Whole runs with rows of another domain or without labels: the oracle, a source that does harm, and what is not used."""

import json

import pytest

import tltf
from tltf.errors import DataError, FlagError

FLAGS = {
    "backbone": "small_lstm(units=8, embedding=8)",
    "text_length": 6,
    "train_epochs": 2,
    "near_duplicates": False,
    "explain": "none",
}
WORDS = ("good", "bad")


def table(path, labels, empty_from=None):
    """The call string of rows whose word says the label; in another domain, labels may be the other way round."""
    lines = ["text,label"]
    for row in range(120):
        label = "" if empty_from is not None and row >= empty_from else labels[row % 2]
        lines.append(f"{WORDS[row % 2]} day {row},{label}")
    path.write_text("\n".join(lines) + "\n")
    return f"csv(path={path}, text=text, label=label)"


def test_the_oracle_learns_the_labels_of_the_target_and_the_model_does_not(tmp_path):
    """A word means the opposite in the target: what learned from the source is wrong there, the oracle right."""
    data = table(tmp_path / "source.csv", "ab")
    target = table(tmp_path / "target.csv", "ba")
    flags = {**FLAGS, "data": data, "target_data": target, "method": "probe"}
    run = tmp_path / "run"
    report = tltf.run(tltf.make_options(**flags, baseline="oracle", output=str(run)))
    assert report.test.score("accuracy") < 0.1
    assert report.baselines["oracle"].test.score("accuracy") > 0.9
    assert (run / "export").exists()
    (note,) = json.loads((run / "report.json").read_text())["data"]["warnings"]
    assert "24 test rows are those of csv" in note
    assert "oracle" in (run / "report.md").read_text()


@pytest.mark.parametrize("method", ["self_training", "probe"])
def test_rows_with_an_empty_label_are_read_as_rows_without_labels(tmp_path, method):
    """The same table twice: 60 of its 120 rows have a label, and the others are no bad rows."""
    data, run = table(tmp_path / "all.csv", "ab", empty_from=60), tmp_path / "run"
    flags = {**FLAGS, "data": data, "unlabelled_data": data, "method": method, "baseline": "none"}
    chosen = tltf.make_options(**flags, export=False, output=str(run))
    if method == "probe":
        with pytest.warns(UserWarning, match="rows of --unlabelled_data are not used; methods"):
            report = tltf.run(chosen)
    else:
        report = tltf.run(chosen)
    scan = json.loads((run / "report.json").read_text())["data"]
    assert (scan["found"], scan["used"], scan["skipped"], scan["excluded"]) == (120, 60, 0, 60)
    assert {row["reason"] for row in scan["excluded_rows"]} == {"has no label"}
    assert report.test.score("accuracy") > 0.9


def test_without_it_they_are_bad_rows(tmp_path):
    data = table(tmp_path / "all.csv", "ab", empty_from=60)
    other = table(tmp_path / "other.csv", "ab")
    with pytest.raises(DataError, match="60 of 120 rows"):
        tltf.run(
            tltf.make_options(
                **FLAGS,
                data=data,
                unlabelled_data=other,
                method="probe",
                output=str(tmp_path / "run"),
            )
        )


def test_a_source_that_does_harm_is_told_from_the_same_run_without_it(tmp_path, capsys):
    """Words mean the opposite in the source, and two steps do not turn that round."""
    source, target = table(tmp_path / "source.csv", "ba"), table(tmp_path / "target.csv", "ab")
    common = {**FLAGS, "export": False, "learning_rate": 0.02, "baseline": "none"}
    first = {**common, "data": source, "method": "scratch", "train_epochs": 12}
    tltf.run(tltf.make_options(**first, output=str(tmp_path / "source")))
    own = {**common, "data": target, "method": "full", "train_epochs": 6, "learning_rate": 2e-3}
    goes_on = {"backbone": str(tmp_path / "source"), "head_weights": str(tmp_path / "source")}
    chosen = {**own, **goes_on, "baseline": "without_source", "output": str(tmp_path / "two")}
    capsys.readouterr()
    report = tltf.run(tltf.make_options(**chosen))
    said = " ".join(capsys.readouterr().out.split())
    alone = tltf.run(
        tltf.make_options(**own, backbone_weights="none", output=str(tmp_path / "one"))
    )
    row = report.baselines["without_source"]
    assert row.test.scores == pytest.approx(alone.test.scores, nan_ok=True)
    assert row.gain.gains["accuracy"].difference < -0.5
    assert "Worse than the same run without its source" in said
    assert "which is called negative transfer" in said
    assert "same run without its source" in (tmp_path / "two" / "report.md").read_text()


def test_only_a_run_that_begins_at_another_one_can_be_trained_without_it(tmp_path):
    data = table(tmp_path / "source.csv", "ab")
    given = tltf.make_options(**FLAGS, data=data, baseline="without_source", output="run")
    with pytest.raises(FlagError, match="begins at another one"):
        tltf.run(given)
