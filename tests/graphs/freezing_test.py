import re

import keras
import numpy as np
import pytest

from tests import tiny
from tltf.errors import FlagError
from tltf.graphs import freezing
from tltf.graphs.backbone import Group
from tltf.methods import fine_tuning as methods
from tltf.methods import subsets


def paths(variables):
    return {variable.path for variable in variables}


def test_first_matching_rule_wins_and_no_match_is_frozen():
    core = tiny.core()
    rules = [("head/.*", 1), ("stage_2/.*/bias", 0), ("stage_2/.*", 0.3)]
    plan = freezing.apply(core.groups, rules)
    assert plan.rates == {
        "label_logits/kernel": 1.0,
        "label_logits/bias": 1.0,
        "conv_2/kernel": 0.3,
        "norm_2/gamma": 0.3,
        "norm_2/beta": 0.3,
    }
    assert paths(core.model.trainable_variables) == set(plan.rates)


def test_frozen_norm_leaves_statistics_and_weights_alone():
    core = tiny.core()
    plan = freezing.apply(core.groups, [(".*", 1)], norm="frozen")
    assert not [path for path in plan.rates if path.startswith("norm")]
    norms = [x for x in core.model.layers if isinstance(x, keras.layers.BatchNormalization)]
    before = [v.numpy() for layer in norms for v in layer.weights]
    core.model({"image": np.random.rand(4, 8, 8, 3) * 255}, training=True)
    after = [v.numpy() for layer in norms for v in layer.weights]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_flags_of_an_earlier_phase_are_forgotten():
    core = tiny.core()
    everything = paths(core.model.trainable_variables)
    freezing.apply(core.groups, [("head/.*", 1)], norm="frozen")
    freezing.apply(core.groups, [(".*", 1)])
    assert paths(core.model.trainable_variables) == everything


def test_flags_of_single_variables_are_forgotten_too():
    """Setting `layer.trainable` to True where it is True already does nothing in Keras."""
    core = tiny.core()
    everything = paths(core.model.trainable_variables)
    freezing.apply(core.groups, [(".*/bias", 1)])
    plan = freezing.apply(core.groups, [(".*", 1)])
    assert paths(core.model.trainable_variables) == everything == set(plan.rates)


def test_statistics_of_batch_norm_are_never_trainable():
    core = tiny.core()
    plan = freezing.apply(core.groups, [(".*", 1)])
    rates = {row["name"]: row["rate"] for row in plan.rows}
    assert rates["norm_1/moving_mean"] == 0 and rates["norm_1/gamma"] == 1
    assert plan.num_total == core.model.count_params()
    assert plan.num_trainable == sum(np.prod(v.shape) for v in core.model.trainable_variables)


def test_nothing_trainable_is_an_error():
    with pytest.raises(FlagError, match="nothing is trainable"):
        freezing.apply(tiny.core().groups, [("head/.*", 0)])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([("head/.*", 1), ("no_such_group/.*", 1)], "'no_such_group/.*' matches no variable"),
        (
            [("stage_2/.*", 1), ("stage_2/conv_2/.*", 0.3)],
            "'stage_2/conv_2/.*' decides nothing: earlier rules match stage_2/conv_2/kernel",
        ),
        (
            [("head/.*", 1), (".*/moving_mean", 1)],
            "'.*/moving_mean' decides nothing: it matches only what no gradient can train, e.g. stage_1/norm_1/moving_mean",
        ),
        (
            [(".*/(kernel|bias|gamma|beta)", 1), (".*", 0.5)],
            "'.*' decides nothing: it matches only what no gradient can train, e.g. stage_1/norm_1/moving_mean",
        ),
    ],
)
def test_a_rule_that_decides_nothing_is_an_error(rules, message):
    with pytest.raises(FlagError, match=re.escape(message)):
        freezing.apply(tiny.core().groups, rules)


@pytest.mark.parametrize(
    "rules",
    [
        subsets.norm_only().phases(None)[0].rules,
        [("head/.*", 1), ("stage_2/norm_2/.*", 0.5), ("stage_2/.*", 1)],
    ],
)
def test_a_rule_for_batch_norms_that_stay_frozen_is_an_error(rules):
    core = tiny.core()
    freezing.apply(core.groups, rules, "train")
    with pytest.raises(FlagError, match=r"trains nothing: .*norm=frozen leaves.*--norm=train"):
        freezing.apply(core.groups, rules, "frozen")


def test_freezing_batch_norms_that_stay_frozen_is_no_error():
    core = tiny.core()
    plan = freezing.apply(core.groups, [("stage_2/norm_2/.*", 0), (".*", 1)], "frozen")
    assert "conv_2/kernel" in plan.rates and not any("norm" in name for name in plan.moving)


def test_norms_of_transformers_have_no_statistics_to_freeze():
    core = tiny.core(tiny.text_backbone())
    plan = freezing.apply(core.groups, subsets.norm_only().phases(core)[0].rules, "frozen")
    assert any("layer_norm" in name for name in plan.rates)


def test_a_pattern_that_is_no_expression_is_an_error():
    with pytest.raises(FlagError, match="not a regular expression"):
        freezing.apply(tiny.core().groups, [("(", 1)])


