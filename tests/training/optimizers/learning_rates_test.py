"""Learning rates over the steps against their formulas, and the phases that have them."""

import numpy as np
import pytest

from tests.training.optimizers.optimizer_test import options
from tltf.errors import FlagError
from tltf.methods.method import Method, Phase
from tltf.training.course import Course, require_snapshots
from tltf.training.optimizers import learning_rates
from tltf.training.optimizers import optimizer as optimizers_optimizer


@pytest.mark.parametrize(
    "shape,at_end,at_half", [("constant", 1, 1), ("linear", 0, 0.5), ("cosine", 0, 0.5)]
)
def test_schedules_rise_then_fall(shape, at_end, at_half):
    rate = learning_rates.WarmUp(2.0, num_steps=110, warmup_steps=10, shape=shape)
    assert float(rate(0)) == pytest.approx(0.2)
    assert float(rate(9)) == pytest.approx(2.0)
    assert float(rate(60)) == pytest.approx(2.0 * at_half)
    assert float(rate(110)) == pytest.approx(2.0 * at_end, abs=1e-6)


def test_restarts_fall_to_zero_again_and_again():
    """Equation 2 of Huang 2017 with T = 12 and M = 3; a rise of two steps is in the first fall alone."""
    rate = learning_rates.Restarts(2.0, ends=(4, 8, 12))
    falls = 2.0 / 2 * (np.cos(np.pi * np.mod(np.arange(12), 4) / 4) + 1)
    np.testing.assert_allclose([float(rate(step)) for step in range(12)], falls, atol=1e-6)
    assert float(rate(12)) == 0.0
    again = learning_rates.Restarts.from_config({"peak": 2.0, "ends": [6, 8], "warmup_steps": 2})
    found = [float(again(step)) for step in range(8)]
    np.testing.assert_allclose(found[:4], [1.0, 2.0, 2.0, 1 + np.cos(np.pi / 4)], rtol=1e-6)
    np.testing.assert_allclose(found[6:], [2.0, 1.0], rtol=1e-6)


def test_snapshots_share_out_the_epochs_of_the_last_phase_in_steps():
    phases = [Phase("one", ()), Phase("two", ())]
    course = Course(options(snapshots=3, train_epochs=8))
    assert [phase.num_snapshots for phase in course.phases(phases)] == [0, 3]
    chosen = course.phases(phases)[1]
    assert chosen.snapshot_epochs(8) == (3, 5, 8) and phases[1].snapshot_epochs(8) == ()
    assert course.rate(chosen, 80).ends == [30, 50, 80]
    assert isinstance(course.rate(phases[0], 80), learning_rates.WarmUp)
    gradual = Method(lambda core: [Phase(str(n), (), epochs_share=0.2) for n in range(5)])
    with pytest.raises(FlagError, match="has 2 epochs in its last phase") as raised:
        require_snapshots(options(snapshots=3, train_epochs=12), gradual, gradual.phases(None))
    assert raised.value.fix == "--train_epochs=60"
    require_snapshots(options(snapshots=3, train_epochs=60), gradual, gradual.phases(None))


def test_plateau_starts_with_a_settable_rate():
    rate = learning_rates.learning_rate(
        options(schedule="plateau"), Phase("p", (), rate_factor=0.5), 10
    )
    assert rate == pytest.approx(0.05)
    optimizer = optimizers_optimizer.build(options(), {}, rate)
    optimizer.learning_rate = 0.01
    assert float(optimizer.learning_rate) == pytest.approx(0.01)


def test_one_cycle_is_that_of_fastai():
    """fit_one_cycle: combined_cos(pct_start, lr_max / div, lr_max, lr_max / div_final), by hand."""
    chosen = options(schedule="one_cycle", warmup_fraction=0.25, learning_rate=0.5)
    rate = learning_rates.learning_rate(chosen, Phase("full", ()), 41)
    cos = lambda start, end, done: start + (1 + np.cos(np.pi * (1 - done))) * (end - start) / 2  # noqa: E731
    for step in range(41):
        if step < 10:
            expected = cos(0.5 / 25, 0.5, step / 10)
        else:
            expected = cos(0.5, 0.5 / 250_000, (step - 10) / 30)
        np.testing.assert_allclose(rate(step), expected, rtol=1e-4, atol=1e-8)
    again = type(rate).from_config(rate.get_config())
    np.testing.assert_array_equal(again(7), rate(7))
