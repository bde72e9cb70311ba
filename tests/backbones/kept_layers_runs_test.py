"""Runs whose backbone keeps parts: saved, loaded, exported, continued and taken as adapters."""

import numpy as np
import pytest

import tltf
from tests.caching.feature_cache_test import (
    texts_source,
)
from tltf.backbones import kept_layers
from tltf.config.options import make, replace
from tltf.models import adapters
from tltf.runs import model_folder
from tltf.serving.export import saved_model
from tltf.training import training

METHODS = {
    "adapters": "adapters(size=2)",
    "prefix": "prefix(length=2)",
    "prompt": "prompt(length=3)",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, bert_folder):
    """Method -> (run folder, TrainingResult)."""
    folder = tmp_path_factory.mktemp("runs")
    source = texts_source(40)
    rows = [
        f"{text},{source.class_names[label]}"
        for text, label in zip(source.column.values, source.labels, strict=True)
    ]
    (folder / "all.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    flags = {
        "data": f"csv(path={folder}/all.csv, text=text)",
        "backbone": bert_folder,
        "text_length": 12,
        "train_epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.02,
    }
    return {
        name: (
            folder / name,
            training.train(make(**flags, method=method, output=str(folder / name))),
        )
        for name, method in METHODS.items()
    }


def probabilities(trained, of):
    return trained.scores(of.splits["test"])


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_run_computes_what_was_trained(runs, name, bert_folder):
    folder, result = runs[name]
    trained = result.model
    expected = probabilities(trained, trained)
    loaded = tltf.load(str(folder))
    np.testing.assert_array_equal(probabilities(loaded, trained), expected)
    (record,) = loaded.core.blueprint["backbone"][kept_layers.RECORD]
    assert record["kind"] == name
    names = [
        n for n in loaded.core.named_weights() if "adapter" in n or "pre" in n or "prompt" in n
    ]
    assert names, "the parts are there and have weights"
    adapter = adapters.load(str(folder / adapters.FILE), bert_folder)
    np.testing.assert_allclose(probabilities(adapter, trained), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        name if name == "adapters" else pytest.param(name, marks=pytest.mark.large)
        for name in METHODS
    ],
)
def test_the_exported_model_computes_it_too(runs, name, tmp_path):
    """The export reloads itself in a clean process and compares."""
    _, result = runs[name]
    folder = saved_model.export_saved_model(result.model, tmp_path, 1, True)
    assert (tmp_path / "1" / "saved_model.pb").exists() and folder


@pytest.mark.parametrize("name", METHODS)
def test_it_is_continued_with_its_parts(runs, name):
    folder, result = runs[name]
    options = replace(
        result.given,
        backbone=str(folder),
        output="",
        method="linear_probe",
        learning_rate=1e-9,
        train_epochs=1,
    )
    probe = training.train(options).model
    inner = {n: v.numpy() for n, v in result.model.core.named_weights().items() if "label" not in n}
    found = probe.core.named_weights()
    assert inner.keys() == {n for n in found if "label" not in n}
    for key, value in inner.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    again = training.train(replace(options, method=METHODS[name], learning_rate=0.01)).model
    (record,) = again.core.blueprint["backbone"][kept_layers.RECORD]
    assert record["kind"] == name, "no second part of the same kind"
    assert model_folder.read_core(folder)[0]["backbone"][kept_layers.RECORD] == [record]


def test_what_is_added_to_a_base_leaves_the_answers_of_what_is_in_use(runs, bert_folder):
    paths = {name: str(folder / adapters.FILE) for name, (folder, _) in runs.items()}
    for name in METHODS:
        base = adapters.Base(paths[name], bert_folder)
        base.add(name, paths[name])
        used = base.use(name)
        expected = probabilities(used, runs[name][1].model)
        for other in METHODS:
            base.add(other, paths[other])
        np.testing.assert_array_equal(
            probabilities(used, runs[name][1].model), expected, err_msg=name
        )
