"""What assembling a run decides from its head."""

import pytest

from tltf import defaults, runtime, training
from tltf.errors import FlagError
from tltf.options import make

HEADS = [
    ({}, True),
    ({"head": "classify(hidden=[4])"}, False),
    ({"head": "classify(dropout=.1)"}, False),
    ({"head": "ordinal"}, False),
    ({"loss": "focal"}, False),
]


def assembled(**flags):
    options = make(data="digits", backbone="small_cnn", image_size_px=28, **flags)
    parts = training.load_parts(options)
    return training.assemble(options, parts, runtime.start(options.runtime))


@pytest.mark.parametrize(("flags", "is_solvable"), HEADS)
def test_auto_solves_for_the_heads_that_have_an_optimum(flags, is_solvable, monkeypatch):
    seen, resolve = [], defaults.resolve

    def resolved(options, situation):
        seen.append(situation)
        return resolve(options, situation)

    monkeypatch.setattr(defaults, "resolve", resolved)
    trained, _ = assembled(**flags)
    assert [situation.is_solvable for situation in seen] == [is_solvable]
    assert trained.options.train.method == "scratch", "its weights are random"


@pytest.mark.parametrize("flags", [flags for flags, is_solvable in HEADS if not is_solvable])
def test_a_head_without_an_optimum_is_refused_before_anything_is_computed(flags):
    with pytest.raises(FlagError, match="solver=gradient"):
        assembled(method="linear_probe(solver=lbfgs)", **flags)
