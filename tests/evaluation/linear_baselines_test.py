"""The linear baselines of several labels per row, and of numbers."""

import numpy as np
import pytest
from scipy import optimize, special

from tltf.evaluation import baselines, linear_baselines


@pytest.mark.parametrize("share", [0.01, 0.045, 0.2])
@pytest.mark.parametrize("c", [0.001, 0.01, 0.1])
def test_a_rare_label_has_a_rare_probability_whatever_the_penalty(share, c):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(400, 8)), np.zeros((400, 1), np.uint8)
    labels[: round(400 * share)] = 1
    models = linear_baselines._fit_labels(c, features, labels)
    assert linear_baselines._stated(models, features).mean() == pytest.approx(share, rel=0.01)


def test_the_intercept_of_a_label_is_free():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 3))
    labels = (features[:, 0] + rng.normal(size=200) > 1.5).astype(np.uint8)

    def penalised(weights):
        scores = features @ weights[:3] + weights[3]
        return 0.5 * (weights[:3] ** 2).sum() + 0.1 * (
            np.logaddexp(0, scores).sum() - scores[labels > 0].sum()
        )

    best = optimize.minimize(penalised, np.zeros(4), tol=1e-10).x
    stated = linear_baselines._stated(
        linear_baselines._fit_labels(0.1, features, labels[:, None]), features
    )[:, 0]
    np.testing.assert_allclose(stated, special.expit(features @ best[:3] + best[3]), atol=1e-3)


@pytest.mark.parametrize("grid, said", [((1e-4, 1.0), True), ((1e-9, 1.0, 1e9), False)])
def test_a_strength_at_the_edge_of_the_grid_is_said(grid, said):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 200)
    features = labels[:, None] + rng.normal(size=(200, 4)) * [[0.5, 1, 2, 3]]
    half = features[:100], labels[:100]
    row, _ = baselines.logistic_regression(
        half, (features[100:], labels[100:]), half, ["a", "b"], grid=grid, num_resamples=10
    )
    assert row.chosen["is_at_edge"] == said == ("the edge of what was tried" in row.note)
