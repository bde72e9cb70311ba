"""Networks of one vector per token: how the vectors are made, and how GloVe's words are found."""

import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tltf.backbones import builder, word_vectors
from tltf.backbones.network import Request, assemble
from tltf.backbones.word_tokenizer import PAD, UNKNOWN, WordTokenizer
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError, ModelError
from tltf.files import assets
from tltf.graphs import functional
from tltf.heads.pooling import pool

WORDS = [
    "the",
    "film",
    "is",
    "did",
    "n't",
    "not",
    "'s",
    "good",
    "bad",
    ",",
    ".",
    "'",
    "u.s.",
    "3.5",
    "well-known",
    "café",
    "known",
    "well",
    "-",
]


def _tokenizer():
    return WordTokenizer([PAD, UNKNOWN, *WORDS])


def _words(text):
    tokenizer = _tokenizer()
    return [tokenizer.id_to_token(int(place)) for place in tokenizer(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The film is good.", ["the", "film", "is", "good", "."]),
        ("the film's bad, didn't", ["the", "film", "'s", "bad", ",", "did", "n't"]),
        ("the film\u2019s bad", ["the", "film", "'s", "bad"]),
        ("the U.S. 3.5 well-known", ["the", "u.s.", "3.5", "well-known"]),
        ("well-good (CAFÉ)", ["well", "-", "good", UNKNOWN, "café", UNKNOWN]),
        ("'good'", ["'", "good", "'"]),
        ("  ", []),
    ],
)
def test_texts_are_cut_as_those_of_glove(text, words):
    assert _words(text) == words


def test_words_of_many_texts_are_those_of_each_in_a_graph_too():
    tokenizer = _tokenizer()
    texts = ["the film's bad", "", "good", "well-good"]
    alone = [[int(place) for place in tokenizer(text)] for text in texts]
    assert tokenizer(texts).to_list() == alone
    graph = tf.function(tokenizer.__call__, input_signature=[tf.TensorSpec([None], tf.string)])
    assert graph(tf.constant(texts)).to_list() == alone
    assert tokenizer.token_to_id("film") == alone[0][1] and tokenizer.token_to_id("gone") == 1


def test_a_tokenizer_comes_back_from_its_files_and_refuses_others(tmp_path):
    _tokenizer().save_assets(str(tmp_path))
    again = WordTokenizer(**_tokenizer().get_config())
    with pytest.raises(ModelError, match="no vocabulary yet"):
        again("good")
    again.load_assets(str(tmp_path))
    assert again.get_vocabulary() == [PAD, UNKNOWN, *WORDS]
    for words in (WORDS, [PAD, UNKNOWN, "good", "good"]):
        with pytest.raises(ModelError, match="begins with"):
            WordTokenizer(words)


def test_features_are_the_mean_of_the_vectors_of_the_words():
    table = np.random.default_rng(0).normal(size=(len(WORDS) + 2, 5)).astype("float32")
    tokenizer = _tokenizer()
    request = Request("made", text_length=9)
    made = assemble(word_vectors.network(request, tokenizer, 5, table), request)
    texts = ["The film is good.", "didn't", ""]
    inputs = TextPreprocessing(tokenizer, 9, tuple(made.inputs))(texts)
    found = keras.Model(made.inputs, pool(made.taps, "text", "auto"))(inputs).numpy()
    expected = [table[tokenizer(text).numpy()].mean(0) for text in texts[:2]]
    np.testing.assert_allclose(found[:2], expected, atol=1e-6)
    np.testing.assert_array_equal(found[2], np.zeros(5))
    assert [group.name for group in made.groups] == ["embeddings"]


def test_weights_are_those_of_zipf_s_law():
    found = word_vectors.sif_weights(4, a=0.1)[:, 0]
    total = 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5
    expected = [0.1 / (0.1 + 1 / rank / total) for rank in (2, 3, 4, 5)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_components_are_those_of_another_library():
    from sklearn.decomposition import PCA

    states = np.random.default_rng(2).normal(size=(60, 6)) @ np.diag([9, 5, 3, 2, 1, 0.5])
    found, expected = word_vectors.project(states), PCA().fit_transform(states)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-4, atol=1e-4)


