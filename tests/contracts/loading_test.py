"""No false refusals: what tltf and Keras save of every backbone is taken again, bit for bit."""

import keras
import numpy as np
import pytest

import tltf
from tests.contracts.backbones_test import build, inputs_for, values
from tests.contracts.cases import CASES
from tltf.backbones import builder, weight_files
from tltf.backbones.applications import family_of, random_model
from tltf.backbones.network import Request
from tltf.config import call_strings
from tltf.config.catalogs import BACKBONES, HEADS
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.graphs import functional
from tltf.graphs.core import attach_head
from tltf.models import saving
from tltf.models.transfer_model import TransferModel

QUICK = ("small_cnn", "small_lstm", "mobilenet_v2", "textgenrnn")
APPLICATIONS = [
    name
    for name, row in BACKBONES.items()
    if row.target == "tltf.backbones.applications:application"
]
PACKAGED = [name for name, row in BACKBONES.items() if "packaged" in row.weights]


def parameters(names):
    """Backbones, those that take long to build marked large."""
    return [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.large]) for name in names
    ]


def calls():
    """A call string of each row."""
    found = {}
    for name, cases in CASES["backbones"].items():
        found[name] = cases[0] if isinstance(cases, list) else cases
    assert found.keys() == BACKBONES.keys()
    return found


def trained_on(backbone):
    """An untrained TransferModel of two classes."""
    core = attach_head(backbone, call_strings.pick(HEADS, "classify", "head"), 2)
    if backbone.modality == "image":
        prepare = ImagePreprocessing(backbone.image_size_px, backbone.channels)
    else:
        prepare = TextPreprocessing(backbone.tokenizer, 8, tuple(backbone.inputs))
    return TransferModel(core, prepare, ("a", "b"))


def require_saved_and_loaded(backbone, run):
    trained = trained_on(backbone)
    saving.save(trained, run)
    again = tltf.load(run)
    before, after = trained.core.named_weights(), again.core.named_weights()
    assert before.keys() == after.keys() and before
    for name, variable in after.items():
        np.testing.assert_array_equal(variable, before[name], err_msg=name)
    inputs = inputs_for(backbone)
    found, expected = (values(one.core.model, inputs)["label"] for one in (again, trained))
    np.testing.assert_array_equal(found, expected)
    continued = builder.build(str(run))
    named = functional.named_weights(continued.layers)
    for name in before.keys() & named.keys():
        np.testing.assert_array_equal(named[name], before[name], err_msg=name)
    copied = {row[0] for row in continued.transfer if row[2] == "copied"}
    assert copied == before.keys() & named.keys(), "all but the head"


@pytest.mark.parametrize("name", parameters(BACKBONES))
def test_what_is_saved_is_loaded(name, tmp_path):
    require_saved_and_loaded(build(calls()[name]), tmp_path / "run")


@pytest.mark.large
@pytest.mark.parametrize("name", PACKAGED)
def test_what_is_saved_of_real_weights_is_loaded(name, tmp_path):
    text = BACKBONES[name].modality == "text"
    size = {"text_length": 12} if text else {"image_size_px": 64}
    backbone = builder.build(name, **size)
    assert backbone.pretrained
    require_saved_and_loaded(backbone, tmp_path / "run")


@pytest.mark.parametrize("has_top", [pytest.param(False, marks=[pytest.mark.large]), True])
@pytest.mark.parametrize("name", parameters(APPLICATIONS))
def test_weights_that_keras_saves_are_taken(name, has_top, tmp_path):
    """Those of the whole classifier too: its head is left out."""
    family, size = family_of(name), max(32, BACKBONES[name].min_image_size_px)
    cls = getattr(keras.applications, family.cls)
    top = {"classes": 7} if has_top else {}
    options = {**family.options, **top}
    own = cls(weights=None, include_top=has_top, input_shape=(size, size, 3), **options)
    rng = np.random.default_rng(0)
    own.set_weights([rng.uniform(0.1, 0.2, w.shape).astype("f4") for w in own.weights])
    own.save_weights(tmp_path / "own.weights.h5")
    copy = random_model(family, Request(name, image_size_px=size, name=name))
    weight_files.load(copy, tmp_path / "own.weights.h5", name)
    for variable, expected in zip(copy.weights, own.weights, strict=False):
        np.testing.assert_array_equal(variable, expected)
    assert builder.build(name, weights=str(tmp_path / "own.weights.h5"), image_size_px=size)
