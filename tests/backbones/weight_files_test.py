"""Weights files: three formats give the same network; everything else is refused."""

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy

from tltf.backbones import weight_files
from tltf.errors import FlagError, ModelError
from tltf.graphs import functional


def _model(width=4, depth=2):
    pixels = keras.Input((8, 8, 3))
    x = pixels
    for number in range(depth):
        x = keras.layers.Conv2D(width, 3, name=f"conv_{number}")(x)
        x = keras.layers.BatchNormalization(name=f"norm_{number}")(x)
    model = keras.Model(pixels, x)
    rng = np.random.default_rng(width)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape).astype("float32") for w in model.weights])
    return model


def _legacy(model, path, head=False):
    with h5py.File(path, "w") as opened:
        names = [layer.name for layer in model.layers] + (["predictions"] if head else [])
        opened.attrs["layer_names"] = [name.encode() for name in names]
        for layer in model.layers:
            group = opened.create_group(layer.name)
            found = layer.trainable_weights + layer.non_trainable_weights
            group.attrs["weight_names"] = [f"{layer.name}/{w.name}:0".encode() for w in found]
            for weight in found:
                group[f"{layer.name}/{weight.name}:0"] = weight.numpy()
        if head:
            group = opened.create_group("predictions")
            group.attrs["weight_names"] = [b"predictions/kernel:0"]
            group["predictions/kernel:0"] = np.zeros((4, 10), "float32")


def _save(model, path):
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    elif path.suffix == ".h5":
        _legacy(model, path)
    else:
        arrays = {k: v.numpy() for k, v in functional.named_weights(model.layers).items()}
        safetensors.numpy.save_file(arrays, path)
    return path


FORMATS = ["a.weights.h5", "a.h5", "a.safetensors"]


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_weights(tmp_path, name):
    source, target = _model(), _model()
    target.set_weights([np.zeros(w.shape) for w in target.weights])
    weight_files.load(target, _save(source, tmp_path / name), "net")
    for expected, found in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", FORMATS)
def test_another_network_is_refused_with_three_differences(tmp_path, name):
    path = _save(_model(width=5), tmp_path / name)
    target = _model()
    before = target.get_weights()
    with pytest.raises(ModelError, match=r"error\[4\].*than net: .*; .*; .* and \d+ more"):
        weight_files.load(target, path, "net")
    for expected, found in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("depth", [1, 3])
def test_missing_and_left_over_weights_are_refused(tmp_path, name, depth):
    with pytest.raises(ModelError, match="weights of another network"):
        weight_files.load(_model(), _save(_model(depth=depth), tmp_path / name), "net")


def test_an_old_head_may_be_left_over(tmp_path):
    source, target = _model(), _model()
    target.set_weights([np.zeros(w.shape) for w in target.weights])
    _legacy(source, tmp_path / "a.h5", head=True)
    weight_files.load(target, tmp_path / "a.h5", "net")
    np.testing.assert_array_equal(target.get_weights()[0], source.get_weights()[0])


def test_whole_models_are_refused(tmp_path):
    model = _model()
    model.save(tmp_path / "a.h5")
    model.save(tmp_path / "a.keras")
    with pytest.raises(ModelError, match="whole model"):
        weight_files.load(model, tmp_path / "a.h5", "net")
    with pytest.raises(ModelError, match="not read as weights"):
        weight_files.load(model, tmp_path / "a.keras", "net")


@pytest.mark.parametrize("name", ["a.pkl", "a.pt", "a.pth", "a.npz", "a.bin", "a"])
def test_pickles_and_unknown_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match="not read as weights"):
        weight_files.load(_model(), tmp_path / name, "net")


def test_a_missing_file_is_a_flag_error(tmp_path):
    with pytest.raises(FlagError, match="--backbone_weights: there is no weights file"):
        weight_files.load(_model(), tmp_path / "a.h5", "net")


@pytest.mark.parametrize("kind", ["soft", "external", "virtual", "storage"])
def test_hdf5_that_leads_elsewhere_is_refused(tmp_path, kind):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["data"] = np.zeros(4)
    (tmp_path / "raw").write_bytes(bytes(32))
    with h5py.File(tmp_path / "a.weights.h5", "w") as opened:
        if kind == "soft":
            opened["x"] = h5py.SoftLink("/elsewhere")
        elif kind == "external":
            opened["x"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "data")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "data", (4,))
            opened.create_virtual_dataset("x", layout)
        else:
            opened.create_dataset("x", (4,), "f8", external=[(str(tmp_path / "raw"), 0, 32)])
    with pytest.raises(ModelError, match="leads out of the file or is virtual"):
        weight_files.load(_model(), tmp_path / "a.weights.h5", "net")


def test_a_bomb_is_refused_before_it_is_read(tmp_path):
    with h5py.File(tmp_path / "a.weights.h5", "w") as opened:
        opened.create_dataset("layers/conv2d/vars/0", (1 << 20, 1 << 12), "f4", chunks=True)
    with pytest.raises(ModelError, match=r"\(1048576, 4096\) in the file"):
        weight_files.load(_model(), tmp_path / "a.weights.h5", "net")


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5", "a.safetensors"])
def test_damaged_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ModelError, match=r"no readable|not a readable"):
        weight_files.load(_model(), tmp_path / name, "net")
