"""The cost of explanations is that of the middle pair."""

import importlib

from tests.tools.bench_transfer_test import TOOLS


def test_ratio_and_share_are_those_of_the_middle_pair(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    cost = importlib.import_module("explanation_cost")
    pairs = [
        {
            "auto": {"cpu_s": ours, "share": share, "explained": 3, "mistakes": 24},
            "none": {"cpu_s": other, "share": 0.0, "explained": 0, "mistakes": 24},
        }
        for ours, other, share in ((11, 10, 0.05), (24, 20, 0.25), (13, 10, 0.01))
    ]
    row = cost.line("texts", "empty", pairs)
    assert row == [
        "texts",
        "empty",
        "3 of 24",
        "3",
        "1.20 (1.10 to 1.30)",
        "13 / 10",
        "5.0% (1.0% to 25.0%)",
    ]
