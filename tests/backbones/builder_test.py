"""From the text of --backbone to a builder: nothing is guessed, nothing strange is imported."""

import json
import pathlib
import sys

import keras
import numpy as np
import pytest
import safetensors.numpy

from tltf.backbones import builder, run_weights
from tltf.backbones.network import SCALINGS, Network
from tltf.config.catalogs import BACKBONES
from tltf.errors import FlagError, ModelError
from tltf.files.hashes import sha256_of_file
from tltf.runs import model_folder


def outside(request, width=3):
    """A builder of a user's own, named `tests.backbones.builder_test:outside`."""
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(width, 3, name="own_conv")(pixels)
    return Network(
        inputs={"image": pixels},
        points={"stage_1": [x]},
        taps={"stage_1": x},
        pretrained=False,
        scaling=SCALINGS["unit"],
        image_size_px=16,
        channels=3,
    )


def test_code_from_outside_is_named():
    backbone = builder.build("tests.backbones.builder_test:outside(width=5)")
    assert backbone.taps["stage_1"].shape == (None, 14, 14, 5)
    again = builder.rebuild(json.loads(json.dumps(backbone.blueprint)), ".")
    assert again.taps["stage_1"].shape == (None, 14, 14, 5)


@pytest.mark.parametrize(
    "text, match",
    [
        ("resnet5", r"no backbone 'resnet5' .*fix: --backbone=resnet50"),
        ("small_cnn(filtres=[3])", "has no argument 'filtres'"),
        ("small_cnn(filters=[3]", "closing bracket"),
        ("/nowhere/at all (1)", "no folder"),
        ("./nowhere", "no folder"),
    ],
)
def test_unknown_texts(text, match):
    with pytest.raises(FlagError, match=match):
        builder.build(text)


def test_a_folder_of_a_catalog_s_name_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "small_cnn/model").mkdir(parents=True)
    (tmp_path / "small_cnn/model/core.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert builder.build("small_cnn").taps["stage_1"].shape == (None, 13, 13, 32)
    assert run_weights.is_run("small_cnn")


@pytest.mark.parametrize(
    "blueprint",
    [
        {"text": "canary_module:run", "memory": {}},
        {"text": "canary_module:run"},
        {"text": None, "memory": {}},
        {"memory": None},
        None,
        [],
    ],
)
def test_a_run_that_names_code_from_outside_is_refused(tmp_path, monkeypatch, blueprint):
    (tmp_path / "canary_module.py").write_text("raise SystemExit('the canary sang')")
    monkeypatch.syspath_prepend(str(tmp_path))
    inner = tmp_path / "run/model/v1"
    inner.mkdir(parents=True)
    safetensors.numpy.save_file({"a": np.zeros(3)}, inner / model_folder.WEIGHTS)
    manifest = {
        "format": model_folder.FORMAT,
        "core": {"backbone": blueprint, "head": "classify"},
        "modality": "image",
        "preprocessing": {},
        "class_names": [],
        "folder": "v1",
        "files": {model_folder.WEIGHTS: sha256_of_file(inner / model_folder.WEIGHTS)},
    }
    (inner.parent / model_folder.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"is not part of tltf|has no backbone"):
        builder.build(str(tmp_path / "run"))
    assert "canary_module" not in sys.modules


def test_a_run_with_other_weights_is_a_contradiction(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/core.json").write_text("{}")
    with pytest.raises(FlagError, match="brings its own weights"):
        builder.build(str(tmp_path), weights="other.h5")


def test_rows_say_what_a_user_needs():
    for name, row in BACKBONES.items():
        assert row.paper and row.summary, name
        assert bool(row.weights) == bool(row.licence), name
        assert row.modality in ("image", "text"), name
        sizes = (row.image_size_px, row.channels, row.min_image_size_px)
        assert all(sizes) == (row.modality == "image"), name
        assert bool(row.text_length) == (row.modality == "text"), name


def test_no_assets_for_images(tmp_path):
    builder.save_assets(builder.build("small_cnn"), tmp_path / "assets")
    assert list(pathlib.Path(tmp_path / "assets").iterdir()) == []
