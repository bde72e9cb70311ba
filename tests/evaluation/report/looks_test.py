"""The page can be read: wide confusion matrices, print, and contrast in both modes."""

import re

import pytest

from tests.evaluation.report.writer_test import metrics, written
from tltf.evaluation.report import writer
from tltf.evaluation.report.report import Report

CSS = writer._environment().get_template("report.css").render()
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
