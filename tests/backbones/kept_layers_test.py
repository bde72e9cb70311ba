"""Parts that stay: prompts against blocks called by hand, rebuilds, and records that are refused."""

import keras
import numpy as np
import pytest

from tests import tiny
from tltf.backbones import kept_layers
from tltf.errors import FlagError, ModelError
from tltf.graphs.core import attach_head

TEXTS = {
    "token_ids": np.array([[1, 2, 3, 4, 0], [5, 6, 7, 0, 0]], "int32"),
    "padding_mask": np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]], "int32"),
}
PLACE = "layer_1/block_1/feedforward_output_dense/kernel"


def outputs(backbone):
    return keras.Model(backbone.inputs, backbone.taps)(TEXTS, training=False)


def test_a_prompt_stands_before_the_blocks_and_is_dropped_behind_them():
    plain = tiny.text_backbone()
    before = outputs(plain)
    backbone = kept_layers.insert(plain, "prompt", 3)
    assert [group.name for group in backbone.groups] == [
        "embeddings",
        "prompt",
        "layer_1",
        "layer_2",
        "pooler",
    ]
    vectors = backbone.groups[1].layers[0].vectors.numpy()
    embedding, first, second, pooler = (backbone.groups[n].layers[0] for n in (0, 2, 3, 4))
    tokens = np.asarray(embedding(TEXTS["token_ids"]))
    x = np.concatenate([np.stack([vectors] * 2), tokens], axis=1)
    mask = np.concatenate([np.ones((2, 3), "int32"), TEXTS["padding_mask"]], axis=1)
    x = second(first(x, padding_mask=mask), padding_mask=mask)
    found = outputs(backbone)
    np.testing.assert_allclose(found["sequence"], x[:, 3:], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["pooled"], pooler(x[:, 3]), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["mask"], TEXTS["padding_mask"])
    assert np.abs(np.asarray(found["sequence"]) - before["sequence"]).max() > 1e-3
    for name, value in outputs(plain).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("length", [None, 5])
def test_padding_changes_nothing_behind_a_prompt(length):
    backbone = kept_layers.insert(tiny.text_backbone(length=length), "prompt", 2)
    found = outputs(backbone)
    if length is None:
        shorter = {name: array[:, :4] for name, array in TEXTS.items()}
        again = keras.Model(backbone.inputs, backbone.taps)(shorter, training=False)
        np.testing.assert_allclose(
            again["sequence"], found["sequence"][:, :4], rtol=1e-5, atol=1e-5
        )
    assert backbone.taps["sequence"].shape == (None, length, 8)


def test_a_record_makes_the_same_graph_again():
    backbone = tiny.text_backbone()
    backbone = kept_layers.insert(backbone, "adapters", 2, [PLACE])
    backbone = kept_layers.insert(
        backbone, "prefix", 3, ["layer_2/block_2/self_attention_layer/query/kernel"]
    )
    backbone = kept_layers.insert(backbone, "prompt", 4)
    records = backbone.blueprint[kept_layers.RECORD]
    assert [row["kind"] for row in records] == ["adapters", "prefix", "prompt"]
    fresh = kept_layers.rebuild_parts(tiny.text_backbone(), records)
    assert fresh.blueprint == backbone.blueprint
    old, new = (attach_head(x, _head(), 3) for x in (backbone, fresh))
    assert list(old.named_weights()) == list(new.named_weights())
    new.model.set_weights(old.model.get_weights())
    expected = old.model(TEXTS, training=False)["label"]
    np.testing.assert_array_equal(new.model(TEXTS, training=False)["label"], expected)


def _head():
    from tltf.config import call_strings
    from tltf.config.catalogs import HEADS

    return call_strings.pick(HEADS, "classify")


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"kind": "adapters", "size": 2},
        {"kind": "pickles", "size": 2, "names": []},
        {"kind": "adapters", "size": 2, "names": ["layer_1/nothing"]},
        {"kind": "adapters", "size": 2, "names": [PLACE, PLACE]},
        {"kind": "adapters", "size": 10**9, "names": [PLACE]},
        {"kind": "adapters", "size": True, "names": [PLACE]},
        {"kind": "prefix", "size": 2, "names": [PLACE]},
        {"kind": "prompt", "size": 0, "names": []},
        {"kind": "prompt", "size": 1, "names": "all"},
    ],
)
def test_records_from_nowhere_are_refused(record):
    with pytest.raises(ModelError, match="the backbone has"):
        kept_layers.rebuild_parts(tiny.text_backbone(), [record])


def test_a_place_takes_one_part():
    records = [{"kind": "adapters", "size": 2, "names": [PLACE]}] * 2
    with pytest.raises(ModelError, match="no place for a part"):
        kept_layers.rebuild_parts(tiny.text_backbone(), records)


def test_a_prompt_is_for_transformers():
    with pytest.raises(FlagError, match="no blocks of a transformer"):
        kept_layers.insert(tiny.image_backbone(), "prompt", 3)
