"""Small networks: their shapes, a learned vocabulary, masks that padding cannot move."""

import json

import keras
import numpy as np
import pytest

from tltf.backbones import builder, small
from tltf.errors import FlagError
from tltf.graphs import functional

TEXTS = ["The café was good, really good!", "the film was bad", "Good film; bad café?"] * 3


def test_small_cnn_is_the_textbook_s():
    backbone = builder.build("small_cnn")
    assert (backbone.image_size_px, backbone.channels, backbone.pretrained) == (28, 1, False)
    assert backbone.taps["stage_1"].shape == (None, 13, 13, 32)
    names = [layer.name for group in backbone.groups for layer in group.layers]
    assert names == ["scaling", "conv_1", "pool_1"]
    kernel = functional.named_weights(backbone.layers)["conv_1/kernel"].numpy()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1)).astype("float32")
    found = keras.Model(backbone.inputs, backbone.taps["stage_1"])({"image": pixels})[0, 0, 0]
    patches = pixels[0, :4, :4, 0] / 255
    sums = [
        [np.einsum("hw,hwc->c", patches[i : i + 3, j : j + 3], kernel[:, :, 0]) for j in (0, 1)]
        for i in (0, 1)
    ]
    expected = np.maximum(np.max(sums, axis=(0, 1)), 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_small_cnn_arguments():
    backbone = builder.build("small_cnn(filters=[8, 16], channels=3)", image_size_px=32)
    assert [group.name for group in backbone.groups] == ["stage_1", "stage_2"]
    assert backbone.taps["stage_2"].shape == (None, 6, 6, 16)
    with pytest.raises(FlagError, match="4 stages do not fit into 28 px"):
        builder.build("small_cnn(filters=[8, 8, 8, 8])")


def test_vocabulary_is_learned_from_the_texts():
    tokens = small.learn_vocabulary(TEXTS, 100)
    assert len(tokens) == len(set(tokens)) <= 100
    assert tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert {"good", "cafe", "bad", "the", "##e", "!"} <= set(tokens)
    assert tokens == small.learn_vocabulary(TEXTS, 100)
    tokenizer = small.learn_tokenizer(TEXTS, 100)
    words = [tokenizer.id_to_token(int(token)) for token in tokenizer("Good CAFÉ!")]
    assert words == ["good", "cafe", "!"]


def test_small_lstm_needs_texts():
    with pytest.raises(FlagError, match="learns its vocabulary from training texts"):
        builder.build("small_lstm")


def test_small_lstm_is_blind_to_padding_and_is_rebuilt(tmp_path):
    backbone = builder.build("small_lstm(units=8, embedding=4)", texts=TEXTS)
    assert [group.name for group in backbone.groups] == ["embeddings", "layer_1"]
    builder.save_assets(backbone, tmp_path)
    again = builder.rebuild(json.loads(json.dumps(backbone.blueprint)), tmp_path)
    target = functional.named_weights(again.layers)
    for name, variable in functional.named_weights(backbone.layers).items():
        target[name].assign(variable)
    rows = []
    for one, length in ((backbone, 4), (backbone, 9), (again, 9)):
        tokens = np.zeros((1, length), "int32")
        tokens[0, :4] = [2, 6, 7, 3]
        mask = (np.arange(length) < 4)[None].astype("int32")
        model = keras.Model(one.inputs, one.taps["pooled"])
        rows.append(model({"token_ids": tokens, "padding_mask": mask}).numpy())
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-6)
    np.testing.assert_array_equal(rows[2], rows[1])
    assert [int(t) for t in again.tokenizer("good film")] == [
        int(t) for t in backbone.tokenizer("good film")
    ]
