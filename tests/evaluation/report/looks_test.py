"""The page can be read: wide confusion matrices, print, and contrast in both modes."""

import dataclasses
import re

import numpy as np
import pytest

from tests.evaluation.report.writer_test import full_report, metrics, written
from tltf.data.source import ScanCounts
from tltf.evaluation.report import templating
from tltf.evaluation.report.report import DataSummary, Mistake, Report

CSS = templating._environment().get_template("report.css").render()
LIGHT, DARK = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]


def colours(text):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text))


def contrast(first, second):
    """The ratio of two colours, 1 to 21, as the guidelines for accessible pages (WCAG 2) define it."""
    low, high = sorted(map(_luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("mode", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_bars_stand_out(mode):
    found = colours(mode)
    for name in ("ink", "muted", "accent", "bad", "good", "warm"):
        for ground in ("card", "paper"):
            assert contrast(found[name], found[ground]) >= 4.5, (name, ground)
    assert contrast(found["second"], found["track"]) >= 3
    assert contrast("#ffffff", "#000000") == pytest.approx(21)


def test_the_lead_tile_can_be_read_in_every_tone():
    grounds = re.findall(r"\.tile\.lead[.\w]* \{ background: (#[0-9a-f]{6})", CSS)
    assert len(grounds) == 3
    for ground in [*grounds, colours(LIGHT)["accent"]]:
        assert contrast("#ffffff", ground) >= 4.5, ground


@pytest.mark.parametrize(
    ("num_classes", "is_beside"), [(2, True), (6, True), (7, False), (20, False), (21, False)]
)
def test_a_wide_confusion_matrix_has_a_row_of_its_own(tmp_path, num_classes, is_beside):
    page, _, _ = written(tmp_path, Report(test=metrics(num_classes, num_examples=1000)[0]))
    section = page.split('<section id="confusion">')[1].split("</section>")[0]
    assert ('class="beside"' in section) == is_beside
    assert "Most frequent confusions" in section


def test_names_of_rows_do_not_wrap_and_are_whole_on_hover(tmp_path):
    names = [f"comp.sys.ibm.pc.hardware & more {n}" for n in range(8)]
    page, tags, _ = written(tmp_path, Report(test=metrics(8, names)[0]))
    assert page.count('<th scope="row" title="comp.sys.ibm.pc.hardware &amp; more ') == 8
    assert {("title", name) for name in names} <= set(tags.attributes)
    assert (
        "white-space: nowrap; overflow: hidden"
        in re.search(r"\.confusion tbody th \{(.*?)\}", CSS)[1]
    )


def test_in_print_sections_may_break_and_what_belongs_together_may_not():
    printed = CSS[CSS.index("@media print") :]
    rules = dict(re.findall(r"^  ([^{}:]+(?:::[\w-]+)?) \{([^}]*)\}", printed, re.MULTILINE))
    whole = next(names for names, rule in rules.items() if "break-inside: avoid" in rule)
    assert {"figure", "tr", ".tile"} <= set(whole.split(", "))
    assert "section" not in whole.split(", ") and "break-inside: auto" in rules["section"]
    grounds = {"card", "paper"}
    light = {name: colour for name, colour in colours(LIGHT).items() if name not in grounds}
    assert colours(printed) == light, "on white, whatever the mode of the reader is"


RIGHT_TO_LEFT = "\u05e9\u05dc\u05d5\u05dd"


def test_mistakes_say_in_words_what_was_said_and_what_is_true(tmp_path):
    picture = np.zeros((8, 8), np.uint8)
    row = Mistake(0, "test/plants/a_b-015.png", "plants", RIGHT_TO_LEFT, 0.517, image=picture)
    page, tags, _ = written(tmp_path, Report(test=metrics(2)[0], worst_mistakes=[row]))
    card = page.split('<figure class="mistake">')[1].split("</figure>")[0]
    assert f'said: <b class="bad"><bdi>{RIGHT_TO_LEFT}</bdi></b> <small>51.7%</small>' in card
    assert 'true: <b class="good"><bdi>plants</bdi></b>' in card
    assert ("alt", f"plants taken for {RIGHT_TO_LEFT}") in tags.attributes
    assert 'title="test/plants/a_b-015.png"><bdi>a_<wbr>b-<wbr>015.png</bdi>' in card


@pytest.mark.parametrize(
    ("text", "is_folded"), [("short", False), ("a\n" * 7, True), ("word " * 90, True)]
)
def test_long_texts_show_six_lines_until_they_are_opened(tmp_path, text, is_folded):
    row = Mistake(0, "a.csv:1", "x", "y", 0.9, text=text)
    page, _, _ = written(tmp_path, Report(test=metrics(2)[0], worst_mistakes=[row]))
    card = page.split('<figure class="mistake">')[1].split("</figure>")[0]
    assert ('<details class="long">' in card) == is_folded
    assert '<blockquote dir="auto">' in card and text.strip()[:40] in card
    assert "-webkit-line-clamp: 6" in CSS and "align-items: start" in CSS


def test_warnings_about_the_data_stand_below_the_verdict(tmp_path):
    scan = ScanCounts(warnings=["30 classes have no validation example"])
    report = Report(test=metrics(2)[0], data=DataSummary(scan))
    page, _, markdown = written(tmp_path, report)
    places = [page.index(mark) for mark in ('"verdict', "30 classes", 'class="tiles"')]
    assert places == sorted(places) and page.count("30 classes") == 1
    assert markdown.index("30 classes") < markdown.index("The model is right")


def test_chips_hold_what_was_chosen_and_data_is_named_once(tmp_path):
    report, _ = full_report()
    run = {
        "data": "digits()",
        "head": "regress(quantiles=[.1, .5, .9], center=64.358, scale=28.4557)",
        "seed": 0,
    }
    page, _, markdown = written(tmp_path, dataclasses.replace(report, run=run))
    chips = page.split('<dl class="chips">')[1].split("</dl>")[0]
    assert "regress(quantiles=[.1, .5, .9])" in chips and "64.358" not in page + markdown
    assert "seed" in chips and "digits()" not in chips and page.count("digits()") == 1


def test_the_groups_of_layers_are_folded_and_explained(tmp_path):
    page, _, _ = written(tmp_path, full_report()[0])
    section = page.split('<section id="trained">')[1].split("</section>")[0]
    sentence, folded = section.split("<details>")
    assert "Only the head was trained: 10 of 1,000 parameters (1.00%)." in sentence
    assert "A rate is the share of --learning_rate" in folded and "<table>" in folded


def test_flags_of_commands_are_not_broken(tmp_path):
    report, _ = full_report()
    page, _, _ = written(tmp_path, dataclasses.replace(report, command="run --a='x' '--b=c d'"))
    assert "<code>run <span>--a=&#39;x&#39;</span> <span>&#39;--b=c</span> d&#39;</code>" in page
