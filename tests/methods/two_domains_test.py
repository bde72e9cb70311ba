"""The start from a solved head, and rows of the source that are drawn by shares of classes."""

import numpy as np
import pytest
from scipy import special

from tests import tiny
from tltf.errors import FlagError
from tltf.heads.light import choice, class_shares
from tltf.heads.light.light_model import FrozenRows
from tltf.heads.light.other_families import HiddenLayer
from tltf.methods.context import FitContext
from tltf.methods.domain_adversarial import dann
from tltf.methods.method import Phase, RowsToOrder
from tltf.methods.two_domains import drawn


def domains(width, share, seed):
    """`(float32[N, width], labels)` of two classes, the second with a share of the rows."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(300) < share).astype(int)
    features = rng.normal(0, 0.7, (300, width)).astype("f")
    features[:, 0] += 2 * labels - 1
    return features, labels


def test_rows_are_drawn_by_the_shares():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    found = drawn(labels, [0.2, 0.3, 0.5], [0, 1])
    assert len(found) == 100 and np.bincount(labels[found]).tolist() == [20, 30, 50]
    assert np.bincount(found[labels[found] == 2]).max() == 5, "each of ten rows five times"
    assert len(set(found[labels[found] == 0])) == 20, "none twice while others are left"
    assert (found != np.sort(found)).any()
    assert (drawn(labels, [0.2, 0.3, 0.5], [0, 1]) == found).all()
    assert (drawn(labels, [0.2, 0.3, 0.5], [0, 2]) != found).any()


def test_a_class_that_no_row_has_is_not_drawn():
    found = drawn(np.array([0, 0, 2, 2]), [0.25, 0.5, 0.25], [0])
    assert len(found) == 4 and np.bincount(found // 2).tolist() == [2, 2]


@pytest.mark.parametrize("hidden", [0, 8])
def test_it_starts_from_the_head_that_fits_the_target(hidden):
    method = dann(hidden=hidden)
    core = method.prepare(tiny.core(num_classes=2), FitContext())
    width = core.model.get_layer("label_logits" if not hidden else "label_hidden_1").kernel.shape[0]
    (features, labels), (others, truth) = domains(width, 0.7, 0), domains(width, 0.2, 1)
    rows = FrozenRows(features, np.eye(2)[labels], np.ones(300))
    solved = method.solve(core, rows, 0, others)
    (row,) = solved.history
    np.testing.assert_allclose(list(row.values()), [0.8, 0.2], atol=0.15)
    x = others
    if hidden:
        layer = core.model.get_layer("label_hidden_1")
        x = np.maximum(x @ layer.kernel.numpy() + layer.bias.numpy(), 0)
    layer = core.model.get_layer("label_logits")
    logits = x @ layer.kernel.numpy() + layer.bias.numpy()
    assert (logits.argmax(axis=1) == truth).mean() > 0.9
    if hidden:
        family = HiddenLayer(8)
        chosen = choice.choose([family], rows, 0)
        answers = special.softmax(chosen.model.logits(others), axis=1)
        shares = class_shares.estimate(answers)
        weighed = class_shares.weigh(rows, shares)
        (expected,) = family.solve(weighed, [chosen.candidate.setting])
        np.testing.assert_allclose(logits, expected.logits(others), rtol=1e-3, atol=1e-3)


def test_the_steps_take_the_shares_of_the_first_phase():
    method, phase = dann(), Phase("dann", ())
    labels = np.repeat([0, 1], [30, 10])
    history = [{"phase": "light_head", "class_share_0": 0.5, "class_share_1": 0.5}]
    order = method.order(phase, RowsToOrder(labels, 8, 1, 0, 50, history))
    assert len(order) == 40 and np.bincount(labels[order.rows_of(3)]).tolist() == [20, 20]
    assert method.order(phase, RowsToOrder(labels, 8, 1, 0, 50, [])) is None
    assert dann(shares="source").order(phase, RowsToOrder(labels, 8, 1, 0, 50, history)) is None


def test_a_head_with_layers_of_its_own_starts_at_random():
    method = dann()
    assert [phase.name for phase in method.phases(tiny.core())] == ["light_head", "dann"]
    core = tiny.core(head="classify(hidden=[4])")
    assert [phase.name for phase in method.phases(core)] == ["dann"]
    prepared = method.prepare(core, FitContext())
    assert [phase.name for phase in method.phases(prepared)] == ["dann"]


def test_other_shares_are_refused():
    with pytest.raises(FlagError, match="shares is one of estimated, source"):
        dann(shares="equal")
