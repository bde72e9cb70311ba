"""What a page shows of examples: their texts, with what the model did not see."""

import dataclasses

from tests.evaluation.report.writer_test import EVIL, full_report, written
from tltf.evaluation.report import examples
from tltf.evaluation.report.report import ConfusedPair, Mistake, Report
from tltf.evaluation.report.samples import Sample, SampleGroup

TEXT = "seen words and unseen ones"
UNREAD = [[15, 26]]


def test_the_start_of_a_text_is_parted_by_what_is_read():
    assert examples.text_parts(TEXT, None, 100) == [(TEXT, True)]
    assert examples.text_parts(TEXT, UNREAD, 100) == [
        ("seen words and ", True),
        ("unseen ones", False),
    ]
    assert examples.text_parts(TEXT, UNREAD, 20) == [("seen words and ", True), ("unse…", False)]
    assert examples.text_parts(TEXT, UNREAD, 8) == [("seen wo…", True)]
    two = [[1, 3], [5, 6]]
    assert examples.text_parts("abcdef", two, 9) == [
        ("a", True),
        ("bc", False),
        ("de", True),
        ("f", False),
    ]
    assert examples.text_parts("abc", [[2, 9_000]], 9) == [("ab", True), ("c", False)]


def test_what_is_marked_is_escaped():
    row = Mistake(0, "a", "x", "y", text="<i>a</i> & <b>", unread=[[9, 14]])
    marked = str(examples.marked_text(row, 100))
    assert "&lt;i&gt;a&lt;/i&gt; " in marked and "<i>" not in marked
    assert marked.count("<span") == 1 and marked.index("<span") > marked.index("/i")


def with_examples():
    report, history = full_report()
    row = Mistake(0, EVIL, EVIL, EVIL, 0.5, 0.5, EVIL, text=EVIL + TEXT, unread=[[3, 20]], fold=2)
    return dataclasses.replace(
        report,
        borderline=[row],
        confused=[ConfusedPair(EVIL, EVIL, 3, [row])],
        samples=[SampleGroup(EVIL, 9, [Sample(EVIL, text=EVIL, unread=[[0, 4]])])],
    ), history


def test_the_page_shows_them_escaped_and_leads_to_them(tmp_path):
    page, tags, _ = written(tmp_path, *with_examples())
    assert "script" not in tags.names and page.count('class="unread"') == 3
    for place in ("pairs", "borderline", "seen"):
        assert ("id", place) in tags.attributes and ("href", f"#{place}") in tags.attributes
    assert "fold 2" in " ".join(tags.texts)


def test_reports_without_them_have_no_such_sections(tmp_path):
    page, _, _ = written(tmp_path, *full_report())
    assert not {'id="pairs"', 'id="borderline"', 'id="seen"', 'id="folds"'} & set(page.split())


def test_they_are_read_as_they_were_written():
    report, _ = with_examples()
    read = Report.from_json(report.to_json())
    assert read.borderline == report.borderline and read.confused == report.confused
    assert read.samples == [], "pictures are not in the JSON"


def test_long_texts_are_shortened_everywhere(tmp_path):
    report, history = with_examples()
    long = dataclasses.replace(report.borderline[0], text="x" * 9_000)
    report = dataclasses.replace(
        report, borderline=[long], confused=[ConfusedPair("a", "b", 1, [long])]
    )
    written(tmp_path, report, history)
    assert "x" * 2_001 not in (tmp_path / "report.json").read_text()
