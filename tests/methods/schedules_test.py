"""What is trained when, and how fast: rates of groups, stages, and a head that starts solved."""

import dataclasses

import numpy as np
import pytest

from tests import tiny
from tests.training.fit_test import feed, fit
from tltf.errors import FlagError
from tltf.graphs import freezing
from tltf.heads.losses import cross_entropies
from tltf.methods import fine_tuning as plain
from tltf.methods import lora, schedules, subsets
from tltf.training import curriculum as curricula
from tltf.training import fit as training_fit


def rates(core, phase):
    """Group -> the rates of its variables."""
    plan = freezing.apply(core.groups, phase.rules, "train")
    return {row["group"]: row["rates"] for row in freezing.table(plan)}


def test_discriminative_rates_fall_by_a_factor_a_group():
    core = tiny.core()
    (phase,) = schedules.discriminative(2.0).phases(core)
    assert rates(core, phase) == {"head": [1.0], "stage_2": [0.5], "stage_1": [0.25]}


def test_gradual_unfreezes_from_the_top():
    core = tiny.core()
    phases = schedules.gradual(stages=2, decay=2.0).phases(core)
    assert [rates(core, phase) for phase in phases] == [
        {"head": [1.0], "stage_2": [], "stage_1": []},
        {"head": [1.0], "stage_2": [0.5], "stage_1": []},
        {"head": [1.0], "stage_2": [0.5], "stage_1": [0.25]},
    ]
    assert sum(phase.epochs_share for phase in phases) == pytest.approx(1)


def test_gradual_has_no_more_stages_than_groups_and_ends_with_all():
    core = tiny.core()
    phases = schedules.gradual(stages=9).phases(core)
    assert len(phases) == 3
    assert all(rates(core, phases[-1]).values())
    (_, all_at_once) = schedules.gradual(stages=1).phases(core)
    assert all(rates(core, all_at_once).values())


def solved_first(method):
    method.solve_head_first()
    return method


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (schedules.lp_ft(), "full"),
        (solved_first(subsets.bitfit()), "bitfit"),
        (solved_first(lora.lora(targets=".*/kernel")), "lora"),
    ],
    ids=["lp_ft", "bitfit", "lora"],
)
def test_fine_tuning_begins_with_the_solved_head(method, name, monkeypatch):
    seen = {}
    prepare_phase = training_fit.Fit._prepare_phase

    def watch(self, number, phase, saved):
        if phase.name == name:
            seen["head"] = [v.numpy() for v in self.core.groups[-1].layers[-1].weights]
        return prepare_phase(self, number, phase, saved)

    monkeypatch.setattr("tltf.training.fit.Fit._prepare_phase", watch)
    data = feed(has_validation=True)
    probed, _, _ = fit(method=plain.linear_probe("lbfgs"), data=data)
    tuned, run, _ = fit(method=method, data=data)
    for found, expected in zip(seen["head"], probed.groups[-1].layers[-1].weights, strict=True):
        np.testing.assert_array_equal(found, expected.numpy())
    epochs = [row["epoch"] for row in run.history if row["phase"] == name]
    assert epochs == [1, 2, 3], "the solver takes no epochs from the steps"
    ends = zip(tuned.model.weights, probed.model.weights, strict=True)
    assert any(
        not np.array_equal(mine, probe) for mine, probe in ends if "logits" not in mine.path
    ), "the backbone is trained too"


def test_steps_that_only_harm_leave_the_solved_head():
    """Its quality on validation is what an epoch must exceed to be the best."""
    data = feed(has_validation=True)
    probed, _, _ = fit(method=plain.linear_probe("lbfgs"), data=data)
    kept = {"data": data, "keep": "best", "learning_rate": 1.0, "train_epochs": 2}
    tuned, run, _ = fit(method=schedules.lp_ft(), **kept)
    assert run.best.state["epoch"] == 0
    for name, variable in probed.named_weights().items():
        np.testing.assert_array_equal(tuned.named_weights()[name], variable, err_msg=name)
    _, run, _ = fit(method=schedules.lp_ft(), **kept | {"learning_rate": 0.05})
    assert run.best.state["epoch"] > 0


def test_lp_ft_by_steps_shares_the_epochs():
    probe, full = schedules.lp_ft(solver="gradient", probe_share=0.25).phases(tiny.core())
    assert (probe.epochs_share, full.epochs_share) == (0.25, 0.75)


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedules.lp_ft(solver="newton"),
        lambda: schedules.lp_ft(probe_share=1.0),
        lambda: schedules.lp_ft(probe_rate=0),
        lambda: schedules.lp_ft(backbone_rate=0),
        lambda: schedules.discriminative(0.5),
        lambda: schedules.gradual(stages=0),
        lambda: schedules.gradual(decay=0.9),
    ],
)
def test_numbers_out_of_their_range_are_refused(make):
    with pytest.raises(FlagError, match=r"received|choices"):
        make()


def test_curriculum_grows_exponentially_to_all_rows():
    probe, *parts = schedules.curriculum(stages=3, start_share=0.25).phases(None)
    assert probe.solver == "lbfgs" and probe.easiest == 1.0
    np.testing.assert_allclose([part.easiest for part in parts], [0.25, 0.5, 1.0])
    np.testing.assert_allclose([part.epochs_share for part in parts], 1 / 3)
    assert len({part.rules for part in parts}) == 1


def test_the_easiest_of_each_class():
    difficulty = np.array([5.0, 1.0, 3.0, 2.0, 9.0, 0.5, 7.0])
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    assert curricula.easiest(difficulty, labels, 0.5).tolist() == [1, 3, 5, 6]
    assert curricula.easiest(difficulty, labels, 0.01).tolist() == [1, 5, 6]
    assert curricula.easiest(difficulty, labels, 1.0).tolist() == list(range(7))


def test_curriculum_trains_on_what_the_solved_head_finds_easy():
    data, seen = feed(), []

    def training(first, number, rows=None):
        seen.append(None if rows is None else rows.tolist())
        return data.training(first, number, rows)

    watched = dataclasses.replace(data, training=training)
    _, run, _ = fit(method=schedules.curriculum(stages=2, start_share=0.5), data=watched)
    assert seen[0] is None and seen[2] is None, "the solver and the last stage take all"
    labels = data.in_order()[1]
    assert seen[1] == curricula.easiest(run.record.difficulty, labels, 0.5).tolist()
    assert len(seen[1]) == 4 + 4 + 3, "half of 7, 7 and 6 rows"
    assert run.record.step == 2 * (2 + 3), "two epochs each, of two and three steps"


def test_difficulty_is_the_cross_entropy():
    logits = np.random.default_rng(0).normal(0, 5, (6, 3))
    labels = np.array([0, 1, 2, 0, 1, 2])
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(chances[np.arange(6), labels])
    np.testing.assert_allclose(cross_entropies(logits, labels), expected)
