import dataclasses
import json

import keras
import numpy as np
import pytest

from tests import tiny
from tltf.backbones.builder import save_assets
from tltf.config.options import make
from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.models import core_builder


def options(**values):
    given = {"backbone": "small_cnn(filters=[4, 8])", "image_size_px": 12} | values
    return make(**given).model


def pixels(count=3, size=12, channels=1):
    rng = np.random.default_rng(0)
    return {"image": rng.integers(0, 256, (count, size, size, channels)).astype("float32")}


def test_a_core_is_one_flat_graph_from_named_inputs_to_named_logits():
    core = core_builder.build(options(head="classify(hidden=5)"), 3, "image")
    assert not [layer for layer in core.model.layers if isinstance(layer, keras.Model)]
    outputs = core.model(pixels())
    assert list(outputs) == ["label"] and outputs["label"].shape == (3, 3)
    assert [group.name for group in core.groups] == ["stage_1", "stage_2", "head"]


def test_groups_cover_every_variable_once():
    core = tiny.core(head="classify(hidden=[5, 4], dropout=.1)")
    grouped = [v.path for group in core.groups for x in group.layers for v in x.weights]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {v.path for v in core.model.weights if "seed" not in v.path}


def test_rebuilt_from_json_with_the_weights_copied_the_output_is_the_same(tmp_path):
    core = core_builder.build(options(head="classify(hidden=5, dropout=.3)"), 3, "image")
    save_assets(core.backbone, tmp_path)
    fresh = core_builder.rebuild(json.loads(json.dumps(core.blueprint)), tmp_path)
    before, after = (functional.named_weights(c.model.layers) for c in (core, fresh))
    assert list(before) == list(after)
    for name, weight in after.items():
        weight.assign(before[name])
    outputs = [c.model(pixels(), training=False)["label"].numpy() for c in (core, fresh)]
    np.testing.assert_array_equal(*outputs)


def test_data_and_backbone_of_different_kind():
    with pytest.raises(FlagError, match="takes images, but the data has texts"):
        core_builder.build(options(), 3, "text")


def test_parts_of_a_backbone_that_the_head_does_not_reach_are_left_out():
    backbone = tiny.image_backbone()
    unused = keras.layers.Dense(3, name="unused")
    unused(backbone.taps["stage_2"])
    groups = (*backbone.groups, tiny.Group("pooler", (unused,)))
    backbone = dataclasses.replace(backbone, groups=groups)
    assert [group.name for group in tiny.core(backbone).groups] == ["stage_1", "stage_2", "head"]
