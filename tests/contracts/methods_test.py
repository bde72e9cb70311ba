"""What every method promises: frozen is frozen, the rest moves, and a run can go on."""

import functools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.contracts.cases import ON_TEXTS
from tests.contracts.given import core_for, parameters, reads_others, with_target
from tests.training.fit_test import FLAGS, Log, feed, text_feed, text_inputs
from tltf.backbones import kept_layers
from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.config.options import make
from tltf.errors import FlagError
from tltf.evaluation.report import learning
from tltf.graphs import freezing
from tltf.graphs.core import attach_head, replace_backbone
from tltf.heads.light import choice
from tltf.heads.solving import convex
from tltf.methods import consistency, distillation, ncm, soup, zero_shot
from tltf.methods.context import FitContext
from tltf.models.forward import ForwardPass
from tltf.runs import checkpoints
from tltf.training import fit as training_fit
from tltf.training.optimizers import learning_rates
from tltf.training.optimizers import optimizer as optimizers_optimizer

TRAINING = [case for case in parameters("methods") if not case.values[0].startswith("soup")]
"""Cases of methods that take steps or solve."""
SEVERAL_PHASES = [
    "lp_ft",
    "lp_ft(solver=gradient)",
    "lp_ft(solver=light)",
    "gradual(stages=2)",
    "curriculum(stages=2)",
    "curriculum(stages=2, solver=gradient)",
    "wise_ft(steps=4)",
    "wise_ft(steps=4, solver=light, choice=mean)",
    "lwf",
    "crop",
    "setfit",
    "setfit(last_groups=1, head=class_means)",
    "prototypes",
    "prototypes(ways=2, sharpness=0.0)",
    "fastfit",
    "fastfit(head=class_means)",
    "prune(share=.3, updates=3)",
    "prune(share=.5, solver=gradient, targets='stage_2/.*')",
    "dann(hidden=16)",
    "dann(hidden=16, last_groups=1)",
    "cdan(hidden=16)",
    "cdan(hidden=0, entropy=false, last_groups=1)",
    "coral(hidden=16)",
    "dan(hidden=16)",
    "afn(hidden=16)",
    "mcc(hidden=16)",
]

HEAD_IS_KEPT = ["shot(last_groups=1)"]
"""Cases of methods that train the layers below the head alone."""


def first_of_each(cases):
    """The cases, those of a method after its first marked large."""
    seen, kept = set(), []
    for case in cases:
        name = case.values[0].partition("(")[0]
        marks = [*case.marks, pytest.mark.large] if name in seen else case.marks
        kept.append(pytest.param(*case.values, id=case.id, marks=marks))
        seen.add(name)
    return kept


@pytest.fixture(autouse=True)
def earlier_runs(monkeypatch):
    """What methods find that take an earlier run."""

    def load(run):
        random = np.random.default_rng(9)
        core = tiny.core(num_classes=3)
        for variable in core.model.trainable_weights:
            variable.assign(random.normal(0, 0.5, variable.shape))
        return types.SimpleNamespace(core=core, class_names=("a", "b", "c"))

    def weights(run, variables):
        random = np.random.default_rng(len(run))
        return {name: random.normal(size=v.shape) ** 2 for name, v in variables.items()}

    monkeypatch.setattr(distillation, "_load", lambda context, run: load(run))
    monkeypatch.setattr(soup, "_weights", weights)


def fit(text, run=None, data=None, **flags):
    """`(core, weights before, Fit)` of a training on tiny images or texts."""
    keras.utils.set_random_seed(0)
    method = call_strings.pick(METHODS, text).build()
    finish, trained = method.finish, {}

    def note(core, ended):
        trained.update(values(core))
        return finish(core, ended)

    method.finish = note
    options = make(**{**FLAGS, "method": text, **flags})
    strategy = tf.distribute.get_strategy()
    fitted = training_fit.Fit(
        core_for(text), method, data or data_for(text), options, strategy, Log(), run
    )
    context = FitContext(text_inputs=text_inputs, class_names=("a", "b", "c"))
    fitted.prepare(context if text in ON_TEXTS else FitContext())
    before = values(fitted.core)
    kept = fitted()
    fitted.trained = trained  # before `finish`, which may merge and mix weights
    return kept, before, fitted


@functools.cache
def usual_fit(text):
    """`fit` with the usual options, once for the tests that only read what it leaves."""
    return fit(text)


def inputs(text):
    """A batch for the core of a case."""
    return next(iter(data_for(text).training(0, 1)))[0]


def values(core):
    return {name: v.numpy() for name, v in core.named_weights().items()}


