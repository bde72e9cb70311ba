import types

import keras_hub
import numpy as np

from tests import tiny
from tltf.data import preprocessing
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.texts.preprocessing import TextPreprocessing

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]


def tokenizer():
    return keras_hub.tokenizers.BertTokenizer(vocabulary=VOCABULARY)


def texts(*counts):
    return [" ".join(["a"] * count) for count in counts]


def fitting_length(some, most):
    return preprocessing.fitting_length(TextPreprocessing(tokenizer(), most), [some])


def test_length_is_the_99th_percentile_rounded_up():
    some = texts(*([3] * 99 + [40]))
    counts = [len(text.split()) + 2 for text in some]
    expected = int(np.ceil(np.percentile(counts, 99) // 1 / 8) * 8)
    assert fitting_length(some, 64) == expected == 8
    assert fitting_length(texts(20, 20, 20), 64) == 24


def test_length_is_no_more_than_the_network_takes():
    assert fitting_length(texts(100, 100), 32) == 32


def test_given_length_wins_and_inputs_are_the_networks():
    backbone = types.SimpleNamespace(
        modality="text",
        tokenizer=tokenizer(),
        text_length=64,
        inputs={"token_ids": 0, "segment_ids": 0},
    )
    source = types.SimpleNamespace(fields={"text": None}, text_columns=lambda: [texts(3)])
    found = preprocessing.build(backbone, source, 12)
    assert found.length == 12 and found.inputs == ("token_ids", "segment_ids")


def test_images_get_the_networks_size_and_channels():
    found = preprocessing.build(tiny.image_backbone(size_px=12), None)
    assert found == ImagePreprocessing(12, 3)
