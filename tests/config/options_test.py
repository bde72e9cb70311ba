import dataclasses

import pytest

from tltf.config import command_options, flag_fields, options
from tltf.errors import FlagError

KINDS = [
    options.Options,
    command_options.EvaluateOptions,
    command_options.PredictOptions,
    command_options.ExportOptions,
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_flag_has_help_and_a_default_that_passes_its_own_check(kind):
    for name, flag in options.flags_of(kind).items():
        assert len(flag.help) > 5, name
        flag_fields.check(name, flag.default, flag)


def test_flags_land_in_their_group_and_come_back_flat():
    made = options.make(data="digits", learning_rate=1, precision="mixed_bfloat16", output="run")
    assert made.train.learning_rate == 1.0 and type(made.train.learning_rate) is float
    flat = options.flag_values(made)
    assert flat["data"] == "digits" and flat["precision"] == "mixed_bfloat16"
    assert options.make(**flat) == made


def test_replace_changes_only_what_is_named():
    before = options.make(seed=3)
    after = options.replace(before, batch_size=4)
    changed = {
        k for k, v in options.flag_values(after).items() if options.flag_values(before)[k] != v
    }
    assert changed == {"batch_size"} and after.runtime.seed == 3


def test_options_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.make().train.batch_size = 3


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"bach_size": 3}, "no flag 'bach_size'.*batch_size"),
        ({"batch_size": 2.5}, "takes a whole number"),
        ({"batch_size": True}, "takes a whole number"),
        ({"seed": -1}, ">= 0"),
        ({"learning_rate": float("inf")}, "finite"),
        ({"learning_rate": 0.0}, "> 0"),
        ({"momentum": 1.0}, "< 1"),
        ({"max_bad_fraction": 1.5}, "<= 1"),
        ({"data": None}, "takes text"),
        ({"data": ["a"] * 500}, r"takes text \(received .{76} \.\.\.\); fix: tltf.fit takes data"),
        ({"lr": 0.1}, "no flag 'lr'.*fix: learning_rate=0.1$"),
        ({"epochs": 3}, "fix: train_epochs=3$"),
        ({"folds": 5}, r"fix: split='kfold\(folds=5, fold=-1\)'$"),
        ({"schedule": "cosin"}, "no choice 'cosin'.*fix: --schedule=cosine"),
    ],
)
def test_make_refuses(values, match):
    with pytest.raises(FlagError, match=match):
        options.make(**values)


def test_shown_is_what_a_flagfile_takes():
    assert [flag_fields.flag_text(v) for v in (None, True, 0.5, "a b")] == [
        "auto",
        "true",
        "0.5",
        "a b",
    ]


def test_help_has_every_flag_of_a_run_under_one_heading():
    from tltf.config import help_groups

    grouped = [name for group in help_groups.GROUPS.values() for part in group for name in part]
    assert sorted(grouped) == sorted(options.flags_of(options.Options))
    short, whole = (dict(help_groups.group_flags(grouped, full)) for full in (False, True))
    assert list(short) == list(whole) == ["data", "model", "method", "optimizer", "run", "output"]
    assert sum(map(len, short.values())) < 25 and sum(map(len, whole.values())) == len(grouped)
    assert help_groups.group_flags(["run", "data"], False) == [("flags", ["run", "data"])]
