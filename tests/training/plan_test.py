"""The plan in words: what is trained, what the head is, and what auto has chosen."""

import re
import types

import pytest

from tests import tiny
from tltf.config import call_strings, options
from tltf.config.catalogs import HEADS
from tltf.methods import fine_tuning, schedules, subsets
from tltf.training import plan


@pytest.fixture(name="core", scope="module")
def _core():
    return tiny.core()


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        (fine_tuning.linear_probe(), r"the head \(\S+ of \S+\)"),
        (schedules.lp_ft(), r"the head \(\S+ of \S+\), then everything \(\S+( of \S+)?\)"),
        (fine_tuning.full(), r"everything \(\S+( of \S+)?\)"),
        (subsets.bitfit(), r"the head and a part of \S+.* \(\S+ of \S+\)"),
    ],
)
def test_each_phase_says_what_it_trains(core, method, wanted):
    assert re.fullmatch(wanted, plan.trained_text(core, method, "train"))


def test_many_phases_are_not_all_named(core):
    text = plan.trained_text(core, schedules.curriculum(stages=9), "train")
    assert text.count("then") == 1, "all parts train the same"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("classify", "classify"),
        ("classify(dropout=0.0)", "classify"),
        ("classify(hidden=[4], dropout=.1)", "classify(hidden=[4], dropout=0.1)"),
        ("regress", "regress"),
    ],
)
def test_a_head_shows_what_differs_from_the_defaults(given, shown):
    call = call_strings.pick(HEADS, given, "head")
    if given == "regress":
        call = call.change(center=64.358, scale=28.4557)
    assert plan.head_text(call, given) == shown


def test_what_auto_chose_is_said():
    trained = types.SimpleNamespace(
        run_options=options.make(
            method="full",
            train_epochs=4,
            batch_size=32,
            learning_rate=5e-5,
            optimizer="adamw",
            schedule="linear",
        )
    )
    phases = fine_tuning.full().phases(None)
    text = plan._method_text(trained, options.make(method="full"), phases)
    assert text.startswith(
        "full: 4 epochs, batch 32, adamw at 5e-05, linear schedule; auto chose all"
    )
    given = options.make(method="full", train_epochs=4, batch_size=32, schedule="linear")
    assert plan._method_text(trained, given, phases).endswith(
        "auto chose the optimizer and the rate"
    )
