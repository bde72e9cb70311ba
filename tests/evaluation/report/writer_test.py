"""Reports are complete, self-contained and safe whatever names and texts hold."""

import dataclasses
import html.parser
import json
import os
import re

import numpy as np
import pytest

from tltf.data.source import ScanCounts
from tltf.errors import StorageError
from tltf.evaluation import classification
from tltf.evaluation.baseline_row import BaselineRow
from tltf.evaluation.report import writer
from tltf.evaluation.report.report import DataSummary, Mistake, Parameters, Report, SplitCounts
from tltf.files import atomic_files

EVIL = '<script>alert("x")</script> | `a` \n& {{ 7 * 7 }} \udcff'


class Tags(html.parser.HTMLParser):
    """Collects elements, texts and attributes; checks that elements close in order."""

    void = ("meta", "br", "img", "wbr")

    def __init__(self, text):
        super().__init__()
        self.names, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def metrics(num_classes, names=None, num_examples=300):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, num_examples)
    scores = rng.normal(size=(num_examples, num_classes))
    scores[np.arange(num_examples), labels] += 2
    stated = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = names or [f"class {i}" for i in range(num_classes)]
    return classification.measure(labels, stated, names, num_resamples=20), labels, stated, names


def full_report(names=None):
    test, labels, stated, names = metrics(3, names)
    gain = classification.paired_difference(labels, stated, stated[::-1], num_resamples=20)
    mistakes = classification.worst_mistakes(labels, stated, names, limit=3)
    history = [
        {"phase": "full", "epoch": e, "loss": np.float32(1 / e), "val_accuracy": e / 10}
        for e in (1, 2)
    ]
    scan = ScanCounts(
        10, 8, 1, 1, 0, ["two pictures are uniform"], [{"id": "a.png", "reason": "empty file"}]
    )
    counts = {"train": SplitCounts(8, dict.fromkeys(names, 2))}
    report = Report(
        title="digits, small_cnn, full",
        run={"data": "digits()", "method": "full"},
        test=test,
        validation=test,
        baselines={"scratch": BaselineRow(test, gain=gain, note="a note")},
        data=DataSummary(scan, "digits()", splits=counts),
        parameters=Parameters(1000, 10),
        time_s={"total": 75.0, "train": np.float64(12.5)},
        versions={"tltf": "0.1"},
        command="python -m tltf.train --flagfile=run.flags",
        worst_mistakes=mistakes,
        trainable_table=[{"group": "head", "parameters": 10, "trained": 10, "rates": [1.0]}],
    )
    return report, history


def written(folder, report, history=()):
    writer.write(report, folder, history=history)
    page = (folder / "report.html").read_text(encoding="utf-8")
    return page, Tags(page), (folder / "report.md").read_text(encoding="utf-8")


def test_everything_is_in_both_texts_and_in_the_json(tmp_path):
    report, history = full_report()
    first, *others = report.worst_mistakes
    pictured = [dataclasses.replace(first, image=np.zeros((8, 8), np.uint8)), *others]
    report = dataclasses.replace(report, worst_mistakes=pictured)
    page, tags, markdown = written(tmp_path / "run", report, history)
    text = " ".join(tags.texts)
    for words in ("Pretraining", "two pictures are uniform", "1 min 15 s", "python -m tltf.train"):
        assert words in text
        assert words in markdown
    assert "data:image/png;base64," in page
    assert tags.names.count("svg") == 3
    saved = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert saved["test"] == report.test.to_json()
    assert saved["time_s"] == {"total": 75.0, "train": 12.5}
    assert saved["parameters"] == {"total": 1000, "trainable": 10}
    assert saved["trainable_table"] == report.trainable_table
    assert len(saved["worst_mistakes"]) == 3
    assert "image" not in saved["worst_mistakes"][0]
    assert sorted(os.listdir(tmp_path / "run")) == ["report.html", "report.json", "report.md"]


def test_the_page_has_every_number_of_the_text(tmp_path):
    report, history = full_report()
    page, tags, markdown = written(tmp_path, report, history)
    listed = markdown.split("## Numbers of the test split")[1].split("##")[0]
    numbers = dict(re.findall(r"^- (.+): (.+)$", listed, re.MULTILINE))
    assert {"accuracy", "macro F1", "loss"} <= set(numbers)
    for name, text in numbers.items():
        assert f"<dt>{name}</dt><dd>{text}</dd>" in page, name
    epochs = markdown.split("## Epochs")[1].split("##")[0]
    cells = {cell.strip() for cell in re.findall(r"[^|\n]+", epochs)} - {"", "---", "---:"}
    table = page.split("Epochs as a table")[1].split("</table>")[0]
    assert cells <= {text.strip() for text in re.split(r"<[^>]+>", table)}
    assert tags.names.count("details") >= 3


def test_a_long_report_shows_first_what_helps(tmp_path):
    page, _, _ = written(tmp_path, Report(test=metrics(40, num_examples=1000)[0]))
    section = page.split('<section id="confusion">')[1].split("</section>")[0]
    places = [section.index(text) for text in ("Most frequent", "The 20 classes with", "All 40")]
    assert places == sorted(places)
    assert 'class="n"><small>others</small>' in section
    classes = page.split('<section id="classes">')[1].split("</section>")[0]
    assert "<details><summary>28 more of 40 classes</summary>" in classes
    assert classes.count('<div class="inline"><div class="bar">') == 40


