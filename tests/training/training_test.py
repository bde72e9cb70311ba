"""What assembling a run decides from its head."""

import types
import warnings

import pytest

from tltf import train
from tltf.config import checks, defaults
from tltf.config.options import make
from tltf.data import loader
from tltf.errors import FlagError
from tltf.experiments import run_baselines
from tltf.methods import fine_tuning, schedules
from tltf.methods.method import Phase
from tltf.runs import folder
from tltf.training import assembly, training
from tltf.training.distribution import strategies
from tltf.training.result import TrainingResult

HEADS = [
    ({}, True),
    ({"head": "classify(hidden=[4])"}, False),
    ({"head": "classify(dropout=.1)"}, False),
    ({"head": "ordinal"}, False),
    ({"loss": "focal"}, False),
]


def options_of(**flags):
    return make(**{"data": "digits", "backbone": "small_cnn", "image_size_px": 28} | flags)


def assembled(**flags):
    options = options_of(**flags)
    recipe = checks.resolve(options, needs_output=False)
    parts = loader.load_parts(options, recipe)
    return assembly.assemble(options, recipe, parts, strategies.start(options.runtime))


@pytest.mark.parametrize(("flags", "is_solvable"), HEADS)
def test_auto_solves_for_the_heads_that_have_an_optimum(flags, is_solvable, monkeypatch):
    seen, resolve = [], defaults.resolve

    def resolved(options, situation, method):
        seen.append(situation)
        return resolve(options, situation, method)

    monkeypatch.setattr(defaults, "resolve", resolved)
    trained, _ = assembled(**flags)
    assert [situation.is_solvable for situation in seen] == [is_solvable]
    assert trained.options.train.method == "scratch", "its weights are random"


@pytest.mark.parametrize("flags", [flags for flags, is_solvable in HEADS if not is_solvable])
def test_a_head_without_an_optimum_is_refused_before_anything_is_computed(flags):
    with pytest.raises(FlagError, match="solver=gradient"):
        assembled(method="linear_probe(solver=lbfgs)", **flags)


def warned(norm, phases):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assembly._warn_of_norm(norm, phases)
    return [str(warning.message) for warning in found]


@pytest.mark.parametrize(
    ("norm", "phases", "expected"),
    [
        ("train", fine_tuning.linear_probe().phases(None), "the head alone is trained"),
        ("recalibrate", fine_tuning.linear_probe().phases(None), "the head alone is trained"),
        (
            "frozen",
            [Phase("a", ((".*", 1.0),)), Phase("b", ((".*", 1.0),), norm="train")],
            "the method has norm=train",
        ),
        ("auto", fine_tuning.linear_probe().phases(None), None),
        ("frozen", fine_tuning.linear_probe().phases(None), None),
        ("train", schedules.lp_ft().phases(None), None),
        ("frozen", fine_tuning.scratch().phases(None), None),
    ],
)
def test_a_norm_that_a_phase_overrules_is_told(norm, phases, expected):
    """The head's phase of lp_ft has no batch norm to train."""
    assert warned(norm, phases) == ([f"--norm={norm} is overruled: {expected}"] if expected else [])


def test_the_norm_of_the_command_line_is_the_one_that_is_looked_at():
    with pytest.warns(UserWarning, match="--norm=train is overruled"):
        trained, _ = assembled(method="linear_probe", norm="train")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained, _ = assembled(method="linear_probe")
        again, _ = assembled(method="linear_probe", norm=trained.options.train.norm)
    assert again.options.train.norm == trained.options.train.norm == "frozen"


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ("auto", "train"),
        ("frozen", "train"),
        ("recalibrate", "recalibrate"),
    ],
)
def test_random_weights_train_their_batch_norms_beside_a_run_that_does_not(
    norm, expected, monkeypatch
):
    trained, _ = assembled(method="full", norm=norm)
    result = TrainingResult(trained, options_of(method="full", norm=norm), {})
    seen = []

    def fit_parts(options, parts, source):
        seen.append(options)
        raise InterruptedError

    monkeypatch.setattr(training, "fit_parts", fit_parts)
    with pytest.raises(InterruptedError):
        run_baselines._scratch(result, types.SimpleNamespace())
    recipe = checks.resolve(seen[0], needs_output=False)
    strategy = strategies.start(seen[0].runtime)
    other, _ = assembly.assemble(seen[0], recipe, trained.splits, strategy)
    assert other.options.train.method == "scratch" and other.options.train.norm == expected


def test_a_method_that_does_not_fit_is_corrected_in_the_same_folder(tmp_path, capsys):
    """The run that it stopped before its first step has nothing to go on from."""
    argv = [
        "--data=digits(num_train=48, num_test=20)",
        "--backbone=small_cnn(filters=[4])",
        "--head=classify(pooling=flatten)",
        "--image_size_px=8",
        "--train_epochs=1",
        "--noexport",
        "--explain=none",
        f"--output={tmp_path}/run",
    ]
    assert train.main([*argv, "--method=ia3"]) == 2
    assert "error[2] --method" in capsys.readouterr().err and (tmp_path / "run/run.flags").exists()
    assert train.main([*argv, "--method=full"]) == 0
    assert folder.read_options(tmp_path / "run").train.method == "full"


def test_a_head_that_starts_solved_gets_a_phase_of_its_own():
    trained, method = assembled(method="bitfit", head_weights="solved")
    assert [(p.name, p.solver) for p in method.phases(trained.core)] == [
        ("probe", "lbfgs"),
        ("bitfit", "gradient"),
    ]
    trained, method = assembled(method="lp_ft", head_weights="solved")
    assert [p.name for p in method.phases(trained.core)] == ["probe", "full"], "it is solved once"
    with pytest.raises(FlagError, match="solver=gradient"):
        assembled(method="bitfit", head_weights="solved", head="ordinal")


def test_a_light_baseline_reads_the_features_that_the_head_takes():
    """Not those of the last stage, when the head names others."""
    backbone = {"backbone": "small_cnn(filters=[4, 6])"}
    head = {"head": "classify(features=[stage_1, stage_2])"}
    trained, _ = assembled(method="linear_probe", **backbone, **head)
    (features,) = trained.feature_model().output.values()
    head = trained.core.groups[-1].layers[-1]
    assert features.shape[-1] == head.kernel.shape[0]
    last, _ = assembled(method="linear_probe", **backbone)
    assert last.feature_model().output.popitem()[1].shape[-1] != features.shape[-1]
