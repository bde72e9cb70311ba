"""The table of learning curves: what it says of points that lie on a law."""

import importlib

import pytest

from tests.tools.bench_transfer_test import TOOLS


@pytest.fixture(name="module")
def _module(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("learning_curves")


def row(sizes, limit=0.9, height=1.5):
    points = [
        {"num_rows": n, "accuracies": [limit - height * n**-0.5] * 5, "num_judged": 10_000_000}
        for n in sizes
    ]
    return {"num_rows": 1000, "num_classes": 2, "points": points}


def test_the_last_point_of_a_law_is_foretold_and_simpler_guesses_are_beside_it(module):
    made = row((50, 100, 200, 400, 800))
    num_rows, expected, measured, stays, again = module.foretold(made)
    assert num_rows == 800 and measured == pytest.approx(0.9 - 1.5 * 800**-0.5)
    assert expected.value == pytest.approx(measured, abs=0.003)
    assert stays == pytest.approx(0.9 - 1.5 * 400**-0.5) and again > measured > stays
    (line, mean) = module.lines_of({"movie, 0": made})
    assert line[:2] == ["movie, 0", "400 to 800"] and line[5].startswith("-")
    assert mean[0].startswith("mean of the absolute errors") and float(mean[4]) < 0.3


def test_too_few_points_are_said(module):
    (line,) = module.lines_of({"emoji, 0": row((100, 200, 400, 800))})
    assert line[-1] == "too few rows for a law"