def test_table_adds_up():
    core = tiny.core()
    plan = freezing.apply(core.groups, methods.partial(1).phases(core)[0].rules)
    rows = {row["group"]: row for row in freezing.table(plan)}
    assert rows["stage_1"]["trained"] == 0 and rows["stage_1"]["rates"] == []
    assert rows["stage_2"]["trained"] == 4 * 4 * 9 + 4 + 8
    assert sum(row["trained"] for row in rows.values()) == plan.num_trainable
    assert "frozen" in freezing.table_text(plan)


def test_the_table_says_what_becomes_of_batch_norms():
    core = tiny.core()
    rules = methods.partial(1).phases(core)[0].rules

    def shown(norm):
        plan = freezing.apply(core.groups, rules, norm)
        lines = freezing.table_text(plan).splitlines()
        at = lines[0].index("norm")
        return [row["norm"] for row in freezing.table(plan)], [
            x[at:].split()[0] for x in lines[1:4]
        ]

    assert shown("recalibrate") == (
        [["frozen"], ["recalibrate"], []],
        ["frozen", "recalibrate", "-"],
    )
    assert shown("frozen") == ([["frozen"], ["frozen"], []], ["frozen", "frozen", "-"])


@pytest.mark.parametrize("last_groups", [0, 3])
def test_partial_refuses_groups_that_are_not_there(last_groups):
    with pytest.raises(FlagError, match="last_groups"):
        methods.partial(last_groups).phases(tiny.core())


def test_what_moves_is_what_is_trained_and_the_statistics_that_follow():
    core = tiny.core()
    rules = [("stage_2/.*/kernel", 1), ("stage_1/.*", 1)]
    plan = freezing.apply(core.groups, rules)
    expected = {
        "conv_2/kernel",
        *(f"conv_1/{name}" for name in ("kernel", "bias")),
        *(f"norm_1/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")),
    }
    assert set(plan.moving) == expected
    assert set(freezing.apply(core.groups, rules, norm="frozen").moving) == {
        name for name in expected if not name.startswith("norm")
    }


NESTED = "block_2/norm"


def nested_core():
    return tiny.core(tiny.image_backbone(nested=True))


@pytest.mark.parametrize(
    ("rules", "norm", "moves"),
    [
        ([(".*", 1)], "train", True),
        ([("head/.*", 1), (".*/kernel", 1)], "train", False),
        ([("head/.*", 1), (".*/(conv|conv_1)/bias", 1)], "train", False),
        ([("head/.*", 1), (".*/beta", 1)], "train", True),
        ([("head/.*", 1), (".*/beta", 1)], "recalibrate", True),
        ([(".*", 1)], "frozen", False),
    ],
)
def test_a_batch_norm_inside_of_a_layer_moves_if_it_is_trained_itself(rules, norm, moves):
    core = nested_core()
    plan = freezing.apply(core.groups, rules, norm)
    statistics = [f"{NESTED}/moving_mean", f"{NESTED}/moving_variance"]
    before = {name: value.numpy() for name, value in core.named_weights().items()}
    core.model({"image": np.random.default_rng(0).random((4, 8, 8, 3)) * 255}, training=True)
    changed = [
        name
        for name, value in core.named_weights().items()
        if not np.array_equal(value, before[name])
    ]
    assert [name for name in statistics if name in changed] == (statistics if moves else [])
    assert [name for name in statistics if name in plan.moving] == (statistics if moves else [])
    assert set(changed) <= set(plan.moving)


def test_a_batch_norm_inside_of_a_block_of_kerashub():
    from keras_hub.src.models.efficientnet.mbconv import MBConvBlock

    block = MBConvBlock(8, 8, name="block")
    block(np.zeros((1, 4, 4, 8)))
    plan = freezing.apply([group(block)], [(".*kernel", 1)])
    assert plan.moving == tuple(plan.rates) and all("kernel" in name for name in plan.moving)
    plan = freezing.apply([group(block)], [(".*", 1)])
    built = [norm for norm in freezing.norms(block) if norm.weights]
    assert sum("moving" in name for name in plan.moving) == 2 * len(built) > 0


def group(*layers):
    return Group("stage", layers)


def test_a_batch_norm_without_weights_follows_the_rule_for_its_statistics():
    norm = keras.layers.BatchNormalization(scale=False, center=False, name="norm")
    conv = keras.layers.Conv2D(2, 1, name="conv")
    norm(conv(np.zeros((1, 4, 4, 2))))
    groups = [group(conv, norm)]
    statistics = ("norm/moving_mean", "norm/moving_variance")
    assert freezing.apply(groups, [(".*", 1)]).moving[-2:] == statistics
    assert set(freezing.apply(groups, [("stage/conv/.*", 1)]).moving).isdisjoint(statistics)
    assert set(freezing.apply(groups, [(".*", 1)], "frozen").moving).isdisjoint(statistics)


def test_a_plan_changes_nothing_until_it_is_applied():
    core = tiny.core()
    freezing.apply(core.groups, [("head/.*", 1)], norm="frozen")

    def flags():
        layers = [
            part for group in core.groups for x in group.layers for part in x._flatten_layers()
        ]
        return [
            (x.trainable, getattr(x, "momentum", 0), [v.trainable for v in x.weights])
            for x in layers
        ]

    before = flags()
    plan = freezing.plan(core.groups, [(".*", 1)])
    assert flags() == before
    assert plan.apply() is plan and flags() != before
    assert flags() == (freezing.apply(core.groups, [(".*", 1)]), flags())[1]
