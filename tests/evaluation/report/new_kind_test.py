"""A report shows the answers of a kind of labels that it does not know, as the evaluator says."""

import json
import re

import pytest

from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import BaselineRow, Gain, PairedDifference
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.report import plots, terminal, writer
from tltf.evaluation.report.report import DataSummary, Mistake, Report, SplitCounts
from tltf.evaluation.report.sections import (
    BAR,
    NAME,
    NUMBER,
    Bar,
    Beside,
    Column,
    Group,
    Paragraph,
    Picture,
    Row,
    Section,
    Table,
)
from tltf.evaluation.report.wording import MetricTile, Wording
from tltf.evaluation.split_metrics import SplitMetrics


class BoxEvaluator(Evaluator):
    """Boxes in pictures, of which nothing in `tltf` knows."""

    constant_name, linear_name = "whole_picture", "linear_boxes"
    wording = Wording(
        "mean_overlap",
        "mean overlap",
        ("hit_share",),
        ("num_examples", "mean_overlap", "hit_share"),
        lambda examples, metrics, interval: (
            f"Boxes overlap by {metrics.score('mean_overlap'):.0%} over {examples}{interval}."
        ),
        (MetricTile("hit_share", "hits", "of {mean_boxes:.1f} boxes per picture"),),
        {"whole_picture": "a box around all"},
        shares=("overlap", "_share"),
        curves=("overlap",),
    )

    @classmethod
    def sentences(cls, metrics):
        yield f"The smallest boxes are the hardest: {metrics.details['sizes'][0]['size']}."

    @classmethod
    def sections(cls, metrics, split):
        sizes = metrics.details.get("sizes", [])
        columns = [Column("size", NAME), Column("hits", BAR), Column("boxes", NUMBER)]
        rows = [
            Row([row["size"], Bar(row["hits"], f"{row['hits']:.2f}"), str(row["boxes"])])
            for row in sizes
        ]
        table = Table(columns, rows)
        drawn = plots.draw("Hits <by size>", lambda axes: axes.plot([row["hits"] for row in sizes]))
        text = Paragraph(f"Boxes of the {split} split, ", "by size", ".")
        return [
            Section(
                "sizes",
                "Sizes",
                "Boxes by size",
                [Beside(Picture(drawn), Group([text, table], "Hits"))],
                table,
            ),
            Section(
                "boxes",
                "Boxes",
                "More on boxes",
                [Paragraph("Late.", is_hint=True)],
                is_after_mistakes=True,
            ),
        ]


METRICS = SplitMetrics(
    {"mean_overlap": 0.75, "hit_share": 0.5, "mean_boxes": 2.5},
    40,
    "boxes",
    intervals={"mean_overlap": [0.7, 0.8]},
    interval_confidence=0.9,
    details={"sizes": [{"size": "tiny & <b>", "hits": 0.25, "boxes": 12}]},
)
REPORT = Report(
    test=METRICS,
    baselines={
        "whole_picture": BaselineRow(
            SplitMetrics({"mean_overlap": 0.25}),
            gain=PairedDifference({"mean_overlap": Gain(0.5, [0.4, 0.6])}),
        )
    },
    data=DataSummary(splits={"train": SplitCounts(100, details={"boxes": 250})}),
    worst_mistakes=[Mistake(3, "a.png", "2 boxes", "none", detail="2 missing")],
    time_s={"total": 3.0, "train": 2.0},
)


@pytest.fixture(autouse=True)
def _is_registered(monkeypatch):
    monkeypatch.setitem(evaluators._KINDS, "boxes", BoxEvaluator)


def test_its_sections_are_in_the_page_and_in_the_text(tmp_path):
    history = [{"epoch": 1, "loss": 2.0, "overlap": 0.2}, {"epoch": 2, "loss": 1.0, "overlap": 0.4}]
    writer.write(REPORT, tmp_path, history=history)
    page = (tmp_path / "report.html").read_text("utf-8")
    links = re.findall(r'<a href="#(\w+)">', page)
    assert links == ["comparison", "curves", "sizes", "mistakes", "boxes", "data", "run"]
    assert re.findall(r'<section id="(\w+)">', page) == links
    for text in (
        "Boxes overlap by 75% over 40 test examples (90% interval 70.0% to 80.0%).",
        "A box around all: mean overlap 25.0%; this model is better by 50.0 points (40.0 to 60.0).",
        "of 2.5 boxes per picture",
        'aria-label="Hits &lt;by size>"',
        "Boxes of the test split, <strong>by size</strong>.",
        "<h3>Hits</h3>",
        '<th scope="row"><bdi>tiny &amp; &lt;b&gt;</bdi></th>',
        "width:25.0%",
        "Late.",
        "2 missing",
        'aria-label="Overlap"',
    ):
        assert text in page, text
    markdown = (tmp_path / "report.md").read_text("utf-8")
    assert "## Boxes by size\n\n| size | hits | boxes |\n| --- | ---: | ---: |\n" in markdown
    assert "| tiny &amp; &lt;b&gt; | 0.25 | 12 |" in markdown
    assert "- mean overlap: 75.00%" in markdown


def test_its_details_come_back_from_the_file(tmp_path):
    writer.write(REPORT, tmp_path)
    saved = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert saved["test"]["sizes"] == METRICS.details["sizes"]
    assert saved["data"]["splits"] == {"train": {"num_examples": 100, "boxes": 250}}
    read = Report.from_json(saved)
    assert read.test == METRICS
    assert read.data.splits == REPORT.data.splits


def test_the_terminal_says_it(tmp_path):
    text = terminal.closing_text(REPORT, tmp_path)
    assert text.startswith(
        "verdict    Better than always giving the same answer by 50.0 points (40.0 to\n"
        "           60.0), which is the least that a model must do. Nothing else to\n"
        "           compare with.\n"
        "test       75.0% mean overlap (70.0% to 80.0%), hit share 50.0%, 40 examples\n"
        "           25.0% a box around all, this model +50.0\n"
    )
