"""The distance of rows from what a network was pretrained on, against its batch norm's numbers in numpy."""

import dataclasses

import keras
import numpy as np
import pytest

from tltf.config import call_strings, checks, options
from tltf.config.catalogs import METHODS
from tltf.config.rank_options import RankOptions
from tltf.data import loader
from tltf.experiments.ranking import source_distance
from tltf.training import assembly
from tltf.training.distribution import strategies


def test_equal_distributions_have_no_distance_and_others_that_of_their_moments():
    mean, spread = np.array([0.0, 2.0]), np.array([1.0, 4.0])
    assert source_distance.distance(mean, spread, mean, spread) == 0
    found = source_distance.distance(np.array([3.0, 2.0]), np.array([5.0, 4.0]), mean, spread)
    assert found == pytest.approx((5.0 + 0.0) / 2)  # sqrt(3^2 + 4^2), and 0


def test_it_is_that_of_the_inputs_of_the_last_batch_norm(tmp_path):
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=pictures, y=np.arange(24) % 2)
    data, name = f"numpy(path={tmp_path}/data.npz)", "efficientnet_lite0"
    chosen = options.make(RankOptions, data=data, backbone=name, image_size_px=32)
    recipe = checks.resolve(chosen, needs_output=False)
    rows, strategy = loader.load(data), strategies.start(chosen.runtime)
    probe = call_strings.pick(METHODS, "probe", "method")
    trained, _ = assembly.assemble(
        options.replace(chosen, method="probe", baseline="none"),
        dataclasses.replace(recipe, method=probe, baselines=()),
        {"train": rows},
        strategy,
    )
    backbone = trained.core.backbone
    norm, seen = backbone.layers[-2], []
    assert isinstance(norm, keras.layers.BatchNormalization)
    given = norm.call

    def call(inputs, **more):
        seen.append(inputs)
        return given(inputs, **more)

    norm.call = call
    keras.Model(backbone.inputs, backbone.taps)({"image": pictures.astype(np.float32)})
    inputs = np.asarray(seen[-1])
    flat = inputs.reshape(-1, inputs.shape[-1]).astype(np.float64)
    spread = np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    shift = (flat.mean(0) - np.asarray(norm.moving_mean)) / spread
    wanted = np.sqrt(shift**2 + (flat.std(0) / spread - 1) ** 2).mean()
    assert source_distance.measure(trained, rows) == pytest.approx(wanted, rel=1e-3)
    assert wanted > 0
