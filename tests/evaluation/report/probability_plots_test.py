"""Plots of probabilities: groups that are large enough, their intervals and what they say on hover."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from tltf.evaluation import reliability
from tltf.evaluation.report import probability_plots

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_neighbours_are_put_together_until_there_are_enough():
    stated = np.r_[np.full(2, 0.05), np.full(4, 0.3), np.full(50, 0.75), np.full(3, 0.99)]
    is_right = np.arange(59) % 2 == 0
    groups = reliability.merged_bins(reliability.reliability_bins(stated, is_right))
    assert [row.count for row in groups] == [6, 53]
    assert groups[0].confidence == pytest.approx(np.mean(stated[:6]))
    assert groups[0].accuracy == pytest.approx(0.5)
    assert groups[1].confidence == pytest.approx(np.mean(stated[6:]))
    assert groups[1].high == 1.0 and groups[0].low == 0.0
    few = reliability.merged_bins(reliability.reliability_bins([0.6, 0.9], [True, False]))
    assert [row.count for row in few] == [2]
    assert reliability.merged_bins([]) == []


def test_a_bar_is_paler_for_fewer_answers_and_says_its_count():
    groups = [
        reliability.ReliabilityBin(0.4, 0.6, 9, 0.5, 1 / 3),
        reliability.ReliabilityBin(0.8, 1.0, 900, 0.9, 0.5),
    ]
    svg = probability_plots.reliability(groups, "Reliability")
    root = ElementTree.fromstring(svg)
    tips = [element.text for element in root.iter(f"{NAMESPACE}title")]
    assert tips[0] == (
        "9 answers with a stated probability of 50.0% on average: 33.3% right (12.1% to 64.6%)"
    )
    assert tips[1].startswith("900 answers")
    assert "var(--bad)" not in svg, "red is for wrong answers"
    styles = [path.get("style") or "" for path in root.iter(f"{NAMESPACE}path")]
    bars = [style for style in styles if "fill: var(--accent)" in style]
    pale, strong = (float(style.split("opacity:")[1].split(";")[0]) for style in bars)
    assert pale < 0.4 < strong


def test_a_small_plot_for_each_label():
    curves = {name: [[1.0, 0.2], [0.5, 0.5], [0.0, 1.0]] for name in ("<b>", "a" * 40, "c")}
    marks = dict.fromkeys(curves, (0.5, 0.5))
    svg = probability_plots.precision_recall_of_each(curves, marks, "Labels")
    shown = [text.text for text in ElementTree.fromstring(svg).iter(f"{NAMESPACE}text")]
    assert {"<b>", "c", "a" * 19 + "…"} <= set(shown)
    assert shown.count("precision") == 1 and shown.count("recall") == 3