def test_special_and_unused_tokens_are_not_words():
    tokens = ["[PAD]", "[unused7]", "[", "]", "the", "##ing", "[MASK]"]
    assert [word_vectors.is_word(token) for token in tokens] == [0, 0, 1, 1, 1, 1, 0]


def test_arguments_out_of_range_are_refused():
    with pytest.raises(FlagError, match="1 to 384 components"):
        builder.build("minilm_static(width=500)")
    with pytest.raises(FlagError, match="at least one word"):
        builder.build("glove(words=0)")
    with pytest.raises(FlagError, match="vectors takes a backbone of token vectors"):
        builder.build("small_lstm(vectors=small_cnn)", texts=["a"])


@pytest.mark.large
def test_static_vectors_are_minilm_s_answers_for_each_token():
    large, static = builder.build("minilm_l6"), builder.build("minilm_static(width=384)")
    names = static.tokenizer.get_vocabulary()
    places = np.array([place for place, name in enumerate(names) if word_vectors.is_word(name)])
    table = functional.named_weights(static.layers)["token_embedding/embeddings"].numpy()
    model = keras.Model(large.inputs, large.taps["sequence"])
    chosen = places[[3, 999, 2000, 20000, -1]]
    ends = large.tokenizer.start_token_id, large.tokenizer.end_token_id
    tokens = np.array([[ends[0], place, ends[1]] for place in chosen], "int32")
    inputs = {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}
    states = model(inputs | {"segment_ids": np.zeros_like(tokens)}, training=False).numpy().mean(1)
    rank = np.searchsorted(places, chosen)
    found = table[chosen] / word_vectors.sif_weights(len(places))[rank]
    # a rotation about a mean that all tokens share: distances between tokens stay
    for one in range(5):
        own = np.linalg.norm(states[one] - states, axis=1)
        np.testing.assert_allclose(np.linalg.norm(found[one] - found, axis=1), own, atol=1e-4)
    assert not table[np.setdiff1d(np.arange(len(names)), places)].any()


@pytest.mark.large
def test_making_the_vectors_does_not_change_the_numbers_of_the_run(tmp_path, monkeypatch):
    folder = assets.fetch("minilm_l6")
    monkeypatch.setattr(word_vectors, "is_word", lambda token: token in ("good", "film", "the"))
    random.seed(3)
    expected = random.getstate()
    made = word_vectors._make_static(folder)
    assert random.getstate() == expected and np.count_nonzero(made["vectors"].any(axis=1)) == 3


@pytest.mark.large
def test_glove_knows_the_queen_and_its_lstm_too(tmp_path):
    backbone = builder.build("glove(words=50000)")
    table = functional.named_weights(backbone.layers)["token_embedding/embeddings"].numpy()
    king, man, woman, queen = map(backbone.tokenizer.token_to_id, ("king", "man", "woman", "queen"))
    wanted = table[king] - table[man] + table[woman]
    lengths = np.linalg.norm(table, axis=1)
    near = np.argsort(-(table @ wanted) / np.maximum(lengths, 1e-9))
    assert next(place for place in near if place not in (king, man, woman)) == queen
    lstm = builder.build("small_lstm(units=4, vectors=glove(words=50000))")
    assert [group.name for group in lstm.groups] == ["embeddings", "layer_1"]
    own = functional.named_weights(lstm.layers)["token_embedding/embeddings"].numpy()
    np.testing.assert_array_equal(own, table)
    builder.save_assets(lstm, tmp_path)
    again = builder.rebuild(json.loads(json.dumps(lstm.blueprint)), tmp_path)
    assert list(functional.named_weights(again.layers)) == list(
        functional.named_weights(lstm.layers)
    )
