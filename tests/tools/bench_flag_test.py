"""The ratio of a flag's two values is paired."""

import importlib

from tests.tools.bench_transfer_test import TOOLS


def test_the_ratio_is_that_of_the_middle_pair(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    bench = importlib.import_module("bench_flag")
    pairs = [
        {"on": {"seconds": ours, "accuracy": 0.5}, "off": {"seconds": other, "accuracy": 0.25}}
        for ours, other in ((11, 10), (24, 20), (13, 10))
    ]
    row = bench.line("deterministic", ["on", "off"], pairs)
    assert row == [
        "`--deterministic`",
        "on / off",
        "3",
        "1.200 (1.100 to 1.300)",
        "13 / 10",
        "0.500 / 0.250",
    ]
