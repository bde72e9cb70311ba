"""Scaled features beside numpy: standardised or by Pareto, weighted, in memory or from a file."""

import numpy as np
import pytest

from tltf.heads.solving.standard_inputs import StandardInputs


@pytest.mark.parametrize("power", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("is_file", [False, True])
def test_features_are_divided_by_a_power_of_their_deviation(tmp_path, power, is_file):
    random = np.random.default_rng(0)
    features = (random.normal(size=(50, 4)) * [0.1, 1, 30, 0] + 5).astype(np.float32)
    weights = random.uniform(0.5, 2, 50) * (np.arange(50) % 5 > 0)
    keep = np.flatnonzero(weights)
    shares = weights[keep] / weights[keep].sum()
    mean = shares @ features[keep].astype(float)
    deviation = np.sqrt(shares @ (features[keep] - mean) ** 2)[:3]
    expected = (features[keep, :3] - mean[:3]) / deviation**power
    expected /= np.sqrt((shares @ expected**2).mean())
    if is_file:
        np.save(tmp_path / "features.npy", features)
        features = np.load(tmp_path / "features.npy", mmap_mode="r")
    inputs = StandardInputs(features, keep, shares, power)
    found = np.concatenate([inputs[part].copy() for part in inputs.parts])
    np.testing.assert_allclose(found[:, :3], expected, rtol=1e-4, atol=1e-5)
    assert not found[:, 3].any() and inputs.scale[3] == 1  # which never varies
