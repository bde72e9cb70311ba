"""What every method leaves is saved, loaded and exported, and says the same."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

import tltf
from tests.backbones.hub_test import RESNET
from tests.caching.feature_cache_test import (
    texts_source,
)
from tests.contracts.cases import ON_TEXTS
from tests.contracts.given import parameters
from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.config.options import make
from tltf.models import raw_inputs
from tltf.serving.export import saved_model
from tltf.serving.export.verify import LARGEST_DIFFERENCE
from tltf.training import training

QUICK = {"lora(rank=1)", "delta(alpha=0.01)"}
"""One whose parts are merged, one whose second network is dropped; inserted_runs_test.py has more."""
FLAGS = {
    "batch_size": 8,
    "learning_rate": 0.02,
    "norm": "train",  # random weights have no statistics to keep
    "split": "holdout(validation=.2)",
    "train_epochs": 2,
}


def cases():
    """All cases of METHODS; those that are not QUICK marked large."""
    for case in parameters("methods"):
        text, is_quick = case.values[0], case.values[0] in QUICK
        yield pytest.param(text, id=case.id, marks=[] if is_quick else [pytest.mark.large])


@pytest.fixture(scope="module")
def on_texts(tmp_path_factory, bert_folder):
    """Flags of a run on a transformer."""
    source, file = texts_source(40), tmp_path_factory.mktemp("texts") / "all.csv"
    rows = [
        f"{text},{source.class_names[label]}"
        for text, label in zip(source.column.values, source.labels, strict=True)
    ]
    file.write_text("\n".join(["text,label", *rows]) + "\n")
    return {"data": f"csv(path={file}, text=text)", "backbone": bert_folder, "text_length": 12}


@pytest.fixture(scope="module")
def on_images(tmp_path_factory):
    """Flags of a run on a network with batch norm and branches."""
    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("resnet")
    keras_hub.models.ResNetBackbone(**RESNET).save_to_preset(folder)
    data = "digits(num_train=40, num_test=20)"
    return {"data": data, "backbone": str(folder), "image_size_px": 16}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory, on_images):
    """Two earlier runs on images, on the same rows."""
    runs = [str(tmp_path_factory.mktemp("earlier") / name) for name in "ab"]
    for run, rate in zip(runs, (0.02, 0.005), strict=True):
        flags = {**on_images, **FLAGS, "method": "full", "learning_rate": rate}
        training.train(make(**flags, output=run))
    return runs


def answers(exported, trained, raw):
    """float32[N, C] of an export, which has the core's inputs."""
    signatures = tf.saved_model.load(str(exported)).signatures
    tensors = signatures["tensors"].structured_input_signature[1]
    assert tensors.keys() == trained.core.backbone.inputs.keys()
    default = signatures["serving_default"]
    (name,) = default.structured_input_signature[1]
    found = default(**{name: tf.constant(raw)})
    assert found.keys() == {"label", "probabilities"}
    return found["probabilities"]


@pytest.mark.parametrize("text", cases())
def test_saved_loaded_and_exported_it_gives_the_same_outputs(text, request, tmp_path):
    flags = request.getfixturevalue("on_texts" if text in ON_TEXTS else "on_images")
    picked = call_strings.pick(METHODS, text)
    name, row = picked.name, picked.row
    if row.reads:  # the same rows, without their labels
        flags = {**flags, f"{row.reads[0]}_data": flags["data"]}
    slow = {"learning_rate": 0.002} if row.reads else {}  # their hidden layers die at more
    if name == "shot":
        (first, _) = request.getfixturevalue("earlier")
        flags = {**flags, "backbone": first, "head_weights": first}
    if name in ("lwf", "distill", "soup"):
        first, second = request.getfixturevalue("earlier")
        flags = {**flags, "backbone": first} if name == "lwf" else flags
        text = text.replace("tiny", first).replace("[a, b]", f"[{first}, {second}]")
    run = tmp_path / "run"
    trained = training.train(make(**{**flags, **FLAGS, **slow}, method=text, output=str(run))).model
    test = trained.splits["test"]
    trained.above = None  # the whole core
    expected = trained.scores(test)
    assert np.ptp(expected, axis=0).max() > 1e-4, "the answers depend on the inputs"
    keras.backend.clear_session()
    loaded = tltf.load(str(run))
    assert loaded.core is not trained.core
    np.testing.assert_array_equal(loaded.scores(test), expected)
    exported = saved_model.export_saved_model(loaded, tmp_path / "export", None, False)
    found = answers(exported, trained, raw_inputs.encode_column(test.column))
    np.testing.assert_allclose(found, expected, atol=LARGEST_DIFFERENCE)


def test_every_method_has_a_case():
    assert {call_strings.pick(METHODS, case.values[0]).name for case in cases()} == METHODS.keys()
    assert {case.values[0] for case in cases()} >= QUICK
