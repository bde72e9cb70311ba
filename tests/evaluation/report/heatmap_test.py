"""The picture of a large confusion matrix says what its cells stand for, and stays small."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np

from tltf.evaluation.report import heatmap

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_each_cell_says_its_pair():
    counts = np.diag([3, 2, 0])
    counts[0, 2] = 1
    svg = heatmap.confusion_heatmap(counts, ["cat", 'with,comma & "<b>"', "owl"], "All <3>")
    root = ElementTree.fromstring(svg)
    tips = [element.text for element in root.iter(f"{NAMESPACE}title")]
    assert tips == [
        "cat → cat: 3 of 4, 75.0%",
        'with,comma & "<b>" → with,comma & "<b>": 2 of 2, 100.0%',
        "cat → owl: 1 of 4, 25.0%",
    ]
    assert root.get("aria-label") == "All <3>" and root.get("role") == "img"
    cells = [rect for rect in root.iter(f"{NAMESPACE}rect") if rect.get("opacity")]
    assert [cell.get("fill") for cell in cells] == ["var(--accent)"] * 2 + ["var(--bad)"]
    assert float(cells[2].get("x")) > float(cells[0].get("x"))
    assert cells[2].get("y") == cells[0].get("y")


def test_axes_count_classes_from_one():
    svg = heatmap.confusion_heatmap(np.eye(60, dtype=int), list(map(str, range(60))), "All")
    numbers = re.findall(r">(\d+)</text>", svg)
    assert numbers[:2] == ["1", "1"] and {"5", "60"} <= set(numbers) and "0" not in numbers


def test_it_stays_small_for_a_thousand_classes():
    confusion = np.eye(1000, dtype=int) * 10
    confusion[np.arange(999), np.arange(1, 1000)] = 1
    confusion[np.arange(990), np.arange(10, 1000)] = 1
    svg = heatmap.confusion_heatmap(confusion, [f"class {n}" for n in range(1000)], "All")
    assert len(svg) < 500_000
    assert svg.count("<title>") == heatmap.MOST_TIPS
    assert svg.count("M") == 1000 + 999 + 990 - heatmap.MOST_TIPS, "the others are drawn as well"
