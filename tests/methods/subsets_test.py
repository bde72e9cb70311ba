"""Which variables the methods of a few variables a layer take, by name."""

import keras
import pytest

from tests import tiny
from tltf.errors import FlagError
from tltf.graphs import freezing
from tltf.graphs.backbone import Group
from tltf.methods import subsets


def trained(method, core=None):
    core = core or tiny.core()
    (phase,) = method.phases(core)
    return set(freezing.apply(core.groups, phase.rules, "train").rates)


HEAD = {"label_logits/kernel", "label_logits/bias"}


def test_bitfit_takes_all_biases_and_shifts():
    expected = {"conv_1/bias", "norm_1/beta", "conv_2/bias", "norm_2/beta"}
    assert trained(subsets.bitfit()) == HEAD | expected


def test_norm_only_takes_scales_and_shifts():
    expected = {f"norm_{number}/{name}" for number in (1, 2) for name in ("gamma", "beta")}
    assert trained(subsets.norm_only()) == HEAD | expected


def test_biases_inside_of_transformers():
    encoder = keras.layers.MultiHeadAttention(2, 4, name="attention")
    encoder.build((None, 5, 8), (None, 5, 8))
    (_, (pattern, rate)) = subsets.bitfit().phases(None)[0].rules
    plan = freezing.apply([Group("layer_0", (encoder,))], [(pattern, rate)])
    assert len(plan.rates) == 4 and all(name.endswith("/bias") for name in plan.rates)


def test_rules_are_those_given():
    method = subsets.rules(("head/.*", "stage_2/.*/kernel"), (1, 0.5))
    (phase,) = method.phases(None)
    assert phase.rules == (("head/.*", 1.0), ("stage_2/.*/kernel", 0.5))
    assert trained(method) == HEAD | {"conv_2/kernel"}
    assert trained(subsets.rules()) == HEAD


@pytest.mark.parametrize("rates", [(1,), (1, -1), (1, float("nan"))])
def test_rates_must_fit_the_patterns(rates):
    with pytest.raises(FlagError, match="2 patterns take as many rates"):
        subsets.rules(("head/.*", "stage_2/.*"), rates)