@pytest.mark.parametrize("text", TRAINING)
def test_frozen_is_bit_identical_and_the_rest_moves(text):
    _, before, fitted = usual_fit(text)
    trained = {path for plan in fitted.plans for path in plan.rates}
    for path, value in fitted.trained.items():
        if path not in before:
            assert path.startswith("label"), f"{path} is new, and not of a new head"
            continue
        is_same = np.array_equal(value, before[path])
        if path in trained:
            assert not is_same, f"{path} is trained and did not move"
        elif not moves(path, trained) and not path.startswith(consistency.STATUS):
            assert is_same, f"{path} is frozen and moved"
    is_trained = any(path.startswith("label") for path in fitted.moved)
    assert is_trained or text in HEAD_IS_KEPT, "the head is trained"


def moves(path, trained):
    """Whether it is a statistic that follows the batches: of a batch norm that is trained itself."""
    norm, _, name = path.rpartition("/")
    return name.startswith("moving_") and any(x.rpartition("/")[0] == norm for x in trained)


@pytest.mark.parametrize("text", TRAINING)
def test_the_optimizer_has_no_slots_for_frozen_variables(text):
    method = call_strings.pick(METHODS, text).build()
    core = method.prepare(core_for(text), FitContext())
    phase = method.phases(core)[0]
    plan = freezing.apply(core.groups, phase.rules, phase.norm or "train")
    model = tiny.training_model(core.model, core.groups)
    train = make(**{**FLAGS, "method": text}).train
    optimizer = optimizers_optimizer.build(
        train, plan.factors, learning_rates.learning_rate(train, phase, 10)
    )
    optimizer.build(model.trainable_variables)
    sizes = sum(int(np.prod(v.shape)) for v in optimizer.variables if len(v.shape))
    assert sizes == 2 * plan.num_trainable, "two moments for each trained number"


@pytest.mark.parametrize("text", first_of_each(TRAINING))
def test_the_loss_falls(text):
    core, _, fitted = fit(text, train_epochs=10, learning_rate=0.02)
    if fitted.phases()[-1].solver == "method":
        dataset, labels = data_for(text).training_in_order()
        losses = core.head.losses(ForwardPass(core.model, "label")(dataset), labels)
        assert losses.mean() < np.log(3), "no class is stated to be as likely as any other"
        solved = [row for row in fitted.history if row["phase"] == fitted.phases()[-1].name]
        assert solved and not learning.epochs_of(solved), "what was solved for has no epochs"
        return
    last = [row["loss"] for row in fitted.history if row["phase"] == fitted.history[-1]["phase"]]
    half = len(last) // 2  # dropout makes single epochs noisy
    assert np.mean(last[-half:]) < np.mean(last[:half])


def data_for(text):
    """The Feed of a case."""
    made = text_feed() if text in ON_TEXTS else feed()
    return with_target(made) if reads_others(text) else made


class Cuts:
    """Ends a training where it has not been ended before; notes these places in `made`.

    They are a solver, which makes no checkpoints and starts again, and the first checkpoint of each
    phase.

    Args:
        patch: pytest.MonkeyPatch.
        every: whether at every checkpoint.
    """

    def __init__(self, patch, every=False):
        self.made, save = [], checkpoints.save

        def save_and_end(run, step, checkpoint):
            save(run, step, checkpoint)
            phase, epoch = checkpoint.state["phase"], checkpoint.state["epoch"]
            self.end((phase, epoch) if every else phase)

        def end_or(solve):
            def end_or_solve(*given, **also):
                self.end("solver")
                return solve(*given, **also)

            return end_or_solve

        patch.setattr(checkpoints, "save", save_and_end)
        patch.setattr(convex, "path", end_or(convex.path))
        patch.setattr(choice, "choose", end_or(choice.choose))
        patch.setattr(zero_shot.ZeroShot, "vectors", end_or(zero_shot.ZeroShot.vectors))
        patch.setattr(ncm.ClassSums, "of", end_or(ncm.ClassSums.of))

    def end(self, place):
        """Ends it, once."""
        if place not in self.made:
            self.made.append(place)
            raise KeyboardInterrupt


def fit_in_parts(text, run, monkeypatch, every=False, **options):
    """`(core, Cuts.made, Fit)` of a training that was cut, and resumed until it ended."""
    with monkeypatch.context() as patch:
        cuts = Cuts(patch, every)
        for number in range(1, 30):
            try:
                core, _, fitted = fit(text, run, **options)
                return core, cuts.made, fitted
            except KeyboardInterrupt:
                assert len(cuts.made) == number
    raise AssertionError("it never ended")


def require_same(found, expected):
    for path, value in values(expected).items():
        np.testing.assert_array_equal(values(found)[path], value, err_msg=path)


