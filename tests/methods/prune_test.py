"""Pruned kernels have the zeros that the paper's schedule asks for, and keep them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.contracts.methods_test import fit
from tests.training.fit_test import feed
from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.errors import FlagError
from tltf.methods import pruning
from tltf.methods.context import FitContext
from tltf.methods.method import Phase
from tltf.methods.prune import pruned_kernels, share_of_zeros


def zeros(array):
    return np.mean(np.asarray(array) == 0)


def test_the_share_of_zeros_rises_by_the_paper_s_cubic_schedule():
    """s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n D))^3, written as the paper has it."""
    made = pruning.Pruning([], 0.8, num_steps=60, updates=12)
    for step in range(0, 61, 5):
        expected = 0.8 + (0.0 - 0.8) * (1 - step / (12 * 5)) ** 3
        assert float(made.share_after(tf.constant(step))) == pytest.approx(expected, abs=1e-6)
    due = [step for step in range(1, 61) if bool(made.is_due(tf.constant(step)))]
    assert due == list(range(5, 61, 5))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.37, 0.5, 0.99])
def test_the_smallest_weights_go_first(share):
    weights = np.random.default_rng(0).normal(size=(7, 30)).astype(np.float32)
    found = np.asarray(pruning.smallest_to_zero(tf.constant(weights), share))
    order = np.argsort(np.abs(weights), axis=None)
    expected = weights.copy().ravel()
    expected[order[: round(share * 210)]] = 0
    np.testing.assert_array_equal(found, expected.reshape(7, 30))


def test_every_dense_kernel_ends_with_its_zeros_and_nothing_else_is_pruned():
    core, _, _ = fit("prune(share=.75, updates=4)", train_epochs=6)
    kernels = pruned_kernels(core)
    names = {id(variable): name for name, variable in core.named_weights().items()}
    assert [names[id(kernel)] for kernel in kernels] == ["conv_1/kernel", "block_2/conv/kernel"]
    for kernel in kernels:
        assert zeros(kernel) == pytest.approx(0.75, abs=1 / kernel.value.numpy().size)
    assert share_of_zeros(kernels) == pytest.approx(0.75, abs=0.01)
    others = [v for v in core.model.trainable_weights if all(v is not kernel for kernel in kernels)]
    assert max(map(zeros, others)) == 0


def test_a_weight_that_is_pruned_stays_0_while_the_others_move():
    keras.utils.set_random_seed(0)
    method = call_strings.pick(METHODS, "prune(share=.5)").build()
    core = method.prepare(tiny.core(), FitContext())
    (kernel, _) = pruned_kernels(core)
    model = pruning.PrunedModel(core.model.input, core.model.output)
    model.compile(keras.optimizers.Adam(0.01), {"label": core.head.loss()}, run_eagerly=False)
    method.begin(core, Phase("tune", ()), model, 8)
    before = kernel.value.numpy()
    assert zeros(before) == 0.5
    model.fit(feed().training(0, 1), epochs=1, verbose=0)
    np.testing.assert_array_equal(kernel.value.numpy() == 0, before == 0)
    assert np.abs(kernel.value.numpy() - before).max() > 0


@pytest.mark.parametrize(
    "flags", [{"keep": "best"}, {"ema_decay": 0.9}, {"early_stopping_epochs": 1}]
)
def test_the_zeros_are_there_whatever_else_the_training_does(flags):
    """The best epoch could be one before the last mask, an average has numbers where zeros were."""
    data = feed(has_validation=True)
    core, _, fitted = fit("prune(share=.75, updates=4)", train_epochs=8, data=data, **flags)
    for kernel in pruned_kernels(core):
        assert zeros(kernel) == pytest.approx(0.75, abs=1 / kernel.value.numpy().size)
    assert {row["phase"] for row in fitted.history} >= {"prune", "tune"}
    assert sum(row["phase"] == "prune" for row in fitted.history) == 5
    passed = {row["phase"]: row.get("is_passed") for row in fitted.history}
    assert passed == {"probe": None, "prune": True, "tune": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prune(share=1.0)", "share must be between 0 and 1"),
        ("prune(ramp_share=0.0)", "ramp_share must be between"),
        ("prune(updates=0)", "updates must be at least 1"),
        ("prune(solver=newton)", "no solver 'newton'"),
    ],
)
def test_numbers_out_of_their_range_are_refused(text, said):
    with pytest.raises(FlagError, match=said):
        call_strings.pick(METHODS, text).build()


def test_targets_that_match_nothing_are_refused():
    method = call_strings.pick(METHODS, "prune(targets='layer_9/.*')").build()
    with pytest.raises(FlagError, match="matches none of the kernels"):
        method.phases(tiny.core())
