"""Runs in half precision are judged in float32, as they are loaded and served."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltf
from tltf import train
from tltf.config.options import make
from tltf.data import run_data
from tltf.experiments import one_run
from tltf.graphs import functional

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


class Interrupt(keras.callbacks.Callback):
    """Stops a run behind its first epoch, as Ctrl-C does."""

    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


def weights_of(run):
    return functional.weights_of(tltf.load(run).core.model)


def options_of(run, **flags):
    given = {"train_epochs": 2, "baseline": "none", "export": False, "seed": 1, "image_size_px": 12}
    given |= {"data": "digits(num_train=160, num_test=60)", "backbone": "small_cnn(filters=[8, 8])"}
    given |= {"backbone_weights": "none", "method": "partial(last_groups=1)", "batch_size": 16}
    return make(**given | flags, precision="mixed_bfloat16", output=str(run))


def test_frozen_layers_and_the_cache_in_half_precision(tmp_path, own_cache, float32_afterwards):
    one_run.run(options_of(tmp_path / "cached"))
    one_run.run(options_of(tmp_path / "computed", cache=False))
    one_run.run(options_of(tmp_path / "probe", method="linear_probe", train_epochs=1))
    cached, computed, probe = (
        weights_of(tmp_path / run) for run in ("cached", "computed", "probe")
    )
    assert cached.keys() == computed.keys() == probe.keys()
    is_same = {name: np.array_equal(cached[name], probe[name]) for name in cached}
    assert any(is_same.values()) and not all(is_same.values())
    for name, array in cached.items():
        if is_same[name]:  # frozen in both methods
            np.testing.assert_array_equal(computed[name], array)
        # bfloat16 has 8 bits, and rounds differently in batches of other sizes
        np.testing.assert_allclose(computed[name], array, atol=2**-7, err_msg=name)


def test_a_run_in_half_precision_goes_on_bit_for_bit(tmp_path, own_cache, float32_afterwards):
    one_run.run(options_of(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        one_run.run(options_of(tmp_path / "parts"), callbacks=[Interrupt()])
    one_run.run(options_of(tmp_path / "parts"))
    whole, parts = (weights_of(tmp_path / run) for run in ("whole", "parts"))
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array)
    epochs = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").open()]
    assert [row["epoch"] for row in epochs] == [1, 2]
