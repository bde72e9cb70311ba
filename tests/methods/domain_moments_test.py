"""Features with the moments of another domain, beside numpy and scipy."""

import numpy as np
import pytest
from scipy import linalg

from tests import tiny
from tltf.errors import FlagError
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.methods import domain_moments
from tltf.methods.domain_moments import align


def matched(source, target, moments, shrinkage=0.1, weights=None):
    weights = np.ones(len(source)) if weights is None else weights
    rows = FrozenRows(source, np.ones((len(source), 1)), weights)
    return domain_moments.matched(rows, target, moments, shrinkage)


def domains(seed=0, count=400):
    """`(source float32[N, 3], labels, target float32[N, 3], labels)`: the target is moved and stretched."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (2, count))
    clean = rng.normal(0, 0.5, (2, count, 3))
    clean[..., 0] += 2 * labels - 1
    turned = clean[1] @ [[3.0, 0, 0], [0, 1, 0.5], [0, 0, 2]] + [4.0, 1, -2]
    return clean[0].astype("f"), labels[0], turned.astype("f"), labels[1]


def test_means_are_made_alike():
    source, _, target, _ = domains()
    found = matched(source, target, "mean")
    np.testing.assert_allclose(found.mean(axis=0), target.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(source, axis=0), atol=1e-5)


def test_deviations_are_made_alike():
    source, _, target, _ = domains()
    found = matched(source, target, "deviation")
    np.testing.assert_allclose(found.mean(axis=0), target.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0), target.std(axis=0), rtol=5e-3)
    constant = np.concatenate([source, np.ones((len(source), 1), "f")], axis=1)
    assert np.isfinite(matched(constant, constant, "deviation")).all()


def test_covariances_are_made_alike():
    source, _, target, _ = domains()
    found = matched(source, target, "covariance", shrinkage=1e-9)
    np.testing.assert_allclose(np.cov(found.T), np.cov(target.T), rtol=1e-4, atol=1e-4)


def test_covariances_are_whitened_and_coloured_as_in_the_paper():
    source, _, target, _ = domains()
    shrunk = []
    for part in (source, target):
        covariance = np.cov(part.astype(float).T)
        shrunk.append(0.7 * covariance + 0.3 * np.trace(covariance) / 3 * np.eye(3))
    change = linalg.inv(linalg.sqrtm(shrunk[0])) @ linalg.sqrtm(shrunk[1])
    expected = (source - source.mean(axis=0)) @ change + target.mean(axis=0)
    np.testing.assert_allclose(
        matched(source, target, "covariance", 0.3), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("rounds", [0, 3])
@pytest.mark.parametrize("moments", ["mean", "deviation", "covariance"])
def test_the_head_fits_the_target(moments, rounds):
    source, labels, target, truth = domains()
    rows, family = FrozenRows(source, np.eye(2)[labels], np.ones(len(labels))), "logistic"
    backbone = tiny.image_backbone()
    method = align(moments=moments, rounds=rounds, family=family, shares="source")
    core = tiny.core(backbone, num_classes=2)
    dense = core.groups[-1].layers[-1]
    width = dense.kernel.shape[0]
    wide = [np.pad(part, ((0, 0), (0, width - 3))) for part in (source, target)]
    rows = FrozenRows(wide[0], rows.targets, rows.weights)
    solved = method.solve(core, rows, 0, wide[1])
    answers = (wide[1] @ dense.kernel.numpy() + dense.bias.numpy()).argmax(axis=1)
    plain = choice.choose(families.pick(family), rows, 0).model.logits(wide[1]).argmax(axis=1)
    assert (plain == truth).mean() < 0.7, "without it nearly every row gets the same class"
    assert (answers == truth).mean() > (0.75 if moments == "mean" else 0.95)
    assert len(solved.history) == 1 + rounds


@pytest.mark.parametrize("moments", ["mean", "deviation", "covariance"])
def test_a_row_of_weight_two_counts_as_two_rows(moments):
    source, _, target, _ = domains(count=60)
    twice = np.concatenate([source, source[:20]])
    weights = np.where(np.arange(60) < 20, 2.0, 1.0)
    found = matched(source, target, moments, weights=weights)
    np.testing.assert_allclose(found, matched(twice, target, moments)[:60], rtol=1e-3, atol=1e-3)


def test_other_shares_of_classes_are_not_taken_for_a_shift():
    rng = np.random.default_rng(0)
    labels, truth = rng.random(600) < 0.8, rng.random(600) < 0.2
    width = tiny.core(num_classes=2).groups[-1].layers[-1].kernel.shape[0]
    source, target = (rng.normal(0, 0.6, (600, width)).astype("f") for _ in range(2))
    source[:, 0] += 2 * labels - 1
    target[:, 0] += 2 * truth - 1
    rows, found = FrozenRows(source, np.eye(2)[labels.astype(int)], np.ones(600)), {}
    for shares in ("estimated", "source"):
        core = tiny.core(num_classes=2)
        align(family="logistic", rounds=0, shares=shares).solve(core, rows, 0, target)
        dense = core.groups[-1].layers[-1]
        answers = (target @ dense.kernel.numpy() + dense.bias.numpy()).argmax(axis=1)
        found[shares] = float((answers == truth).mean())
    assert found["estimated"] > 0.93 and found["source"] < found["estimated"] - 0.15


def test_wrong_values_are_refused():
    with pytest.raises(FlagError, match="moments is one of"):
        align(moments="median")
    with pytest.raises(FlagError, match="shrinkage"):
        align(shrinkage=0)
    with pytest.raises(FlagError, match="shares is one of"):
        align(shares="none")
    with pytest.raises(FlagError, match="rounds"):
        align(rounds=-1)
