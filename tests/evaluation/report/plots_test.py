"""Plots are well-formed SVG in the page's colours, and say what the data says."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from tltf.evaluation.report import heatmap, plots

NAMESPACE = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{NAMESPACE}text")]


def test_curve_names_its_lines_and_phases_as_text():
    history = [
        {"phase": "head <b>", "loss": 2.0, "val_loss": 2.5},
        {"phase": "full $x$", "loss": 1.0, "val_loss": None},
    ]
    svg = plots.curve(history, "loss", 'Loss & "more"')
    shown = texts(svg)
    assert {"training", "validation", "head <b>", "full $x$", 'Loss & "more"'} <= set(shown)
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'Loss & "more"'
    assert root.get("role") == "img"


def test_a_path_of_penalties_is_no_row_of_epochs():
    shown = texts(
        plots.curve(
            [{"loss": 2.0, "penalty": 0.3}, {"loss": 1.0, "penalty": 0.001}], "loss", "Loss"
        )
    )
    assert {"penalty", "0.3", "0.001"} <= set(shown) and "epoch" not in shown


def test_the_kept_row_and_the_solved_head_are_marked():
    rows = [{"loss": 2.0, "val_loss": 2.5}, {"loss": 1.0, "val_loss": 1.5}]
    marked = texts(plots.curve(rows, "loss", "Loss", kept=1, solved=2.2))
    assert {"kept", "solved head"} <= set(marked)
    assert not {"kept", "solved head"} & set(texts(plots.curve(rows, "loss", "Loss")))


def test_a_metric_without_validation_has_one_line():
    shown = texts(plots.curve([{"loss": 1.0}, {"loss": 0.5}], "loss", "Loss"))
    assert "training" in shown
    assert "validation" not in shown


@pytest.mark.parametrize(
    "svg",
    [
        plots.curve([{"loss": 1.0, "val_loss": 2.0}] * 3, "loss", "Loss"),
        heatmap.confusion_heatmap(np.eye(30, dtype=int) * 5 + 1, list(map(str, range(30))), "All"),
    ],
)
def test_colours_are_variables_of_the_page(svg):
    assert "var(--accent)" in svg
    assert "#0102" not in svg
    # Black and white would vanish in one of the two modes.
    assert not re.search(r"(fill|stroke): ?(#ffffff|#000000|white|black)", svg)


def test_the_same_data_gives_the_same_bytes():
    history = [{"loss": 1.0}, {"loss": 0.5}]
    assert plots.curve(history, "loss", "Loss") == plots.curve(history, "loss", "Loss")
