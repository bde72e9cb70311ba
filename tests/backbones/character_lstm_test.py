"""textgenrnn's network: equal to an LSTM and an attention in numpy on the package's own arrays.

The formulas are those of the package (blanks before a text up to 40 characters, attention over all 40 places) and
of cuDNN's user guide, whose layout the file has: a matrix for each gate with a row for each unit, two
biases for each, and gates in the order i, f, c, o.
"""

import json

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import tltf
from tltf.backbones import builder
from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError
from tltf.files import assets
from tltf.graphs import functional
from tltf.graphs.core import attach_head
from tltf.heads.pooling import pool
from tltf.serving.export import saved_model

START, BLANK, UNITS = 464, 0, 128
NEXT = {
    "the quick brown fo": "r",
    "I love yo": "u",
    "Happy birthda": "y",
    "What do you thi": "n",
    "My girlfrien": "d",
    "New York Cit": "y",
    "This is the first tim": "e",
    "How to mak": "e",
    "Donald Trum": "p",
    "TIL that the": " ",
}
"""Texts and what everybody expects to follow; the network, not English, says `for` after `brown fo`."""
LONG = "The film is charming, funny and a little too long for a story about one man and his dog."
PLAIN = {"baseline": "none", "explain": "none", "export": False}


@pytest.fixture(scope="module")
def raw():
    """The arrays of the package's file by their names, and the numbers of characters."""
    folder = assets.fetch("textgenrnn")
    arrays = {}
    with h5py.File(folder / "textgenrnn_weights.hdf5") as file:
        keep = lambda name, item: arrays.update({name: item[()]} if hasattr(item, "dtype") else {})  # noqa: E731
        file.visititems(keep)
    names = {name.split("/", 1)[1].removesuffix(":0"): array for name, array in arrays.items()}
    return names, json.loads((folder / "textgenrnn_vocab.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def backbone():
    return builder.build("textgenrnn")


def _lstm(inputs, arrays, name):
    """float[L, 128]: the states after each of float[L, d], in cuDNN's terms."""
    split = lambda array: np.split(array, 4, axis=-1)  # noqa: E731
    w = [gate.reshape(UNITS, -1) for gate in split(arrays[f"{name}/kernel"])]
    r = [gate.reshape(UNITS, UNITS) for gate in split(arrays[f"{name}/recurrent_kernel"])]
    of_inputs, of_state = np.split(arrays[f"{name}/bias"], 2)
    hidden = cell = np.zeros(UNITS)
    states = []
    for x in inputs:
        i, f, c, o = (
            w[gate] @ x + r[gate] @ hidden + split(of_inputs)[gate] + split(of_state)[gate]
            for gate in range(4)
        )
        sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(c)
        hidden = sigmoid(o) * np.tanh(cell)
        states.append(hidden)
    return np.array(states)


def _package(ids, arrays):
    """`(states float[40, 356], average float[356])` of at most 40 ids, with blanks before them."""
    padded = [BLANK] * (40 - len(ids)) + list(ids)
    embedded = arrays["embedding/embeddings"][padded]
    first = _lstm(embedded, arrays, "rnn_1")
    states = np.concatenate([embedded, first, _lstm(first, arrays, "rnn_2")], axis=1)
    shares = np.exp(states @ arrays["attention/attention_W"])
    return states, (shares * states).sum(axis=0) / shares.sum()


def _answers(backbone, texts, length):
    inputs = TextPreprocessing(backbone.tokenizer, length, tuple(backbone.inputs))(texts)
    outputs = keras.Model(backbone.inputs, backbone.taps)(inputs, training=False)
    return {name: value.numpy() for name, value in outputs.items()}


def _ids(text, numbers):
    return [START, *(numbers[character] for character in text if character in numbers)]


def test_short_texts_have_the_states_and_the_average_of_the_package(raw, backbone):
    arrays, numbers = raw
    texts = [*NEXT, "", "x" * 39, "Ünïcode ツ 日本"]
    found = _answers(backbone, texts, 64)
    for row, text in enumerate(texts):
        ids = _ids(text, numbers)
        states, average = _package(ids, arrays)
        np.testing.assert_allclose(found["pooled"][row], average, atol=2e-5)
        own = found["sequence"][row, : len(ids)]
        np.testing.assert_allclose(own, states[40 - len(ids) :], atol=5e-5)


def test_next_characters_are_those_of_english(raw, backbone):
    arrays, numbers = raw
    names = {number: character for character, number in numbers.items()}
    kernel, bias = arrays["output/kernel"], arrays["output/bias"]
    of_ours = _answers(backbone, list(NEXT), 48)["pooled"] @ kernel + bias
    of_package = [_package(_ids(text, numbers), arrays)[1] @ kernel + bias for text in NEXT]
    np.testing.assert_allclose(of_ours, of_package, atol=1e-3)
    assert [names[row.argmax()] for row in of_ours] == list(NEXT.values())


def test_a_longer_text_is_read_in_windows_that_begin_anew(raw, backbone):
    arrays, numbers = raw
    ids = _ids(LONG, numbers)
    parts = [ids[:40], ids[40:80], ids[80:]]
    assert len(ids) == 89
    found = _answers(backbone, [LONG, "short"], 100)
    averages = []
    for place, part in enumerate(parts):
        states, average = _package(part, arrays)
        own = found["sequence"][0, 40 * place : 40 * place + len(part)]
        np.testing.assert_allclose(own, states[40 - len(part) :], atol=5e-5)
        averages.append(average)
    expected = np.average(averages, axis=0, weights=[40, 40, 9])
    np.testing.assert_allclose(found["pooled"][0], expected, atol=2e-5)


@pytest.mark.parametrize("pooling", ["auto", "pooled", "last"])
def test_neither_padding_nor_neighbours_change_a_text(pooling, backbone):
    model = keras.Model(backbone.inputs, pool(backbone.taps, "text", pooling))
    texts = [LONG, "I love you", "", LONG[:39]]
    prepare = TextPreprocessing(backbone.tokenizer, 120, tuple(backbone.inputs))
    inputs = {name: value.numpy() for name, value in prepare(texts).items()}
    together = model(inputs, training=False).numpy()
    others = np.where(inputs["padding_mask"], inputs["token_ids"], 9)
    changed = model(inputs | {"token_ids": others}, training=False).numpy()
    np.testing.assert_allclose(changed, together, atol=1e-6)
    for row, text in enumerate(texts):
        alone = TextPreprocessing(backbone.tokenizer, len(text) + 1, tuple(backbone.inputs))([text])
        np.testing.assert_allclose(model(alone, training=False)[0], together[row], atol=1e-5)


def test_it_is_cut_at_240_characters_unless_told_otherwise(backbone):
    assert backbone.text_length == 240 and backbone.takes_any_length
    assert builder.build("textgenrnn", text_length=1000).text_length == 1000
    names = [group.name for group in backbone.groups]
    assert names == ["embeddings", "layer_1", "layer_2", "pooler"]
    core = attach_head(backbone, call_strings.pick(HEADS, "classify"), 2)
    assert [group.name for group in core.groups] == ["embeddings", "layer_1", "layer_2", "head"]


def _rows(count=48):
    labels = [("good", "bad")[number % 2] for number in range(count)]
    said = {"good": "a fine film, see it twice", "bad": "a waste of time, I left early"}
    return [f"{number}: {said[label]}" for number, label in enumerate(labels)], labels


def _weights(layers):
    return {name: v.numpy() for name, v in functional.named_weights(layers).items()}


@pytest.mark.parametrize(
    ("method", "trained"),
    [
        ("linear_probe", ()),
        ("partial(last_groups=1)", ("layer_2_lstm/",)),
        pytest.param(
            "gradual(stages=2)",
            ("layer_1_lstm/", "layer_2_lstm/", "token_embedding/"),
            marks=pytest.mark.large,
        ),
    ],
)
def test_frozen_groups_stay_and_the_others_are_trained(method, trained, backbone, tmp_path):
    before = _weights(backbone.layers)
    run = str(tmp_path / "run")
    result = tltf.fit(
        _rows(),
        backbone="textgenrnn",
        method=method,
        train_epochs=2,
        learning_rate=0.01,
        output=run,
        **PLAIN,
    )
    after = _weights(result.model.core.model.layers)
    compared = [name for name in before if name in after]
    assert len(compared) == 11, "all but those of the attention, which nothing reads"
    for name in compared:
        is_trained = name.startswith(trained)
        assert np.array_equal(before[name], after[name]) != is_trained, name
    loaded = tltf.load(run)
    texts = [LONG, "I love you", "日本"]
    answers = [list(row.probabilities.values()) for row in loaded.predict(texts)]
    expected = [list(row.probabilities.values()) for row in result.model.predict(texts)]
    np.testing.assert_array_equal(answers, expected)
    if trained:
        return
    path = saved_model.export_saved_model(loaded, tmp_path / "export", None, False)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    given = served(text=tf.constant(texts))["probabilities"].numpy()
    np.testing.assert_allclose(given, answers, atol=1e-5)


def test_no_layer_can_be_cut_off():
    with pytest.raises(FlagError, match="side by side"):
        tltf.fit(_rows(), backbone="textgenrnn", method="crop", train_epochs=1, **PLAIN)
