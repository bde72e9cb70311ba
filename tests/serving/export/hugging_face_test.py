"""The Hugging Face folder: KerasHub's own reader and transformers, where it is there, read the same."""

import dataclasses
import json

import keras
import keras_hub
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from tests import served
from tltf.config import call_strings
from tltf.config.catalogs import FORMATS, METHODS
from tltf.errors import ModelError
from tltf.heads.classify import classify
from tltf.heads.multi_label import multi_label
from tltf.methods.context import FitContext
from tltf.serving.export import hugging_face, measuring, runtime_process
from tltf.serving.export.runtime_process import Task

TEXTS = ["a good film", "the films is bad", "a"]
POOLED = "classify(pooling=pooled)"
HEADS = [
    "classify",
    POOLED,
    "classify(pooling=first)",
    "classify(pooling=max, hidden=[6])",
    "classify(pooling=first, hidden=[8], activation=tanh)",
    "classify(pooling=pooled, hidden=[6], activation=gelu)",
    "multi_label",
]


def export(trained, folder):
    return call_strings.pick(FORMATS, "hf").build(trained, folder, None, False).finish()


def logits_of(trained, tensors):
    return trained.core.model(tensors, training=False)[trained.core.head.name].numpy()


def answers(runtime, folder, tensors):
    _, load = runtime_process.RUNTIMES[runtime](Task(runtime, str(folder), {}, ""))
    return load()({name: value.numpy() for name, value in tensors.items()})["logits"]


@pytest.mark.parametrize("head", HEADS)
def test_the_folder_holds_the_same_network(head, tmp_path):
    trained = served.bert(tmp_path / "bert", head)
    folder = export(trained, tmp_path / "hf")
    tensors = trained.preprocessing(tf.constant(TEXTS))
    expected = logits_of(trained, tensors)
    np.testing.assert_allclose(answers("numpy_bert", folder, tensors), expected, atol=1e-5)
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}
    is_classifier = "pooled)" in head or "tanh" in head
    assert config["architectures"] == [
        "BertForSequenceClassification" if is_classifier else "BertModel"
    ]
    assert (folder / "modules.json").exists() != is_classifier
    assert ("AutoModelForSequenceClassification.from" in (folder / "README.md").read_text()) == (
        is_classifier
    )


def test_a_cropped_network_has_fewer_layers_there(tmp_path):
    whole = served.bert(tmp_path / "bert")
    smaller = call_strings.pick(METHODS, "crop").build().prepare(whole.core, FitContext())
    trained = dataclasses.replace(whole, core=smaller)
    folder = export(trained, tmp_path / "hf")
    tensors = trained.preprocessing(tf.constant(TEXTS))
    expected = logits_of(trained, tensors)
    np.testing.assert_allclose(answers("numpy_bert", folder, tensors), expected, atol=1e-5)
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 1


def test_transformers_reads_the_folder(tmp_path):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    for head in ("classify", POOLED):
        trained = served.bert(tmp_path / head, head)
        folder = export(trained, tmp_path / f"{head} hf")
        tensors = trained.preprocessing(tf.constant(TEXTS))
        found = answers("transformers", folder, tensors)
        np.testing.assert_allclose(found, logits_of(trained, tensors), atol=1e-5)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        ids = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=12)["input_ids"]
        np.testing.assert_array_equal(ids, tensors["token_ids"].numpy())


def test_kerashub_reads_the_encoder_back(tmp_path):
    """Its converter of Hugging Face folders is not ours, and knows names and orientation by itself."""
    trained = served.bert(tmp_path / "bert")
    folder = export(trained, tmp_path / "hf")
    tensors = {  # KerasHub wants a pooler, which this head does not use
        **safetensors.numpy.load_file(folder / "model.safetensors"),
        "pooler.dense.weight": np.zeros((8, 8), np.float32),
        "pooler.dense.bias": np.zeros(8, np.float32),
    }
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    backbone = keras_hub.models.BertBackbone.from_preset(str(folder))
    inputs = trained.preprocessing(tf.constant(TEXTS))
    found = backbone(inputs)["sequence_output"]
    steps = trained.core.backbone.taps["sequence"]
    own = keras.Model(trained.core.backbone.inputs, steps)(inputs)
    np.testing.assert_allclose(found, own, atol=1e-6)
    tokenizer = keras_hub.models.BertTokenizer.from_preset(str(folder))
    assert tokenizer.get_vocabulary() == list(served.PIECES)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("ordinal", "hf takes the heads classify and multi_label"),
        ("classify(hidden=[4], activation=selu)", "hf has no activation selu"),
    ],
)
def test_what_has_no_counterpart_is_refused(head, said, tmp_path):
    trained = served.bert(tmp_path / "bert", head)
    with pytest.raises(ModelError, match=said):
        export(trained, tmp_path / "hf")
    assert list((tmp_path / "hf").iterdir()) == []


def test_the_temperatures_are_in_the_output_layer_that_others_read():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    layer.bias.assign([0.5, -1.0])
    features = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    for head, divisor in (
        (classify(temperature=0.5), 0.5),
        (multi_label(temperatures=[2.0, 4.0]), np.array([2.0, 4.0])),
        (classify(), 1.0),
    ):
        written = hugging_face._output(layer, "classifier", head)
        logits = features @ written["classifier.weight"].T + written["classifier.bias"]
        own = features @ layer.kernel.numpy() + layer.bias.numpy()
        np.testing.assert_allclose(logits, own / divisor, rtol=1e-5)
        np.testing.assert_allclose(
            measuring.scores_of({"logits": logits}, head), head.scores(own), rtol=1e-5
        )
