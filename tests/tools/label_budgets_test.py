"""Draws of the label budgets: balanced, apart from each other, and what is chosen by them."""

import importlib

import numpy as np
import pytest

from tests.tools.bench_transfer_test import TOOLS
from tltf.config import defaults
from tltf.data import loader


@pytest.fixture(name="module")
def _module(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    module = importlib.import_module("label_budgets")
    monkeypatch.setitem(module.WORK, "vader", {"data": "digits"})
    return module


def test_draws_are_balanced_and_share_no_row_with_the_choice(module, tmp_path):
    budgets = module.Budgets(tmp_path)
    seen = {kind: set() for kind in ("choose", "fresh")}
    for kind in seen:
        for draw in range(3):
            parts = budgets._parts("vader", 10, kind, draw)
            assert np.bincount(parts["train"].labels).tolist() == [10] * 10
            assert np.bincount(parts["validation"].labels).tolist() == [2] * 10
            ids = [row for part in parts.values() for row in part.ids]
            assert len(set(ids)) == len(ids), "no row twice"
            seen[kind] |= set(ids)
    assert not seen["choose"] & seen["fresh"]
    again = module.Budgets(tmp_path)._parts("vader", 10, "fresh", 2)
    assert again["train"].ids == parts["train"].ids
    assert len(seen["choose"] | seen["fresh"]) <= len(loader.load("digits"))


def test_the_best_by_choosing_is_compared_on_fresh_draws(module, tmp_path, monkeypatch):
    reached = {
        "linear_probe(solver=lbfgs)": 0.7,
        "partial": 0.6,
        "lora": 0.8,
        "lp_ft": 0.75,
        defaults.MIXED: 0.76,
        "full": 0.78,
        "logistic": 0.7,
    }

    def measure(self, task, budget, kind, draw, method):
        found = reached[method] + 0.01 * draw
        return found - 0.1 * (method == "lora") if kind == "fresh" else found

    monkeypatch.setattr(module.Budgets, "_measure", measure)
    budgets = module.Budgets(tmp_path)
    line = module.line(budgets, "vader", 10)
    assert len(line) == len(module.HEADER)
    assert line[:3] == ["vader", "10", "`lora`"]
    assert line[4] == "-8.0 ± 0.0" and line[5] == "0.0 ± 0.0"
    assert line[8] == f"`{defaults.MIXED}`" and line[9] == "2.0 ± 0.0"
    monkeypatch.setattr(module.Budgets, "_measure", lambda *_: pytest.fail("measured again"))
    assert module.line(module.Budgets(tmp_path), "vader", 10) == line


def test_flags_stand_behind_a_method(module):
    found = module.with_flags("full --norm=frozen --learning_rate=3e-4")
    assert found == ("full", {"norm": "frozen", "learning_rate": 3e-4})
    assert module.with_flags("linear_probe(solver=lbfgs)") == ("linear_probe(solver=lbfgs)", {})
