"""A teacher with another tokenizer: its answers are looked up, taught as numpy says, and kept."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltf
from tests import tiny
from tests.methods.distillation_test import logits, numpy_softened
from tests.methods.features_test import added, batch
from tltf.caching import frozen_outputs
from tltf.methods import distillation, kept_answers
from tltf.methods.context import FitContext
from tltf.methods.kept_answers import KeptAnswers, TextAnswers

RNG = np.random.default_rng(4)


def _answers(inputs, rows, length=0):
    """Random answers to some rows of a batch, which are padded further to `length`."""
    tokens, mask = inputs["token_ids"][rows], inputs["padding_mask"][rows].astype(bool)
    more = ((0, 0), (0, max(length - tokens.shape[1], 0)))
    return TextAnswers(
        np.pad(tokens, more, constant_values=7),
        np.pad(mask, more),
        RNG.normal(size=(len(rows), 3)).astype("float32"),
        RNG.normal(size=(len(rows), 5)).astype("float32"),
    )


def test_answers_are_found_by_tokens_whatever_the_padding():
    inputs = batch(True, 8)
    distinct = np.unique(inputs["token_ids"] * inputs["padding_mask"], axis=0)
    assert len(distinct) == 8, "the rows differ"
    kept = _answers(inputs, np.array([5, 2, 7]), length=12)
    layer = KeptAnswers(kept)
    found = layer([tf.constant(inputs["token_ids"]), tf.constant(inputs["padding_mask"])]).numpy()
    expected = np.zeros((8, 9), "float32")
    expected[[5, 2, 7]] = np.concatenate([kept.logits, kept.features, np.ones((3, 1))], axis=1)
    np.testing.assert_array_equal(found, expected)
    other = KeptAnswers(_answers(inputs, np.array([5, 2, 7])), name=layer.name)
    assert layer.get_config() != other.get_config(), "one cannot be taken for the other"


@pytest.fixture
def otherwise(monkeypatch):
    """A teacher of 5 features that takes one input more, so that it cannot read the tokens."""
    backbone = tiny.text_backbone(width=5 + 1)
    core = tiny.core(backbone)
    backbone.inputs["segment_ids"] = keras.Input((None,), dtype="int32", name="segment_ids")
    model = types.SimpleNamespace(core=core, class_names=("a", "b", "c"))
    monkeypatch.setattr(distillation, "_load", lambda context, run: model)
    return model


def test_the_loss_is_that_of_the_rows_with_answers(otherwise):
    inputs, core = batch(True, 8), tiny.core(tiny.text_backbone())
    rows = np.array([0, 3, 4, 6, 7])
    kept = _answers(inputs, rows)
    context = FitContext(text_answers=lambda model: kept)
    method = distillation.distill("big", temperature=3.0, weight=0.6)
    prepared = method.prepare(core, context)
    expected = 0.6 * numpy_softened(kept.logits, logits(core, inputs)[rows], 3.0)
    assert added(prepared, inputs) == pytest.approx(expected, rel=1e-4)
    assert method.finish(prepared, None) is core
    unknown = {name: values[[1, 2]] for name, values in inputs.items()}
    assert added(prepared, unknown) == 0


def test_features_are_compared_of_the_rows_with_answers(otherwise):
    inputs, core = batch(True, 8), tiny.core(tiny.text_backbone())
    rows = np.array([1, 6])
    kept = _answers(inputs, rows)
    method = distillation.distill("big", weight=0.0, feature_weight=0.5)
    prepared = method.prepare(core, FitContext(text_answers=lambda model: kept))
    own = keras.Model(core.backbone.inputs, core.backbone.taps)(inputs)
    mask = inputs["padding_mask"][..., None]
    pooled = (np.asarray(own["sequence"]) * mask).sum(1) / mask.sum(1)
    kernel, bias = (v.numpy() for v in prepared.groups[-2].layers[0].weights)
    squares = (pooled[rows] @ kernel + bias - kept.features) ** 2
    assert added(prepared, inputs) == pytest.approx(0.25 * squares.mean(), rel=1e-3)


def test_a_dry_run_has_a_graph_without_answers(otherwise):
    prepared = distillation.distill("big").prepare(tiny.core(tiny.text_backbone()), FitContext())
    assert added(prepared, batch(True, 4)) == 0


def test_networks_that_read_alike_need_no_answers():
    one = tiny.text_backbone()
    assert not kept_answers.reads_otherwise(one, tiny.text_backbone())
    assert not kept_answers.reads_otherwise(one, tiny.image_backbone())
    assert not kept_answers.reads_otherwise(one, tiny.text_backbone(), 6, 6)
    assert kept_answers.reads_otherwise(one, tiny.text_backbone(), 6, 40)


def test_a_teacher_of_another_length_sees_its_own_length_of_the_text(tmp_path, monkeypatch):
    """The word that tells the classes apart is behind what the learning network reads."""
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))
    texts = [f"number {n} in words {word}" for n, word in enumerate(("good", "bad") * 15)]
    labels = ["yes", "no"] * 15
    usual = {"train_epochs": 1, "baseline": "none", "explain": "none", "seed": 1}
    usual |= {"backbone": "small_lstm(units=4, vocabulary=90)"}
    usual |= {"validation": (texts[20:26], labels[20:26]), "test": (texts[26:], labels[26:])}
    teacher = str(tmp_path / "teacher")
    rows = texts[:20], labels[:20]
    taught = tltf.fit(rows, text_length=40, output=teacher, **usual).model
    seen = []
    recall = kept_answers.recall

    def note(backbone, answers, name):
        seen.append(answers)
        return recall(backbone, answers, name)

    monkeypatch.setattr(kept_answers, "recall", note)
    usual["method"] = f"distill(teacher='{teacher}')"
    tltf.fit(rows, text_length=40, **usual)
    assert not seen, "a teacher of the same length takes the same tokens"
    tltf.fit(rows, text_length=6, **usual)
    (answers,) = seen
    inputs = taught.preprocessing(texts[:20])
    expected = taught.core.model(inputs, training=False)["label"]
    np.testing.assert_allclose(answers.logits[:20], np.asarray(expected), atol=1e-5)
    assert answers.token_ids.shape == (26, 6)


def test_on_real_runs_the_teacher_answers_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))
    texts = [f"{word} film number {n}" for n, word in enumerate(("good", "bad") * 15)]
    rows = list(zip(texts, ["yes", "no"] * 15, strict=True))
    parts = [
        tuple(zip(*rows[start:end], strict=True)) for start, end in ((0, 20), (20, 26), (26, 30))
    ]
    usual = {"train_epochs": 1, "baseline": "none", "explain": "none", "seed": 1}
    usual |= {"validation": parts[1], "test": parts[2]}
    teacher, small = str(tmp_path / "teacher"), "small_lstm(units=4, vocabulary={})"
    tltf.fit(parts[0], backbone=small.format(90), output=teacher, **usual)
    counted = []
    batches = frozen_outputs.Outputs.batches

    def counting(outputs, missing):
        if "logits" in outputs.prefix.output:
            counted.append(int(missing.sum()))
        return batches(outputs, missing)

    monkeypatch.setattr(frozen_outputs.Outputs, "batches", counting)
    for number in range(2):  # 51 is room for letters and digits, but for no word
        method = f"distill(teacher='{teacher}')"
        result = tltf.fit(parts[0], backbone=small.format(51), method=method, **usual)
        assert counted == [20, 6], f"run {number}: each row once, and never again"
    assert not [name for name in result.model.core.named_weights() if "teacher" in name]
