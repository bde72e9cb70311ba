"""What the bench of ratios marks as slower."""

import importlib
import json
import pathlib
import sys

import pytest


@pytest.fixture(scope="module")
def bench():
    tools = str(pathlib.Path(__file__).parents[2] / "tools")
    sys.path.insert(0, tools)
    yield importlib.import_module("bench")
    sys.path.remove(tools)


@pytest.mark.parametrize(
    ("cpu", "kept", "is_slower"),
    [
        (1.5, [1.0, 1.02], True),
        (1.11, [1.0, 1.02], False),  # within the slack
        (1.5, [1.0, 1.3], False),  # within the spread
        (1.7, [1.0, 1.3], True),
        (0.5, [1.0], False),
        (9.0, None, False),  # nothing to compare with
    ],
)
def test_a_figure_above_what_is_kept_and_its_spread_is_marked(bench, cpu, kept, is_slower):
    cells = bench.line("a figure", 2.0, cpu, kept)
    assert len(cells) == len(bench.HEADER)
    assert cells[-1].startswith("SLOWER") == is_slower


def test_only_figures_of_the_same_processor_are_compared(bench, tmp_path):
    rows = [("A", "one", 1.0), ("B", "one", 9.0), ("A", "two", 2.0), ("A", "one", 1.5)]
    path = tmp_path / "bench.jsonl"
    lines = [json.dumps({"processor": p, "figure": f, "cpu": c, "wall": 0}) for p, f, c in rows]
    path.write_text("\n".join(lines) + "\n")
    assert bench.kept_ratios("A", path) == {"one": [1.0, 1.5], "two": [2.0]}
    assert bench.kept_ratios("C", path) == bench.kept_ratios("A", tmp_path / "none") == {}


def test_work_is_measured_in_units_of_the_same_process(bench):
    cases = sys.modules["bench_cases"]
    found = cases.ratios({"nothing": lambda: None, "much": lambda: sum(range(300_000))})
    assert found["nothing"][1] < found["much"][1]
    assert found["nothing"][0] < 0.01


def test_another_version_is_compared_by_figure(bench):
    cells = bench.compared("a figure", [2.0, 1.0], [3.0, 1.25])
    assert cells == ["a figure", "1.00", "1.25", "1.25", "1.50"]
    assert bench.compared("new", [2.0, 1.0], None) == ["new", "1.00", "", "", ""]
    assert len(cells) == len(bench.COMPARED)
