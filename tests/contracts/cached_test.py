"""Methods with a frozen prefix: training on what is kept of it is training on it."""

import types

import numpy as np
import pytest

from tests import tiny
from tests.caching_test import Counting, images, images_source, own_cache, train  # noqa: F401
from tltf import specs
from tltf.catalogs import METHODS
from tltf.methods import teaching

CASES = [
    "linear_probe",
    "partial(last_groups=1)",
    "gradual(stages=2)",
    "lp_ft(solver=gradient)",
    "lora(rank=2, targets='stage_2/.*')",
    "adapters(size=2, targets='stage_2/.*kernel')",
    "rules(patterns=['head/.*', 'stage_2/.*'])",
    "delta",
    "lwf",
    "distill(teacher=tiny)",
]


@pytest.fixture(autouse=True)
def teacher(monkeypatch):
    """The earlier run."""

    def load(run):
        state = np.random.default_rng(3)
        core = tiny.core(tiny.image_backbone(dropout=0.0))
        for variable in core.model.trainable_weights:
            variable.assign(state.normal(0, 0.3, variable.shape))
        return types.SimpleNamespace(core=core, class_names=("a", "b", "c"))

    monkeypatch.setattr(teaching, "_load", load)


@pytest.mark.parametrize("text", CASES)
def test_cached_training_is_training(text, own_cache, monkeypatch):  # noqa: F811
    counted, source = Counting(monkeypatch), images_source(60)
    build = specs.pick(METHODS, text).build
    expected, weights, _ = train(images, source, build(), cache=False)
    assert counted.rows == 0
    found, same, _ = train(images, source, build(), cache_precision="float32")
    assert counted.rows % 60 == 0 and counted.rows > 0, "each example once for each boundary"
    for name in {"loss", "val_loss", "val_accuracy"} & expected[0].keys():
        np.testing.assert_allclose(
            [row[name] for row in found], [row[name] for row in expected], rtol=1e-4, atol=1e-4
        )
    for path, value in weights.items():
        np.testing.assert_allclose(same[path], value, atol=1e-3, err_msg=path)
