"""Fixtures that several folders of tests share; TensorFlow is imported when one is used."""

import gc
import os
import pathlib
import random

import pytest

FIRST = (
    "contracts/methods_test.py",
    "training/fit_test.py",
    "contracts/mirrored_test.py",
    "faults/folders_test.py",
    "serving/export/saved_model_test.py",
    "experiments/several_tasks_test.py",
    "experiments/rounds_test.py",
    "experiments/presets/preset_run_test.py",
    "models/adapters_test.py",
    "readme_test.py",
    "wheel_test.py",
    "tools/",
)
"""Files and folders that take longest or would come last: at the end no process is to work on alone."""


def pytest_collection_modifyitems(items):
    """Puts the tests of FIRST before the others, whose order stays."""
    root = pathlib.Path(__file__).parent

    def place(item):
        path = item.path.relative_to(root).as_posix()
        found = (n for n, name in enumerate(FIRST) if path.startswith(name))
        return next(found, len(FIRST))

    items.sort(key=place)


def pytest_collection_finish():
    """What was imported stays until the end, so that no collection of garbage looks at it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Networks of random weights, whose seeds Keras draws here, are the same in whatever order tests run."""
    random.seed(item.path.name)


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    """A small BERT as a KerasHub preset."""
    import keras
    import keras_hub

    from tests.backbones.hub_test import SIZES, WORDS

    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("bert")
    keras_hub.models.BertBackbone(**SIZES, dropout=0.0).save_to_preset(folder)
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=WORDS, lowercase=True)
    tokenizer.save_to_preset(folder)
    return str(folder)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """The cache folder of a test."""
    monkeypatch.setattr("tltf.files.assets.cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "features"


@pytest.fixture(autouse=True, scope="session")
def without_bfloat16_units():
    """A processor without products in bfloat16, so that --precision=auto is float32 on every machine."""
    from tltf.runs import machine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "cpu_flags", frozenset)
        yield


@pytest.fixture(autouse=True, scope="session")
def without_waiting_for_disks():
    """No test cuts the power, so none waits until the disk has a file; a broken handle is an error still."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: os.fstat(_number_of(handle)) and None)
        yield


def _number_of(handle):
    return handle if isinstance(handle, int) else handle.fileno()


@pytest.fixture
def tiny_smollm(tmp_path, monkeypatch):
    """A tiny Llama in the place of SmolLM2's package; gives the arrays of its file by llama.cpp's names."""
    from tests import tiny_llama
    from tltf.backbones import smollm

    folder = tmp_path / "cache" / "assets" / "smollm2_135m"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(smollm, "CONFIG", tiny_llama.CONFIG)
    return tiny_llama.write(folder / "tiny.gguf")
