"""Methods with a frozen prefix: training on what is kept of it is training on it."""

import types

import numpy as np
import pytest

from tests import tiny
from tests.caching.feature_cache_test import (
    Counting,
    images,
    images_source,
    texts_source,
    train,
)
from tests.contracts.cases import METHODS as CONTRACTS
from tests.contracts.given import core_for
from tltf.backbones import builder
from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.graphs import freezing, frozen_prefix
from tltf.methods import distillation
from tltf.methods.context import FitContext

WHOLE_VIEWS = "weak='crop(scale=1.0)', strong='crop(scale=1.0)', views=1"
"""Views that are the whole images, so that those of a cache are those of any step."""
CASES = [
    ("images", "linear_probe"),
    ("images", "linear_probe(solver=lbfgs)"),
    ("images", "partial(last_groups=1)"),
    ("images", "gradual(stages=2)"),
    ("images", "lp_ft"),
    ("images", "lp_ft(solver=gradient)"),
    ("images", "wise_ft(steps=4)"),
    ("images", "curriculum(stages=3)"),
    ("images", "probe"),
    ("images", "crop"),
    ("images", "setfit(last_groups=1)"),
    ("texts", "setfit(last_groups=1, head=logistic)"),
    ("images", "prototypes(last_groups=1)"),
    ("texts", "fastfit(last_groups=1)"),
    ("texts", "zero_shot"),
    ("images", "prune(share=.3, updates=2)"),
    ("images", "norm_only"),
    ("images", "rules(patterns=['head/.*', 'stage_2/.*'])"),
    ("images", "lora(rank=2, targets='stage_2/.*')"),
    ("images", "adapters(size=2, targets='stage_2/.*kernel')"),
    ("images", "delta"),
    ("images", "lwf"),
    ("images", "ewc(last_groups=1)"),
    ("images", "ncm"),
    ("images", "distill(teacher=tiny)"),
    ("images", "dann(hidden=0)"),
    ("images", "dann(hidden=0, last_groups=1)"),
    ("images", "cdan(hidden=0)"),
    ("images", "coral(hidden=0)"),
    ("images", "dan(hidden=0)"),
    ("images", "afn(hidden=0)"),
    ("images", "mcc(hidden=0)"),
    ("images", "shot(last_groups=1)"),
    ("images", "self_training(rounds=2)"),
    ("images", "label_propagation(neighbors=5)"),
    ("images", "align(rounds=2)"),
    ("images", "pseudo_label(threshold=.4)"),
    ("images", f"fixmatch(threshold=.4, hidden=8, {WHOLE_VIEWS})"),
    ("images", f"flexmatch(threshold=.4, last_groups=1, {WHOLE_VIEWS})"),
    ("texts", "bitfit"),
    ("texts", "lora(rank=2)"),
    ("texts", "lora(rank=2, targets='layer_2/.*')"),
    ("texts", "adapters(size=2)"),
    ("texts", "adapters(size=2, targets='layer_2/.*')"),
    ("texts", "prefix(length=2)"),
    ("texts", "prompt(length=2)"),
    ("texts", "ia3"),
    ("texts", "delta"),
    ("texts", "gradual(stages=2)"),
]
QUICK = {
    ("images", "gradual(stages=2)"),
    ("images", "delta"),
    ("images", "dann(hidden=0, last_groups=1)"),
    ("texts", "lora(rank=2, targets='layer_2/.*')"),
    ("texts", "prompt(length=2)"),
}
WITH_FROZEN_NORM = {
    "lp_ft",
    "wise_ft(steps=4)",
    "curriculum(stages=3)",
    "crop",
    "prune(share=.3, updates=2)",
}
"""Cases whose solver ends a rounding error apart. Biases that go into a batch norm in training
have no gradient, and Adam makes whole steps of what rounding leaves of it."""
WITHOUT = {
    "full": "trains the first layer",
    "discriminative": "trains the first layer",
    "l2_sp": "trains the first layer",
    "bss": "trains the first layer",
    "adversarial": "trains the first layer",
    "adabn": "trains the first layer",
    "scratch": "trains the first layer",
    "soup": "takes no steps",
}
"""Rows that never have a frozen prefix -> why."""


@pytest.fixture(autouse=True)
def teacher(monkeypatch):
    """The earlier run."""

    def load(run):
        state = np.random.default_rng(3)
        core = tiny.core(tiny.image_backbone(dropout=0.0))
        for variable in core.model.trainable_weights:
            variable.assign(state.normal(0, 0.3, variable.shape))
        return types.SimpleNamespace(core=core, class_names=("a", "b", "c"))

    monkeypatch.setattr(distillation, "_load", lambda context, run: load(run))


def parameters():
    """CASES, those that are not QUICK marked large."""
    assert set(CASES) >= QUICK
    return [
        pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.large]) for case in CASES
    ]


@pytest.mark.parametrize(("kind", "text"), parameters())
def test_cached_training_is_training(kind, text, bert_folder, own_cache, monkeypatch):
    if kind == "images":
        make_backbone, source = images, images_source(60)
    else:
        make_backbone, source = (lambda: builder.build(bert_folder)), texts_source(60)
    counted, target = Counting(monkeypatch), images_source(30, seed=7)
    others = {"target": (text, target)} if call_strings.pick(METHODS, text).row.reads else {}
    num_rows = 60 + (30 if others else 0)
    build = call_strings.pick(METHODS, text).build
    flags = {"norm": "frozen"} if text in WITH_FROZEN_NORM else {}
    expected, _, run = train(make_backbone, source, build(), cache=False, **others, **flags)
    weights = run.core.named_weights()
    assert counted.rows == 0
    flags |= {"cache_precision": "float32"}
    found, _, run = train(make_backbone, source, build(), **others, **flags)
    assert counted.rows % num_rows == 0 and counted.rows > 0, "each example once for each boundary"
    for name in ("loss", "val_loss", "val_accuracy"):
        values = [[row[name] for row in rows if name in row] for rows in (found, expected)]
        np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-4)
    same = run.core.named_weights()
    assert weights.keys() == same.keys()
    for path, value in weights.items():
        np.testing.assert_allclose(same[path], value, rtol=3e-4, atol=1e-3, err_msg=path)


def test_every_method_has_a_case_or_a_reason():
    cached = {call_strings.pick(METHODS, text).name for _, text in CASES}
    assert cached | WITHOUT.keys() == METHODS.keys()
    assert not cached & WITHOUT.keys()


@pytest.mark.parametrize("name", WITHOUT)
def test_the_others_have_no_prefix(name):
    for text in CONTRACTS[name]:
        method = call_strings.pick(METHODS, text).build()
        core = method.prepare(core_for(text), FitContext())
        for phase in method.phases(core):
            freezing.apply(core.groups, phase.rules)
            assert frozen_prefix.cut(core.model, core.groups).prefix is None
