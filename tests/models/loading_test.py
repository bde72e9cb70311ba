"""Files of unknown origin are refused with exit code 4 before anything in them is used."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tltf
from tests import served
from tltf import predict
from tltf.errors import FlagError, ModelError
from tltf.files.hashes import sha256_of_file
from tltf.graphs import functional
from tltf.models import loading, saving
from tltf.runs import model_folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    saving.save(served.image_once(), folder)
    return folder


@pytest.fixture
def run(saved, tmp_path):
    return pathlib.Path(shutil.copytree(saved, tmp_path / "run"))


def weights(run):
    (path,) = run.rglob("core.safetensors")
    return path


def edit(run, **changes):
    path = run / "model" / "core.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def core(head, **backbone):
    return {"head": head, "backbone": {"image_size_px": 16, "text_length": 0} | backbone}


def rehash(run):
    """As someone would who changes the weights and knows the format."""
    edit(run, files={"core.safetensors": sha256_of_file(weights(run))})


def test_the_public_name_is_load(run):
    assert tltf.load(run).class_names == ("cat", "dog", "owl")


def test_a_loaded_model_is_float32_after_a_run_in_mixed_precision(run):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        core = tltf.load(run).core
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in core.model.layers if layer.weights} == {"float32"}
    image = np.full((9, 9, 3), 90, np.uint8)
    assert tltf.load(run).predict([image]) == served.image_once().predict([image])


def test_importing_tltf_and_refusing_a_folder_takes_no_tensorflow(tmp_path):
    code = (
        "import sys, tltf\n"
        "try: tltf.load(sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    first, last = done.stdout.splitlines()
    assert last == "False False"
    assert first.startswith(f"tltf: error[4] --run: no model in {tmp_path}")


def test_a_cross_validation_is_said_to_hold_the_models_of_its_folds(tmp_path):
    for number in (10, 1, 2):
        (tmp_path / "rounds" / str(number)).mkdir(parents=True)
    what = f"{tmp_path} is a cross-validation: it holds 3 models; fix: --run={tmp_path}/rounds/1 is"
    with pytest.raises(ModelError, match=re.escape(what)):
        model_folder.read_core(tmp_path)


def test_read_core_gives_the_blueprint_and_every_array(run):
    blueprint, arrays = model_folder.read_core(run)
    model = served.image_once().core.model
    expected = functional.named_weights(model.layers)
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name].numpy())
    assert blueprint == served.image_once().core.blueprint
    assert model_folder.read_core(run / "model")[1].keys() == arrays.keys()


def test_weights_of_another_architecture_name_the_first_three_mismatches(run):
    other = {f"other_{number}/kernel": np.zeros((2, 2), np.float32) for number in range(5)}
    save_file(other, weights(run))
    rehash(run)
    with pytest.raises(
        ModelError, match=r"another architecture: conv_1/kernel is missing"
    ) as caught:
        loading.load(run)
    assert caught.value.what.count(" is missing") == 3
    assert re_count(caught.value.what) == 6 + 5 - 3


def re_count(what):
    return int(what.rsplit("; and ", 1)[1].split()[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda a: a | {"conv_1/kernel": np.zeros((3, 3, 3, 9), np.float32)},
            r"conv_1/kernel is \(3, 3, 3, 9\), the model has \(3, 3, 3, 4\)",
        ),
        (
            lambda a: a | {"conv_1/kernel": a["conv_1/kernel"].astype(np.float64)},
            "is F64, the model has float32",
        ),
        (lambda a: a | {"more": np.zeros(1, np.float32)}, "more is not in the model"),
        (
            lambda a: {k: v for k, v in a.items() if k != "label_logits/bias"},
            "label_logits/bias is missing",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(run, change, said):
    save_file(change(load_file(weights(run))), weights(run))
    rehash(run)
    with pytest.raises(ModelError, match=said):
        loading.load(run)


def test_shapes_are_compared_before_values_are_read(run):
    arrays = load_file(weights(run))
    model = served.image().core.model
    before = functional.weights_of(model)
    save_file({**arrays, "label_logits/bias": np.zeros(99, np.float32)}, weights(run))
    with pytest.raises(ModelError):
        loading.fill(model, weights(run))
    for name, array in functional.weights_of(model).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_weights(run, keep):
    content = weights(run).read_bytes()
    weights(run).write_bytes(content[:keep])
    with pytest.raises(ModelError, match="SHA-256 differs"):
        loading.load(run)
    rehash(run)
    with pytest.raises(ModelError, match="no readable weights"):
        loading.load(run)


def test_one_flipped_bit(run):
    content = bytearray(weights(run).read_bytes())
    content[-1] ^= 1
    weights(run).write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256 differs"):
        model_folder.read_core(run)


def test_object_arrays_and_pickles_are_not_read(run):
    np.savez(weights(run).open("wb"), kernel=np.array([object()], dtype=object))
    rehash(run)
    with pytest.raises(ModelError, match="no readable weights"):
        loading.load(run)


def test_a_header_that_promises_more_than_the_file_holds(run):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    weights(run).write_bytes(len(header).to_bytes(8, "little") + header.encode())
    rehash(run)
    with pytest.raises(ModelError, match="no readable weights"):
        loading.load(run)


def test_unknown_and_missing_files(run):
    (weights(run).parent / "extra.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelError, match=r"unknown file 'extra\.pkl'"):
        loading.load(run)
    (weights(run).parent / "extra.pkl").unlink()
    weights(run).unlink()
    with pytest.raises(ModelError, match="the file is missing"):
        loading.load(run)


@pytest.mark.parametrize("part", ["head", "backbone"])
def test_code_from_outside_is_not_run_unasked(run, part, tmp_path):
    canary = tmp_path / "canary"
    core = json.loads((run / "model" / "core.json").read_text())["core"]
    call = f"os:mkdir(path={canary})"
    core |= {"head": call} if part == "head" else {"backbone": core["backbone"] | {"text": call}}
    edit(run, core=core)
    with pytest.raises(ModelError, match="not part of tltf"):
        loading.load(run)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "has format 2, but this tltf reads format 1"),
        ({"format": True}, "has no 'format' of type int"),
        ({"folder": "../elsewhere"}, "names the folder"),
        ({"folder": "v9"}, "the file is missing"),
        ({"files": {}}, "unknown file"),
        ({"files": {"../core.json": "0"}}, "the file is missing"),
        ({"class_names": ["a", 1, "b"]}, "a class name that is not a text"),
        ({"class_names": ["a"]}, "the core has 3 classes and 1 names for them"),
        ({"core": {}}, "has no head"),
        ({"core": {"head": "classify"}}, "has no backbone"),
        ({"core": {"head": "classify", "backbone": {"text": "small_cnn"}}}, "has no backbone with"),
        (
            {"core": core("classify", text="small_cnn", memory=None)},
            "has no backbone with its memory",
        ),
        ({"core": core(3, text="small_cnn", memory={})}, "has no head"),
        ({"core": core("classify", text="small_cnn", memory={})}, "cannot be rebuilt"),
        ({"core": core("klassify", text="small_cnn", memory={})}, "cannot be rebuilt"),
        ({"core": core("classify(", text="small_cnn", memory={})}, "cannot be rebuilt"),
        ({"preprocessing": {"size": 3}}, "cannot be rebuilt"),
    ],
)
def test_a_manifest_that_does_not_fit(run, changes, said):
    edit(run, **changes)
    with pytest.raises(ModelError, match=said):
        loading.load(run)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}'])
def test_a_manifest_that_is_none(run, content):
    (run / "model" / "core.json").write_bytes(content)
    with pytest.raises(ModelError):
        loading.load(run)


def test_no_run(tmp_path):
    with pytest.raises(ModelError, match="no folder"):
        loading.load(tmp_path / "none")
    with pytest.raises(FlagError, match="must be given"):
        loading.load("")


def test_commands_end_with_exit_code_4(run, capsys):
    weights(run).write_bytes(b"")
    assert predict.main([f"--run={run}", "--input=x.png"]) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tltf: error[4] ")
    assert captured.err.count("\n") == 1
