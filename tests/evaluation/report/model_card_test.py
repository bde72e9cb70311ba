"""The model card says what was measured, and what was not."""

import dataclasses

from tests.evaluation.report.run_facts_test import FACTS
from tests.evaluation.report.writer_test import EVIL, full_report
from tltf.evaluation.report import model_card


def card(**changes):
    report, _ = full_report()
    options = {"backbone": "small_cnn", "method": "full", "head": "classify", "data": "digits"}
    report = dataclasses.replace(report, facts=FACTS, options=options, **changes)
    return model_card.text(report, "digits run"), report


def test_it_has_metrics_with_intervals_and_limits():
    text, report = card()
    assert text.startswith("---\nlibrary_name: keras\n")
    low, high = report.test.intervals["accuracy"]
    shown = (
        f"- accuracy: {report.test.scores['accuracy']:.1%} (95% interval {low:.1%} to {high:.1%})"
    )
    assert shown in text
    assert "Fewer than 20 train examples: class 0 (2), class 1 (2), class 2 (2)." in text
    assert "two pictures are uniform" in text and "were not measured" in text
    assert "licence of the backbone: MIT" in text and "licence of the data: not recorded" in text
    assert "trained: 2026-02-03" in text and 'tltf.load("RUN")' in text
    assert "Size of the model: 86.7 MB." in text and "Size of the export" not in text


def test_it_says_what_is_answered():
    text, report = card()
    names = ", ".join(report.data.splits["train"].class_counts)
    count = len(report.data.splits["train"].class_counts)
    assert f"## Intended use\n\nIt answers one of {count} classes ({names}) for examples" in text
    number = dataclasses.replace(report.test, target="number")
    assert "It answers a number for examples like those" in model_card.text(
        dataclasses.replace(report, test=number), "run"
    )
    counts = {f"c_{place}": 30 for place in range(model_card.MOST_NAMED + 1)}
    train = dataclasses.replace(report.data.splits["train"], class_counts=counts)
    data = dataclasses.replace(report.data, splits={"train": train})
    assert "one of 11 classes (c\\_0, " in card(data=data)[0]
    assert "c\\_9, ...) for examples" in card(data=data)[0]


def test_what_was_not_measured_is_not_claimed():
    text, _ = card(test=None, validation=None, baselines=None)
    assert "Nothing: the run had no validation and no test examples." in text
    assert "accuracy" not in text
    text, _ = card(test=None, baselines=None)
    assert "these numbers are of the rows on which choices were made" in text


def test_names_are_escaped():
    report, _ = full_report([EVIL, "b", "c"])
    report = dataclasses.replace(report, options={"data": EVIL}, facts=None)
    text = model_card.text(report, EVIL)
    assert "<script>" not in text and "| `a`" not in text
    text.encode("utf-8")


def test_folders_of_the_machine_are_left_out():
    report, _ = full_report()
    options = {
        "data": "csv(path=/home/me/work/mails.csv, text=text)",
        "backbone": "/data/bert/v1",
    }
    text = model_card.text(dataclasses.replace(report, options=options), "run")
    assert "- data: csv(path=mails.csv, text=text)" in text
    assert "- backbone: v1" in text
    assert "/home" not in text and "/work" not in text


def test_it_says_whether_probabilities_can_be_believed_and_what_is_answered():
    text, report = card()
    error = f"{report.test.scores['calibration_error']:.1%}"
    assert f"- calibration error: {error}\n" in text and "is sure of" not in text
    details = {
        "calibration": {
            "temperatures": [2.0],
            "calibration_error": 0.125,
            "loss": 1.0,
            "reliability": [],
            "gains": {},
        },
        "abstention": {
            "rule": "coverage(.5)",
            "threshold": 0.6,
            "num_examples": 40,
            "num_answered": 20,
            "num_right": 19,
            "num_right_of_all": 30,
            "curve": [[1.0, 0.75]],
        },
    }
    text, _ = card(test=dataclasses.replace(report.test, details=details))
    assert f"- calibration error: {error}; before calibration 12.5%\n" in text
    assert "- The model is sure of 50.0% of the examples" in text and "right on 95.0%" in text
