"""The arithmetic of the measurement of monitoring, on made rows."""

import argparse
import importlib

import numpy as np
import pytest

from tests.serving.monitoring import making
from tests.tools.bench_transfer_test import TOOLS
from tltf.serving.monitoring.answers import Answers


@pytest.fixture(name="tool")
def _tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("monitoring")


def live(num, tilt, seed):
    rng = np.random.default_rng(seed)
    scores = making.probabilities(rng, num, tilt)
    features = rng.normal(tilt, 1, (num, 3)).astype(np.float32)
    return Answers(scores, scores.argmax(axis=1).astype(np.int32), features)


def test_a_mix_has_its_share_of_shifted_rows(tool):
    usual, shifted = live(50, 0, 0), live(40, 0, 1)
    mixed = tool.mix(usual, shifted, 0.25, np.random.default_rng(2), 20)
    is_shifted = np.isin(mixed.features[:, 0], shifted.features[:, 0])
    assert len(mixed) == 20 and is_shifted.sum() == 5 and mixed.given.shape == (20,)


def test_looks_ring_at_shifted_rows_and_seldom_at_usual_ones(tool):
    own = making.a_reference(features=live(200, 0, 3).features)
    usual, shifted = live(300, 0, 4), live(300, 1.0, 5)
    rates = {}
    for name, rows in (("usual", usual), ("shifted", shifted)):
        draw = lambda rng, rows=rows: tool.take(rows, rng.choice(300, 100, replace=False))  # noqa: E731
        rates[name] = tool.rung_rates(tool.p_values(own, draw, 10))
    assert rates["shifted"]["looks"] == 10 and rates["shifted"]["0.01"]["look"] == 1.0
    assert rates["usual"]["0.01"]["look"] <= 0.2
    again = tool.rung_rates(tool.p_values(None, lambda rng: (own, draw(rng)), 10))
    assert again == rates["shifted"], "a reference may come with the rows"


def test_the_table_has_the_rates_in_percent(tool):
    rates = {"looks": 500}
    for alpha, value in (("0.05", 0.048), ("0.01", 0.002)):
        rates[alpha] = dict.fromkeys(("outputs", "answers", "features", "look"), value)
    found = tool.table_of({"texts": [("no shift", 500, rates)]}, argparse.Namespace(rows=500))
    assert "| vader movie, MiniLM | no shift | 500 | 4.8% | 0.2% | 0.2% |" in found
