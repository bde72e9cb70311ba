"""Whole runs on a tiny decoder in the package's place: cache, LoRA, saving, resuming, and the export."""

import csv
import random

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import tltf
from tests.caching.feature_cache_test import Counting
from tltf import train
from tltf.backbones import builder
from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.runs import checkpoints
from tltf.serving.export import saved_model

TEXTS = ["The film is good", "the film isn't good.", "20 times as bad", "naïve  \n"]
PLAIN = {"baseline": "none", "explain": "none", "export": False}
pytestmark = pytest.mark.usefixtures("tiny_smollm")


def _rows(count=48):
    draw = random.Random(1)
    words = {"good": ["good", "fine"], "bad": ["bad", "not good"]}
    labels = [("good", "bad")[number % 2] for number in range(count)]
    return [f"The film is {draw.choice(words[x])}. {n}" for n, x in enumerate(labels)], labels


def _answers(model, texts=TEXTS):
    return np.array([list(row.probabilities.values()) for row in model.predict(texts)])


def _kernels(backbone):
    return {name: v.numpy() for name, v in functional.named_weights(backbone.layers).items()}


def test_a_second_run_reads_the_features_of_the_first(monkeypatch, tmp_path):
    counted = Counting(monkeypatch)
    run = str(tmp_path / "run")
    settings = {"backbone": "smollm2_135m", "method": "linear_probe", "train_epochs": 2, **PLAIN}
    first = tltf.fit(_rows(), **settings, output=run)
    assert counted.rows == 48, "each text once, not once an epoch"
    tltf.fit(_rows(), **settings, learning_rate=0.1)
    assert counted.rows == 48, "equal frozen layers are found again"
    loaded = tltf.load(run)
    np.testing.assert_array_equal(_answers(loaded), _answers(first.model))
    path = saved_model.export_saved_model(loaded, tmp_path / "export", None, False)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    given = served(text=tf.constant(TEXTS))["probabilities"].numpy()
    np.testing.assert_allclose(given, _answers(loaded), atol=1e-6)


def test_lora_changes_queries_and_values_alone():
    before = _kernels(builder.build("smollm2_135m"))
    result = tltf.fit(
        _rows(), backbone="smollm2_135m", method="lora(rank=2)", train_epochs=2, **PLAIN
    )
    after = _kernels(result.model.core.backbone)
    changed = {name for name, value in before.items() if not np.array_equal(value, after[name])}
    assert changed == {
        f"transformer_layer_{number}/self_attention/{part}/kernel"
        for number in (0, 1)
        for part in ("query", "value")
    }
    difference = after["transformer_layer_0/self_attention/query/kernel"]
    difference = difference - before["transformer_layer_0/self_attention/query/kernel"]
    assert np.linalg.matrix_rank(difference.reshape(32, -1), tol=1e-6) == 2


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("norm_only", "norm/scale"),
        pytest.param("full", "", marks=pytest.mark.large),
        pytest.param("partial(last_groups=1)", "layer_1/", marks=pytest.mark.large),
    ],
)
def test_what_a_method_trains_moves_and_the_rest_is_frozen(method, part):
    before = _kernels(builder.build("smollm2_135m"))
    result = tltf.fit(
        _rows(), backbone="smollm2_135m", method=method, train_epochs=2, learning_rate=0.01, **PLAIN
    )
    after = _kernels(result.model.core.backbone)
    for name, value in before.items():
        is_trained = part in name or (method.startswith("partial") and name.startswith("sequence_"))
        assert np.array_equal(value, after[name]) != is_trained, name


@pytest.mark.parametrize(
    ("method", "expected"), [("bitfit", "has no biases"), ("prefix", "MultiHeadAttention")]
)
def test_a_method_for_other_networks_says_so(method, expected):
    with pytest.raises(FlagError, match=expected):
        tltf.fit(_rows(), backbone="smollm2_135m", method=method, train_epochs=1, **PLAIN)


@pytest.mark.large
@pytest.mark.parametrize("method", ["prompt(length=2)", "adapters(size=2)", "crop(last_groups=1)"])
def test_what_is_added_or_cut_off_comes_back(method, tmp_path):
    result = tltf.fit(
        _rows(),
        backbone="smollm2_135m",
        method=method,
        train_epochs=1,
        output=str(tmp_path / "run"),
        **PLAIN,
    )
    loaded = tltf.load(str(tmp_path / "run"))
    assert "last" in loaded.core.backbone.taps
    np.testing.assert_array_equal(_answers(loaded), _answers(result.model))
    together, alone = _answers(loaded, TEXTS), [_answers(loaded, [text])[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.large
def test_an_interrupted_run_ends_with_the_same_weights(tmp_path, monkeypatch):
    with open(tmp_path / "rows.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(*_rows(), strict=True)])
    flags = [
        f"--data=csv(path={tmp_path}/rows.csv, text=text, label=label)",
        "--backbone=smollm2_135m",
        "--method=lora(rank=2)",
        "--train_epochs=2",
        "--baseline=none",
        "--noexport",
    ]
    assert train.main([*flags, f"--output={tmp_path}/whole"]) == 0
    save = checkpoints.save

    def save_and_end(*given):
        save(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", save_and_end)
        assert train.main([*flags, f"--output={tmp_path}/cut"]) == 75
    assert train.main([*flags, f"--output={tmp_path}/cut"]) == 0
    whole, cut = (
        safetensors.numpy.load_file(next((tmp_path / name).rglob("core.safetensors")))
        for name in ("whole", "cut")
    )
    assert list(whole) == list(cut)
    for name, value in whole.items():
        np.testing.assert_array_equal(cut[name], value, err_msg=name)
