import numpy as np
import pytest

from tests import tiny
from tltf.errors import DataError
from tltf.heads.light.light_model import FrozenRows
from tltf.methods import ncm
from tltf.methods.context import FitContext

RANDOM = np.random.default_rng(0)
CENTERS = RANDOM.normal(0, 2, (3, 4))
LABELS = np.arange(60) % 3
FEATURES = CENTERS[LABELS] + RANDOM.normal(0, [0.1, 1, 3, 1], (60, 4))


def rows(chosen, names):
    chosen = np.asarray(chosen)
    places = [names.index("abc"[label]) for label in LABELS[chosen]]
    return FrozenRows(FEATURES[chosen], np.eye(len(names))[places], np.ones(len(chosen)))


def solve(chosen, names, before=None, scaled=True):
    """`(kernel, bias, Method)` of a step."""
    method = ncm.ncm(scaled)
    core = method.prepare(tiny.core(num_classes=len(names)), FitContext(names, carried=before))
    core = method.solve(core, rows(chosen, names), 0, None).core
    (dense,) = core.groups[-1].layers
    return dense.kernel.numpy(), dense.bias.numpy(), method


@pytest.mark.parametrize("scaled", [True, False])
def test_the_answer_is_the_nearest_mean(scaled):
    kernel, bias, _ = solve(range(60), ("a", "b", "c"), scaled=scaled)
    means = np.stack([FEATURES[label == LABELS].mean(axis=0) for label in range(3)])
    width = 1.0
    if scaled:
        width = np.sqrt(((FEATURES - means[LABELS]) ** 2).mean(axis=0))
    points = RANDOM.normal(0, 3, (200, 4))
    distances = np.linalg.norm((points[:, None] - means) / width, axis=2)
    assert (points @ kernel + bias).argmax(axis=1).tolist() == distances.argmin(axis=1).tolist()


def test_steps_come_to_the_same_means_as_all_rows_at_once_in_whatever_order():
    whole, bias, _ = solve(range(60), ("a", "b", "c"))
    first = solve(np.flatnonzero(LABELS < 2)[:20], ("a", "b"))[2]
    second = solve(np.flatnonzero(LABELS == 2), ("c", "a", "b"), first.carried)[2]
    last = solve(np.flatnonzero(LABELS < 2)[20:], ("a", "b", "c"), second.carried)
    factor = whole[0, 0] / last[0][0, 0]  # which changes no answer
    assert last[0] * factor == pytest.approx(whole, rel=1e-3)
    assert last[1] * factor == pytest.approx(bias, rel=1e-3)


def test_a_class_without_any_row_is_an_error():
    with pytest.raises(DataError, match="class 'c' has no training rows"):
        solve(np.flatnonzero(LABELS < 2), ("a", "b", "c"))
