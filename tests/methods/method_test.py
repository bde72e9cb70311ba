"""What a phase and the outcome of a training say of themselves."""

import pytest

from tltf.methods.method import Phase, TrainingOutcome


@pytest.mark.parametrize(
    ("share", "solver", "epochs"),
    [(0.3, "gradient", 3), (0.01, "gradient", 1), (1.0, "lbfgs", 0), (1.0, "none", 0)],
)
def test_epochs_of_a_phase(share, solver, epochs):
    assert Phase("p", (), epochs_share=share, solver=solver).num_epochs(10) == epochs


def test_a_phase_without_a_batch_norm_policy_takes_that_of_the_run():
    assert Phase("p", ()).norm_policy("recalibrate") == "recalibrate"
    assert Phase("p", (), norm="frozen").norm_policy("train") == "frozen"


def test_outcomes_rank_by_quality_and_then_by_loss():
    results = {"good": (0.7, 0.9), "good but unsure": (0.8, 0.9), "bad": (0.1, 0.5)}
    outcomes = {name: TrainingOutcome({}, {}, lambda r=r: r) for name, r in results.items()}
    ranked = sorted(outcomes, key=lambda name: outcomes[name].quality())
    assert ranked == ["bad", "good but unsure", "good"]
    with pytest.raises(ValueError, match="no validation split"):
        TrainingOutcome({}, {}, None).quality()
