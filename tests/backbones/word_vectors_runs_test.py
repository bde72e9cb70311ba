"""Whole runs on networks of one vector per token, with a GloVe of a few words in the package's place."""

import random

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import tltf
from tests.contracts import backbones_test as contract
from tltf.graphs import functional
from tltf.serving.export import saved_model

WORDS = ["the", "film", "is", "good", "bad", "fine", "awful", "a", "n't", "."]


@pytest.fixture(autouse=True)
def tiny_glove(tmp_path, monkeypatch):
    """A cache whose converted GloVe has 10 words; the first number of a vector is its polarity."""
    table = np.random.default_rng(0).normal(size=(len(WORDS), 50)).astype("float32")
    table[:, 0] = [
        3 * (word in ("good", "fine")) - 3 * (word in ("bad", "awful")) for word in WORDS
    ]
    folder = tmp_path / "cache" / "converted"
    folder.mkdir(parents=True)
    words = np.frombuffer("\n".join(WORDS).encode(), "uint8")
    safetensors.numpy.save_file({"vectors": table, "words": words}, folder / "glove.safetensors")
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))
    return table


@pytest.mark.parametrize("text", ["glove(words=8)", "small_lstm(units=6, vectors=glove)"])
def test_they_keep_the_contract_of_backbones(text, tmp_path):
    contract.test_a_backbone(text, tmp_path)


def _rows(count):
    draw = random.Random(1)
    words = {"good": ["good", "fine"], "bad": ["bad", "awful"]}
    labels = [("good", "bad")[number % 2] for number in range(count)]
    texts = [f"The film is {draw.choice(words[label])}. {n}" for n, label in enumerate(labels)]
    return texts, labels


@pytest.mark.parametrize(
    ("backbone", "method"),
    [
        ("glove", "probe"),
        pytest.param("small_lstm(units=4, vectors=glove)", "full", marks=pytest.mark.large),
    ],
)
def test_a_run_on_word_vectors_is_exported_with_raw_strings(backbone, method, tmp_path, tiny_glove):
    result = tltf.fit(
        _rows(48), backbone=backbone, method=method, train_epochs=1, baseline="none", explain="none"
    )
    table = functional.named_weights(result.model.core.backbone.layers)[
        "token_embedding/embeddings"
    ].numpy()
    is_frozen = method == "probe"
    assert np.array_equal(table[2:], tiny_glove) == is_frozen
    texts = ["A fine film", "the film isn't good.", "awful", "nothing known"]
    path = saved_model.export_saved_model(result.model, tmp_path / "export", None, False)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    given = served(text=tf.constant(texts))["probabilities"].numpy()
    found = [list(row.probabilities.values()) for row in result.model.predict(texts)]
    np.testing.assert_allclose(given, found, atol=1e-5)
    if is_frozen:
        names = [row.label for row in result.model.predict(["a fine film", "an awful film"])]
        assert names == ["good", "bad"]
