"""A cropped network computes what the whole one does up to there, and is rebuilt as it is."""

import keras
import numpy as np
import pytest

from tests import tiny
from tltf.backbones import cropping, kept_layers
from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.errors import FlagError
from tltf.methods.context import FitContext


def cropped(core, last_groups=1):
    method = call_strings.pick(METHODS, f"crop(last_groups={last_groups})").build()
    return method.prepare(core, FitContext())


def test_a_convolutional_network_ends_at_an_earlier_stage():
    whole = tiny.core()
    core = cropped(whole)
    image = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    assert list(core.backbone.taps) == ["stage_1"]
    assert [group.name for group in core.groups] == ["stage_1", "head"]
    stages = keras.Model(whole.backbone.inputs, whole.backbone.taps["stage_1"])
    features = stages(image, training=False).numpy().mean(axis=(1, 2))
    kernel, bias = (weight.numpy() for weight in core.groups[-1].layers[-1].weights)
    found = core.model(image, training=False)["label"]
    np.testing.assert_allclose(found, features @ kernel + bias, atol=1e-5)


def test_a_transformer_ends_after_an_earlier_block_and_keeps_its_pooler():
    whole = tiny.core(tiny.text_backbone(num_blocks=3), "classify(pooling=pooled)")
    core = cropped(whole, 2)
    assert [group.name for group in core.groups] == ["embeddings", "layer_1", "pooler", "head"]
    ids = np.arange(12, dtype=np.int32).reshape(2, 6)
    given = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    embedding, block = whole.model.get_layer("embedding"), whole.model.get_layer("block_1")
    pooler, head = whole.model.get_layer("pooler"), core.groups[-1].layers[-1]
    sequence = block(embedding(ids), padding_mask=given["padding_mask"])
    np.testing.assert_allclose(
        core.model(given, training=False)["label"], head(pooler(sequence[:, 0])), atol=1e-5
    )
    assert core.model.count_params() < whole.model.count_params()


def test_it_is_recorded_and_made_again():
    backbone = kept_layers.insert(tiny.text_backbone(num_blocks=3), cropping.RECORD_KIND, 1)
    records = backbone.blueprint[kept_layers.RECORD]
    assert records == [{"kind": "crop", "size": 1, "names": []}]
    again = kept_layers.rebuild_parts(tiny.text_backbone(num_blocks=3), records)
    assert [group.name for group in again.groups] == [group.name for group in backbone.groups]
    twice = kept_layers.insert(backbone, cropping.RECORD_KIND, 1)
    assert "layer_2" not in [group.name for group in twice.groups]


@pytest.mark.parametrize(
    ("backbone", "last_groups", "said"),
    [
        (tiny.image_backbone, 2, "at most 1 can go"),
        (tiny.text_backbone, 2, "at most 1 can go"),
        (lambda: tiny.text_backbone(num_blocks=1), 1, "none can go"),
    ],
)
def test_more_than_a_network_can_lose_is_refused(backbone, last_groups, said):
    with pytest.raises(FlagError, match=said):
        cropped(tiny.core(backbone()), last_groups)


def test_no_groups_are_refused():
    with pytest.raises(FlagError, match="last_groups must be at least 1"):
        call_strings.pick(METHODS, "crop(last_groups=0)").build()


def test_a_record_of_a_stranger_is_refused():
    with pytest.raises(FlagError, match="can go"):
        kept_layers.rebuild_parts(
            tiny.image_backbone(), [{"kind": "crop", "size": 99, "names": []}]
        )
