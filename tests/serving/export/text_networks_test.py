"""Exports of the text networks with their real weights, run by a process without tltf and KerasHub."""

import json
import subprocess
import sys

import numpy as np
import pytest

import tltf
from tltf.data.source import LoadSettings
from tltf.data.sources import samples
from tltf.serving.export import saved_model

NUM_TRAIN, NUM_ASKED = 120, 40
TEXTS = ["naïve CAFÉ, isn't it?  20 years", "日本 🙂", "dull " * 60, "?"]
SERVER = """
import importlib, json, sys
import tensorflow as tf
for module in sys.argv[2:]:
    importlib.import_module(module)
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
found = served(text=tf.constant(json.load(sys.stdin)))["probabilities"].numpy()
assert not {"tltf", "keras_hub"} & set(sys.modules)
print(json.dumps(found.tolist()))
"""


def _served(folder, texts, modules):
    done = subprocess.run(
        [sys.executable, "-P", "-c", SERVER, str(folder), *modules],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return np.array(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.large
@pytest.mark.parametrize(
    ("backbone", "modules"),
    [
        ("minilm_l3", ["tensorflow_text"]),
        ("minilm_static", ["tensorflow_text"]),
        ("glove", []),
        ("small_lstm(units=8, vectors=glove)", []),
        ("smollm2_135m", []),
        ("textgenrnn", []),
    ],
)
def test_a_server_answers_as_predict_does(backbone, modules, tmp_path):
    source = samples.vader(LoadSettings(), domain="movie")
    texts, labels = list(source.text_columns()[0]), np.asarray(source.labels)
    rows = np.random.default_rng(0).permutation(len(texts))[: NUM_TRAIN + NUM_ASKED]
    train = [texts[row] for row in rows[:NUM_TRAIN]], [str(x) for x in labels[rows[:NUM_TRAIN]]]
    result = tltf.fit(
        train,
        backbone=backbone,
        method="full" if backbone.startswith("small") else "linear_probe",
        train_epochs=3,
        text_length=32,
        baseline="none",
        explain="none",
        export=False,
    )
    asked = [*(texts[row] for row in rows[NUM_TRAIN:]), *TEXTS]
    answers = result.model.predict(asked)
    expected = np.array([list(row.probabilities.values()) for row in answers])
    folder = saved_model.export_saved_model(result.model, tmp_path / "export", None, False)
    found = _served(folder, asked, modules)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 0.01, "the answers depend on the texts"