def require_mixed(fitted):
    """wise_ft has not taken the start or the end alone, of which a resumed run might have lost one."""
    assert getattr(fitted.method, "chosen", 0.5) not in (0, 1)


@pytest.mark.parametrize("text", first_of_each(TRAINING))
def test_a_run_that_was_cut_in_every_phase_ends_with_the_same_weights(text, tmp_path, monkeypatch):
    whole, _, fitted = usual_fit(text)
    resumed, cuts, _ = fit_in_parts(text, tmp_path / "cut", monkeypatch)
    solvers = [phase.solver for phase in fitted.phases()]
    assert cuts == [i if solver == "gradient" else "solver" for i, solver in enumerate(solvers)]
    require_same(resumed, whole)
    require_mixed(fitted)


@pytest.mark.large
@pytest.mark.parametrize("flags", [{"keep": "best"}, {"norm": "recalibrate"}], ids=" ".join)
@pytest.mark.parametrize("text", [*SEVERAL_PHASES, "curriculum(stages=3)"])
def test_a_run_that_was_cut_at_every_checkpoint_does(text, flags, tmp_path, monkeypatch):
    """With a validation split, which several phases share."""
    make_feed = text_feed if text in ON_TEXTS else feed
    flags = {**flags, "train_epochs": 6, "data": make_feed(has_validation=True)}
    whole, _, fitted = fit(text, tmp_path / "whole", **flags)
    resumed, cuts, again = fit_in_parts(text, tmp_path / "cut", monkeypatch, True, **flags)
    steps = fitted.phases()[-1].solver == "gradient"
    last = cuts[-1][0] == len(fitted.phases()) - 1 if steps else cuts[-1] == "solver"
    assert len(cuts) >= 6 and last
    require_same(resumed, whole)
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in one.history]
        for one in (fitted, again)
    ]
    assert timeless[0] == timeless[1]
    require_mixed(fitted)


@pytest.mark.parametrize("text", parameters("methods"))
def test_its_core_computes_what_was_trained_when_it_is_built_again(text):
    core, _, _ = usual_fit(text)
    fresh = core_for(text)
    if core.head_spec != fresh.head_spec:
        fresh = attach_head(fresh.backbone, core.only.call, core.num_classes)
    if kept_layers.RECORD in core.backbone.blueprint:
        records = core.blueprint["backbone"][kept_layers.RECORD]
        fresh = replace_backbone(fresh, kept_layers.rebuild_parts(fresh.backbone, records))
    assert [type(x) for x in core.model.layers] == [type(x) for x in fresh.model.layers]
    assert list(values(core)) == list(values(fresh))
    assert list(core.model.output) == list(fresh.model.output)
    fresh.model.set_weights(core.model.get_weights())
    given = inputs(text)
    expected = np.asarray(fresh.model(given, training=False)["label"])
    np.testing.assert_array_equal(core.model(given, training=False)["label"], expected)
    assert not core.model.losses, "no penalty is left"


@pytest.mark.parametrize("text", parameters("methods"))
def test_releasing_leaves_the_backbone_as_it_was(text):
    core, method = core_for(text), call_strings.pick(METHODS, text).build()
    kinds, before = [type(x) for x in core.model.layers], values(core)
    given = inputs(text)
    expected = np.asarray(core.model(given, training=False)["label"])
    method.release(method.prepare(core, FitContext()))
    assert [type(x) for x in core.model.layers] == kinds
    assert list(values(core)) == list(before)
    np.testing.assert_array_equal(core.model(given, training=False)["label"], expected)
    assert not core.model.losses


@pytest.mark.parametrize("text", parameters("methods"))
def test_its_phases_are_plain_data(text):
    import dataclasses
    import json

    method = call_strings.pick(METHODS, text).build()
    phases = method.phases(method.prepare(core_for(text), FitContext()))
    assert (len(phases) > 1) == (text in SEVERAL_PHASES)
    call = call_strings.pick(METHODS, text)
    assert call.row.takes_steps(call.kwargs) == any(one.solver == "gradient" for one in phases)
    for phase in phases:
        assert json.loads(json.dumps(dataclasses.asdict(phase)))
        assert 0 < phase.epochs_share <= 1 and phase.rate_factor > 0


def test_a_solver_that_is_not_there_is_refused_with_the_choices():
    with pytest.raises(FlagError, match="gradient, lbfgs"):
        call_strings.pick(METHODS, "linear_probe(solver=newton)").build()
    (phase,) = call_strings.pick(METHODS, "linear_probe(solver=lbfgs)").build().phases(tiny.core())
    assert phase.solver == "lbfgs"
