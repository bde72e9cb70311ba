import keras
import numpy as np
import pytest

from tests import tiny
from tltf.graphs import freezing, frozen_prefix

IMAGES = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)).astype("float32")
RULES = {
    "linear_probe": [("head/.*", 1)],
    "partial": [("head/.*", 1), ("stage_2/.*", 1)],
    "full": [(".*", 1)],
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_cut_and_joined_gives_exactly_the_same(rules):
    core = tiny.core()
    freezing.apply(core.groups, rules)
    joined = tiny.training_model(core.model, core.groups)
    expected = core.model({"image": IMAGES}, training=False)["label"]
    assert np.array_equal(joined({"image": IMAGES}, training=False)["label"], expected)


def test_boundary_is_the_deepest_frozen_tensors():
    core = tiny.core()
    freezing.apply(core.groups, RULES["partial"])
    cut = frozen_prefix.cut(core.model, core.groups)
    names = {layer.name for layer in cut.prefix.layers}
    assert {"conv_1", "norm_1", "drop_1"} <= names and "conv_2" not in names
    assert len(cut.prefix.outputs) == 1
    assert {layer.name for layer in cut.suffix.layers} >= {"conv_2", "norm_2", "add"}


def test_frozen_prefix_applies_no_dropout_and_the_suffix_does():
    core = tiny.core(tiny.image_backbone(dropout=0.9))
    freezing.apply(core.groups, RULES["linear_probe"], norm="frozen")
    joined = tiny.training_model(core.model, core.groups)
    expected = core.model({"image": IMAGES}, training=False)["label"]
    assert np.array_equal(joined({"image": IMAGES}, training=True)["label"], expected)
    assert not np.allclose(core.model({"image": IMAGES}, training=True)["label"], expected)


def test_dropout_of_the_head_stays_on():
    core = tiny.core(head="classify(dropout=.9)")
    freezing.apply(core.groups, RULES["linear_probe"], norm="frozen")
    joined = tiny.training_model(core.model, core.groups)
    expected = core.model({"image": IMAGES}, training=False)["label"]
    assert not np.allclose(joined({"image": IMAGES}, training=True)["label"], expected)


@pytest.mark.parametrize("rules", [RULES["linear_probe"], RULES["partial"]])
def test_fit_moves_what_is_trained_and_not_one_bit_else(rules):
    core = tiny.core()
    plan = freezing.apply(core.groups, rules)
    before = {v.path: v.numpy() for v in core.model.variables}
    joined = tiny.training_model(core.model, core.groups)
    joined.compile(keras.optimizers.Adam(0.01), core.head.loss(), jit_compile=False)
    joined.fit({"image": IMAGES}, {"label": np.array([0, 1, 2, 0, 1, 2])}, epochs=2, verbose=0)
    trained_layers = {path.split("/")[0] for path in plan.rates}
    for variable in core.model.weights:
        is_same = np.array_equal(before[variable.path], variable)
        assert is_same == (variable.path.split("/")[0] not in trained_layers), variable.path
    slots = [v for v in joined.optimizer.variables if len(v.shape)]
    assert len(slots) == 2 * len(plan.rates)


def test_half_precision_cuts_exactly_too():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        core = tiny.core()
        freezing.apply(core.groups, RULES["partial"])
        joined = tiny.training_model(core.model, core.groups)
        expected = core.model({"image": IMAGES}, training=False)["label"]
        assert expected.dtype == "float32"
        assert np.array_equal(joined({"image": IMAGES}, training=False)["label"], expected)
    finally:
        keras.config.set_dtype_policy(before)


def test_steps_run_together_above_vectors_alone():
    """Not where token ids are passed on: then the whole network is trained in each step."""
    vector, ids = (
        keras.Input((4,), name="boundary_0"),
        keras.Input((None,), dtype="int32", name="boundary_1"),
    )
    wide = keras.Input((None,), name="boundary_2")
    assert frozen_prefix.steps_together(keras.Model([vector], vector), 12) == 12
    for other in (ids, wide, keras.Input((4,), name="features")):
        assert frozen_prefix.steps_together(keras.Model([vector, other], vector), 12) == 1
