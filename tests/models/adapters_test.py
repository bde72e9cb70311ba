"""Adapter files: written by runs, loaded onto fresh bases, refused where they do not belong."""

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tltf
from tltf.config import checks
from tltf.config.options import make
from tltf.data import loader
from tltf.errors import FlagError, ModelError
from tltf.graphs import freezing
from tltf.models import adapters
from tltf.training import training

FLAGS = {
    "data": "mnist_5k(num_train=40, num_test=20)",
    "backbone": "efficientnet_lite0",
    "image_size_px": 32,
    "train_epochs": 2,
    "batch_size": 20,
    "learning_rate": 0.01,
    "split": "holdout(validation=0)",
}
METHODS = {
    "lora": "lora(rank=2, targets='.*block_1[2-5]_(expand|project)_conv/kernel')",
    "bitfit": "bitfit",
    "adapters": "adapters(size=2, targets='.*block_1[2-5]_project_conv/kernel')",
}
"""Two train near the top, below which nothing is traced for gradients; bitfit trains at the bottom too."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Method -> (run folder, probabilities of the test split)."""
    found = {}
    for seed, (name, method) in enumerate(METHODS.items()):
        run = tmp_path_factory.mktemp(name) / "run"
        result = training.train(make(**FLAGS, method=method, output=str(run), seed=seed))
        first = make(**FLAGS, seed=0)
        test = loader.load_parts(first, checks.resolve(first, needs_output=False))["test"]
        found[name] = run / adapters.FILE, result.model.scores(test), test
    return found


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_it_loads_onto_a_fresh_base_and_computes_what_was_trained(runs, method):
    path, expected, test = runs[method]
    trained = tltf.load(str(path))
    close(trained.scores(test), expected)
    assert not [name for name in trained.core.named_weights() if "lora" in name]


def test_it_holds_what_was_trained_and_says_on_what(runs):
    path, _, _ = runs["lora"]
    arrays = load_file(path)
    kinds = {name.split("/")[-1] for name in arrays if not name.startswith("label")}
    assert kinds == {"lora_a", "lora_b"}
    assert {"label_logits/kernel", "label_logits/bias"} <= set(arrays)
    about = adapters.read(path).about
    assert about["backbone"] == "efficientnet_lite0" and len(about["class_names"]) == 10
    assert about["flags"]["learning_rate"] == "0.01"
    assert path.stat().st_size < 4 * sum(array.size for array in arrays.values()) + 20_000


def test_several_stand_side_by_side_on_one_base(runs):
    base = adapters.Base(runs["lora"][0])
    start = {name: v.numpy() for name, v in weights(base).items()}
    for name, (path, _, _) in runs.items():
        base.add(name, path)
    for name in ("lora", "bitfit", "lora"):
        _, expected, test = runs[name]
        close(base.use(name).scores(test), expected)
    base.add("again", runs["bitfit"][0])
    assert base.in_use == "lora", "adding leaves what is in use"
    with pytest.raises(FlagError, match=r"no adapter 'lara'.*choices: lora"):
        base.use("lara")
    base._release()
    after = {name: v.numpy() for name, v in weights(base).items()}
    assert start.keys() == after.keys()
    for name, value in start.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def weights(base):
    layers = [layer for group in base.backbone.groups for layer in group.layers]
    return freezing.functional.named_weights(layers)


def test_another_base_is_refused(runs):
    path, _, _ = runs["lora"]
    base = adapters.Base(path)
    variable = next(iter(weights(base).values()))
    variable.assign(variable + 1e-3)
    with pytest.raises(ModelError, match="trained on other weights than this efficientnet_lite0"):
        base.add("it", path)


def changed(path, to, arrays=None, **about):
    adapter = adapters.read(path)
    adapters.write(to, adapters.Adapter(arrays or adapter.arrays, adapter.about | about))
    return to


def test_files_that_do_not_fit_are_refused(runs, tmp_path):
    path, _, _ = runs["lora"]
    arrays = adapters.read(path).arrays
    name = next(name for name in arrays if name.endswith("lora_a"))
    wrong = tmp_path / "wrong.safetensors"
    for bad, message in [
        (arrays | {name: arrays[name][:, :1]}, f"{name} is .* but the base has"),
        (arrays | {"no/such": arrays[name]}, "no/such is .* but the base has nothing there"),
        (arrays | {name: arrays[name].astype("float64")}, f"{name} is .*float64"),
    ]:
        with pytest.raises(ModelError, match=message):
            tltf.load(str(changed(path, wrong, bad)))
    with pytest.raises(ModelError, match="not a name of --list=backbones"):
        tltf.load(str(changed(path, wrong, backbone="/somewhere")))
    with pytest.raises(ModelError, match="the method 'os:system"):
        tltf.load(str(changed(path, wrong, method="os:system(command=ls)")))
    with pytest.raises(ModelError, match="no 'class_names' of type list"):
        tltf.load(str(changed(path, wrong, class_names="ab")))


def hostile(folder):
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "noise.safetensors").write_bytes(np.random.default_rng(0).bytes(4000))
    (folder / "pickle.safetensors").write_bytes(pickle.dumps({"a": 1}))
    (folder / "header.safetensors").write_bytes((2**40).to_bytes(8, "little") + b"{}")
    save_file({"a": np.zeros(3, "float32")}, folder / "other.safetensors")
    save_file({"a": np.zeros(3, "float32")}, folder / "list.safetensors", {"tltf": "[1]"})
    save_file({"a": np.zeros(3, "float32")}, folder / "deep.safetensors", {"tltf": "[" * 90_000})
    about = json.dumps({"format": 99})
    save_file({"a": np.zeros(3, "float32")}, folder / "newer.safetensors", {"tltf": about})
    return sorted(folder.iterdir())


def test_hostile_files_are_refused(tmp_path):
    files = hostile(tmp_path)
    assert len(files) == 8
    for path in [*files, tmp_path / "missing.safetensors"]:
        with pytest.raises(ModelError):
            tltf.load(str(path))


@pytest.mark.large
def test_a_run_that_moved_much_leaves_none(tmp_path):
    run = tmp_path / "run"
    result = training.train(make(**FLAGS, method="full", output=str(run)))
    assert result.adapter is None and not (run / adapters.FILE).exists()
