"""Reports that were written before they had types are read whole and written as they were."""

import dataclasses
import json
import pathlib

import jinja2
import pytest

from tltf.evaluation.report import templating, writer
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import ClassRow, LabelRow

SAVED = json.loads(pathlib.Path(__file__).with_name("saved_reports.json").read_text("utf-8"))
"""Kind -> report.json of a small run, its longest lists cut."""


@pytest.mark.parametrize("kind", SAVED)
def test_a_report_is_written_as_it_was_read(kind):
    report = Report.from_json(SAVED[kind])
    assert Report.from_json(report.to_json()) == report
    # As texts, so that the order of the keys counts.
    assert json.dumps(writer.plain(report.to_json())) == json.dumps(SAVED[kind])


@pytest.mark.parametrize("kind", SAVED)
def test_its_file_is_the_one_that_was_read(kind, tmp_path):
    writer.write(Report.from_json(SAVED[kind]), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == SAVED[kind]


def test_what_was_read_are_types():
    run, labels = Report.from_json(SAVED["a run"]), Report.from_json(SAVED["several labels"])
    assert run.test.scores["accuracy"] == SAVED["a run"]["test"]["accuracy"]
    assert run.baselines["scratch"].gain.gains["loss"].interval == [0.0, 0.0]
    assert (run.data.scan.found, run.data.scan.used, run.data.scan.excluded) == (1797, 320, 1477)
    assert run.data.splits["train"].num_examples == 200
    assert run.parameters.total == 90 and run.worst_mistakes[0].probability > 0
    assert type(run.test.per_class[0]) is ClassRow and type(labels.test.per_class[0]) is LabelRow
    numbers = Report.from_json(SAVED["numbers"])
    assert numbers.test.levels[0].level == 0.05 and numbers.test.target == "number"
    ranks = Report.from_json(SAVED["classes that are ranks"]).test.to_json()
    assert list(ranks)[-2:] == ["mean_rank_error", "quadratic_kappa"]


def test_missing_keys_are_empty():
    assert Report.from_json({}) == Report()
    assert Report.from_json({"test": {"accuracy": 0.5, "roc_auc": None}}).test.to_json() == {
        "accuracy": 0.5,
        "roc_auc": None,
    }


@pytest.mark.parametrize("kind", SAVED)
def test_a_report_of_an_older_version_lacks_a_key_and_is_read(kind):
    """The other keys are as they were, whichever one is missing."""
    for key in SAVED[kind]:
        saved = {name: value for name, value in SAVED[kind].items() if name != key}
        read = writer.plain(Report.from_json(saved).to_json())
        assert {name: read[name] for name in saved} == saved
        # What a report always has is there, and is empty.
        assert not read.get(key)
    split = "test" if "test" in SAVED[kind] else "validation"
    for key in SAVED[kind][split]:
        metrics = {name: value for name, value in SAVED[kind][split].items() if name != key}
        read = writer.plain(Report.from_json({split: metrics}).to_json())[split]
        # Without names of classes, an empty list of absent ones is not written.
        assert {name: read.get(name, []) for name in metrics} == metrics
        assert not read.get(key)


def test_unknown_keys_of_metrics_and_counts_are_kept_and_others_are_passed_over():
    saved = json.loads(json.dumps(SAVED["a run"]))
    more = saved | {"new": [1]}
    more["parameters"] = saved["parameters"] | {"new": 3}
    more["data"] = saved["data"] | {"new": "x"}
    assert Report.from_json(more) == Report.from_json(saved)
    more["test"] = saved["test"] | {"new": {"a": [1]}, "new_score": 0.5}
    more["data"]["splits"] = {"train": saved["data"]["splits"]["train"] | {"new": [2.5]}}
    read = Report.from_json(more)
    assert read.test.details == {"new": {"a": [1]}}
    assert read.test.scores["new_score"] == 0.5
    assert read.data.splits["train"].details == {"new": [2.5]}
    written = read.to_json()
    assert written["test"] == more["test"]
    assert written["data"]["splits"] == more["data"]["splits"]


@pytest.mark.parametrize(
    "values",
    [
        {"test": [1]},
        {"baselines": {"majority": {}}},
        {"test": {"reliability": [{"low": 0.0}]}},
        {"worst_mistakes": [{"id": "a"}]},
    ],
)
def test_what_is_no_report_is_refused(values):
    with pytest.raises((KeyError, TypeError, AttributeError)):
        Report.from_json(values)


def test_a_score_that_is_not_there_is_a_key_error():
    metrics = Report.from_json({"test": {"accuracy": 0.5, "r2": None}}).test
    assert metrics.score("accuracy") == 0.5
    for name in ("r2", "loss"):
        with pytest.raises(KeyError, match=name):
            metrics.score(name)


def test_reports_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Report().title = "another"


def test_templates_read_attributes_that_are_there():
    """A misspelled attribute is an error and not an empty place in the page."""
    template = templating._environment().from_string("{{ report.test.accuracy }}")
    with pytest.raises(jinja2.UndefinedError, match="has no attribute 'accuracy'"):
        template.render(report=Report.from_json(SAVED["a run"]))
