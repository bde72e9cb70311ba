"""The gate of tltf.rank: what its table says of made-up measurements."""

import importlib
import math

import pytest

from tests.tools.bench_transfer_test import TOOLS

FITS = {
    name: {"accuracy": accuracy, "train_cpu_s": 100.0}
    for name, accuracy in (("a", 0.9), ("b", 0.8), ("c", 0.7))
}


@pytest.fixture(name="module")
def _module(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("rank_gate")


def scored(**values):
    """Network -> its row of one score that took half a second, with features that took half a second."""
    return {
        name: {"scores": {"x": value}, "score_cpu_s": {"x": 0.5}, "features_cpu_s": 0.5}
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    "values, tau, lost",
    [({"a": 3, "b": 2, "c": 1}, 1.0, 0.0), ({"a": 1, "b": 2, "c": 3}, -1.0, 20.0)],
)
def test_a_score_with_the_order_of_fine_tuning_has_tau_1_and_loses_nothing(
    module, values, tau, lost
):
    ((told, ratios),) = module.lines_of("digits, 0", FITS, scored(**values))
    assert told == ["digits, 0", "x", 3, pytest.approx(tau), pytest.approx(lost)]
    assert ratios == [200.0, 100.0]


def test_networks_without_a_score_are_left_out(module):
    found = scored(a=1, b=2, c=3)
    del found["a"]["scores"]["x"]
    ((told, _),) = module.lines_of("digits, 0", FITS, found)
    assert told[2] == 2 and math.isnan(told[3]) and told[4] == pytest.approx(20.0)


def test_seeds_are_averaged_before_the_order_is_judged(module):
    """One fine-tuning of `b` went wrong on the second seed; over both it is still the second."""
    names = module.NETWORKS[:3]
    seeds = [
        ({"key": "x", "accuracy": accuracy, "train_cpu_s": 50.0} for accuracy in accuracies)
        for accuracies in ((0.9, 0.8, 0.6), (0.9, 0.6, 0.7))
    ]
    scores = dict(zip(names, scored(a=3, b=2, c=1).values(), strict=True))
    found = [
        ("digits", seed, dict(zip(names, fits, strict=True)), scores)
        for seed, fits in enumerate(seeds)
    ]
    ((case, told, fits, averaged),) = module.mean_over_seeds(found)
    assert (case, told) == ("digits", "2 seeds")
    assert [fits[name]["accuracy"] for name in names] == pytest.approx([0.9, 0.7, 0.65])
    ((row, ratios),) = module.lines_of(case, fits, averaged)
    assert row[3] == pytest.approx(1.0) and ratios == [100.0, 50.0]