def test_the_page_loads_nothing_and_runs_nothing(tmp_path):
    page, tags, _ = written(tmp_path, *full_report())
    assert not {"script", "link", "iframe", "object"} & set(tags.names)
    loaded = [value for name, value in tags.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith(("#", "data:")) for value in loaded)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_what_users_give_is_escaped_everywhere(tmp_path):
    report, _ = full_report([EVIL, "plain", "third"])
    scan = dataclasses.replace(report.data.scan, warnings=[EVIL], skipped_rows=[{EVIL: EVIL}])
    report = dataclasses.replace(
        report,
        title=EVIL,
        command=EVIL,
        run={EVIL: EVIL},
        versions={EVIL: EVIL},
        data=DataSummary(scan, EVIL, EVIL, {EVIL: SplitCounts(1, {EVIL: 1})}),
        baselines={EVIL: BaselineRow(report.test, note=EVIL)},
        worst_mistakes=[
            dataclasses.replace(row, text=EVIL, id=EVIL) for row in report.worst_mistakes
        ],
        trainable_table=[{EVIL: EVIL}],
    )
    history = [
        {"phase": EVIL, "epoch": 1, "loss": 1.0, EVIL: 2.0},
        {"phase": "x", "epoch": 1, "loss": 1.0, f"val_{EVIL}": 2.0},
    ]
    page, tags, markdown = written(tmp_path, report, history)
    assert "script" not in tags.names
    assert "<script" not in page
    assert "{{ 7 * 7 }}" in " ".join(tags.texts)
    body = "\n".join(line for line in markdown.splitlines() if not line.startswith("    "))
    assert "<script" not in body
    rows = [line for line in body.splitlines() if line.startswith("|")]
    widths = {
        len(re.findall(r"(?<!\\)\|", row)) for row in rows if "plain" in row and "%" not in row
    }
    assert widths == {6}


@pytest.mark.parametrize("num_classes", [2, 20, 21, 100])
def test_confusions_of_few_and_of_many_classes(tmp_path, num_classes):
    page, tags, _ = written(tmp_path, Report(test=metrics(num_classes, num_examples=1000)[0]))
    cells = page.count('<td class="right') + page.count('<td class="wrong')
    assert cells == min(num_classes, 20) ** 2, "of more classes those with the most errors"
    assert tags.names.count("svg") == (1 if num_classes <= 20 else 2)
    assert "Most frequent confusions" in page
    assert len(page) < 700_000


def test_a_report_of_almost_nothing_still_stands(tmp_path):
    for number, report in enumerate(
        [Report(), Report(validation=metrics(2)[0]), Report(title="x")]
    ):
        _, tags, markdown = written(tmp_path / str(number), report)
        assert "h1" in tags.names
        assert markdown.startswith("# ")


def test_perfect_answers_and_missing_pictures(tmp_path):
    test = classification.measure([0, 1], [[1.0, 0.0], [0.0, 1.0]], ["a", "b"], num_resamples=5)
    mistake = Mistake(0, "x.png", "a", "b", probability=0.9, image=b"bad")
    _, tags, _ = written(tmp_path, Report(test=test, worst_mistakes=[mistake]))
    assert "no picture" in tags.texts
    assert any("classified correctly" in text for text in tags.texts)


def test_a_failure_leaves_the_old_report(tmp_path, monkeypatch):
    writer.write(Report(title="first"), tmp_path)
    before = {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)}
    with pytest.raises(TypeError, match="plain values"):
        writer.write(Report(title="second", run={"bad": object()}), tmp_path)
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == before

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files.os, "replace", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        writer.write(Report(title="third"), tmp_path)
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == before


def test_pictures_that_were_drawn_before_the_times_were_known_give_the_same_page(
    tmp_path, monkeypatch
):
    report, history = full_report()
    pictures = writer.draw(report, history)
    later = dataclasses.replace(report, time_s={"total": 99.0, "export": 9.0})
    expected, _, _ = written(tmp_path / "again", later, history)
    monkeypatch.setattr(writer, "_draw", None)  # nothing is drawn a second time
    writer.write(later, tmp_path / "once", history=history, pictures=pictures)
    page = (tmp_path / "once/report.html").read_text(encoding="utf-8")
    assert page == expected and "1 min 39 s" in page


def test_plain_takes_numpy_and_drops_what_is_not_finite():
    value = {"a": np.float32(0.5), "b": np.array([1, 2]), 3: (np.bool_(True), float("nan"), None)}
    assert writer.plain(value) == {"a": 0.5, "b": [1, 2], "3": [True, None, None]}


def test_rows_that_are_not_used_are_counted_and_the_first_named(tmp_path):
    rows = [{"id": f"{n}.png", "reason": "is not an image"} for n in range(1234)]
    scan = ScanCounts(found=2000, excluded=1234, excluded_rows=rows)
    writer.write(Report(data=DataSummary(scan)), tmp_path)
    written = json.loads((tmp_path / "report.json").read_text())["data"]
    assert written["excluded"] == 1234 and written["excluded_rows"] == rows[:50]
    page = (tmp_path / "report.html").read_text()
    assert "Excluded rows: 1,234" in page and "49.png" in page and "50.png" not in page
    assert "and 1,184 more in data_report.jsonl" in page
    assert len(scan.excluded_rows) == 1234
