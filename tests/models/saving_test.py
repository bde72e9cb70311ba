"""Saving writes the core whole or leaves the old one."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import served
from tltf.errors import StorageError
from tltf.files import atomic_files
from tltf.models import loading, saving


def test_every_weight_is_in_the_file_once(tmp_path):
    trained = served.image(backbone="efficientnet_lite0", size_px=32)
    for weight in trained.core.model.weights:  # so that no initial value hides a loss
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    saving.save(trained, tmp_path)
    manifest = json.loads((tmp_path / "model" / "core.json").read_text())
    arrays = load_file(tmp_path / "model" / manifest["folder"] / "core.safetensors")
    stored = sorted(float(array.sum()) for array in arrays.values())
    np.testing.assert_array_equal(
        stored, sorted(float(w.numpy().sum()) for w in trained.core.model.weights)
    )
    assert any("moving_variance" in name for name in arrays)


@pytest.mark.parametrize("make", [served.image_once, served.text_once])
def test_a_loaded_model_gives_the_same_probabilities(make, tmp_path):
    trained = make()
    saving.save(trained, tmp_path)
    again = loading.load(tmp_path)
    inputs = list(served.TEXTS)
    if trained.core.backbone.modality == "image":
        inputs = [np.full((9, 5, 3), value, np.uint8) for value in (0, 90, 255)]
    assert again.predict(inputs) == trained.predict(inputs)
    assert again.class_names == trained.class_names


def test_weights_may_be_read_by_others(tmp_path):
    saving.save(served.image_once(), tmp_path)
    (weights,) = tmp_path.rglob("core.safetensors")
    assert (
        weights.stat().st_mode & 0o777 == (tmp_path / "model" / "core.json").stat().st_mode & 0o777
    )


def test_a_second_save_replaces_the_first_and_leaves_nothing(tmp_path):
    saving.save(served.image_once(), tmp_path)
    saving.save(served.text_once(), tmp_path)
    assert loading.load(tmp_path).class_names == ("bad", "good")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["core.json", "v2"]


def test_a_failure_before_the_last_step_keeps_the_old_core(tmp_path, monkeypatch):
    saving.save(served.image_once(), tmp_path)
    monkeypatch.setattr(atomic_files.os, "replace", _no_space)
    with pytest.raises(StorageError, match="No space left"):
        saving.save(served.text_once(), tmp_path)
    monkeypatch.undo()
    assert loading.load(tmp_path).class_names == ("cat", "dog", "owl")


def test_a_failure_while_writing_weights_keeps_the_old_core(tmp_path, monkeypatch):
    saving.save(served.image_once(), tmp_path)
    monkeypatch.setattr(saving, "save_file", _no_space)
    with pytest.raises(StorageError, match="No space left"):
        saving.save(served.text_once(), tmp_path)
    assert loading.load(tmp_path).class_names == ("cat", "dog", "owl")
    assert not list((tmp_path / "model").glob(".*"))


def _no_space(*_, **__):
    raise OSError(28, "No space left on device")
