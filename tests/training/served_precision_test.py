"""Runs in half precision are judged in float32, as they are loaded and served."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltf
from tltf import train
from tltf.data import run_data

METHODS = {"full": False, "partial(last_groups=1)": False, "linear_probe(solver=lbfgs)": True}
"""Method -> whether the run is exported."""


@pytest.fixture
def float32_afterwards():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(("method", "is_exported"), METHODS.items())
def test_what_is_judged_is_what_is_loaded_and_served(
    method, is_exported, tmp_path, own_cache, float32_afterwards, capsys
):
    run = tmp_path / "run"
    flags = ["--data=digits", "--backbone=small_cnn", "--backbone_weights=none", "--seed=1"]
    flags += ["--image_size_px=28", "--train_epochs=1", "--baseline=none", f"--method={method}"]
    flags += [] if is_exported else ["--noexport"]
    assert train.main([*flags, "--precision=mixed_bfloat16", f"--output={run}"]) == 0
    report = json.loads((run / "report.json").read_text())
    assert report["options"]["precision"] == "mixed_bfloat16"
    assert report["facts"].get("speed", {}).get("precision", "float32") == "float32"
    loaded, test = tltf.load(run), run_data.load_parts(str(run))["test"]
    scores = loaded.scores(test)
    right = np.log(np.maximum(scores[np.arange(len(test)), test.labels], 1e-9))
    assert report["test"]["loss"] == pytest.approx(-right.mean(), abs=1e-5)
    if not is_exported:
        return
    printed = capsys.readouterr().err
    assert "largest difference from the answers that were judged" in printed
    served = tf.saved_model.load(str(run / "export" / "1")).signatures["tensors"]
    batch = next(iter(loaded.dataset(test, 16)))[0]
    np.testing.assert_allclose(served(**batch)["probabilities"], scores[:16], atol=1e-5)
