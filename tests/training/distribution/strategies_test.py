import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tltf.config.options import make
from tltf.errors import FlagError
from tltf.training.distribution import strategies


def test_one_device_is_the_default_strategy():
    assert strategies.start(make().runtime) is tf.distribute.get_strategy()


def test_seed_fixes_weights():
    def weights(seed):
        strategies.start(make(seed=seed).runtime)
        return keras.layers.Dense(3).build((None, 4)) or keras.random.normal((3,)).numpy()

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def test_precision_is_set_and_reset():
    strategies.start(make(precision="mixed_bfloat16").runtime)
    assert keras.config.dtype_policy().compute_dtype == "bfloat16"
    strategies.start(make().runtime)
    assert keras.config.dtype_policy().compute_dtype == "float32"


def test_devices_in_use_cannot_be_split():
    tf.constant(1.0) + 1.0
    with pytest.raises(FlagError, match="can no longer be split"):
        strategies.start(make(logical_devices=7).runtime)


def test_missing_tpu_is_one_line():
    with pytest.raises(FlagError, match="no TPU"):
        strategies.start(make(strategy="tpu").runtime)


def test_a_tpu_that_nothing_names_is_looked_for_in_the_machine(monkeypatch):
    asked = []

    def connect(*names):
        asked.append(names)
        if not names:
            raise ValueError("Please provide a TPU Name to connect to.")
        return "resolver"

    monkeypatch.setattr(tf.distribute.cluster_resolver.TPUClusterResolver, "connect", connect)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda resolver: f"strategy of {resolver}")
    try:
        strategies._tpu.cache_clear()
        assert strategies._STRATEGIES["tpu"]() == "strategy of resolver"
        assert asked == [(), ("local",)]
    finally:
        strategies._tpu.cache_clear()


def test_mirrored_spans_all_logical_devices():
    script = (
        "from tltf.training.distribution import strategies as runtime; from tltf.config.options import make;"
        "o = make(strategy='mirrored', logical_devices=2).runtime;"
        "print(runtime.start(o).num_replicas_in_sync, runtime.start(o) is runtime.start(o))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.stdout.split() == ["2", "True"], done.stderr[-2000:]


def test_versions_name_what_a_run_depends_on():
    found = strategies.versions()
    assert found["keras"] == keras.__version__ and found["tensorflow"] == tf.__version__


def test_layers_that_ask_for_tensorflows_own_generator_find_one():
    """Under determinism TensorFlow makes none by itself; KerasCV's augmentations ask for it."""
    strategies.start(make(seed=3).runtime)
    first = tf.random.get_global_generator().normal([4]).numpy()
    strategies.start(make(seed=3).runtime)
    assert tf.random.get_global_generator().normal([4]).numpy().tolist() == first.tolist()
