"""What the call strings of a run name is resolved once."""

import collections

import pytest

from tltf import check, lr_find, train
from tltf.config import call_strings, checks
from tltf.config.catalogs import HEADS
from tltf.config.options import make
from tltf.errors import FlagError

GOOD = {"data": "digits(num_train=40, num_test=20)", "backbone": "small_cnn(filters=[2])"}
RUN = [
    *(f"--{name}={text}" for name, text in GOOD.items()),
    "--image_size_px=8",
    "--train_epochs=1",
    "--noexport",
    "--split=holdout(validation=.25)",
    "--head=classify(pooling=flatten)",
    "--method=linear_probe(solver=gradient)",
    "--augment=flip|crop(scale=.9)",
]


def recipe(**flags):
    return checks.resolve(make(**{**GOOD, **flags}), needs_output=False)


@pytest.fixture
def picked(monkeypatch):
    """Counts how often each text of a flag is looked up."""
    counts, pick = collections.Counter(), call_strings.pick

    def counted(catalog, text, flag=""):
        if isinstance(text, str):
            counts[flag, text] += 1
        return pick(catalog, text, flag)

    monkeypatch.setattr(call_strings, "pick", counted)
    return counts


@pytest.mark.parametrize(
    ("main", "argv"),
    [
        (train.main, RUN),
        (train.main, [*RUN, "--cache_views=2"]),
        (train.main, [*RUN, "--split=kfold(folds=2, fold=-1)", "--augment="]),
        (lr_find.main, [*RUN, "--num_steps=20"]),
        (check.main, [f"--data={GOOD['data']}", "--head=ordinal", "--split=given"]),
    ],
    ids=["train", "views", "folds", "lr_find", "check"],
)
def test_a_run_looks_each_call_string_up_once(main, argv, tmp_path, picked):
    assert main([*argv, f"--output={tmp_path / 'run'}"]) == 0
    assert {flag for flag, _ in picked} >= {"data", "split", "head"}
    if "--cache_views=2" in argv:  # a view's name on the disk is its text, and is all that it has
        picked = {key: count for key, count in picked.items() if key[0] != "augment"}
    again = {key[0]: count for key, count in picked.items() if count > 1}
    folds = any("fold=-1" in text for text in argv)  # whose reports name the head that was fitted
    assert again == ({"head": 2} if folds else {})


def test_the_recipe_has_what_the_strings_name():
    found = recipe(
        split="kfold(folds=3, fold=1)",
        head="multi_label(hidden=4)",
        method="full",
        augment="flip | mixup(alpha=.3)",
        baseline="scratch | logistic",
    )
    assert found.source.kwargs == {"num_train": 40, "num_validation": 0, "num_test": 20}
    assert (found.split.name, found.split.kwargs["fold"]) == ("kfold", 1)
    assert (found.head.kwargs["hidden"], found.label_kind) == ((4,), "labels")
    assert [(call.name, call.text) for call in found.augments] == [
        ("flip", "flip "),
        ("mixup", " mixup(alpha=.3)"),
    ]
    assert found.backbone.row.modality == "image" and found.method.row.defaults == "fine_tune"
    assert found.baselines == ("scratch", "logistic")
    assert [call.name for call in found.formats] == ["saved_model"]


def test_what_is_left_open_is_none(tmp_path):
    found = recipe(export=False)
    assert found.method is found.baselines is None and found.formats == found.augments == ()
    assert recipe(backbone=str(tmp_path)).backbone is None
    assert recipe(backbone="hub:bert_base_en").backbone is None


class OfNumbers:
    """A head from outside of tltf."""

    target = "number"


def test_a_head_from_outside_is_asked_for_its_label_kind():
    assert recipe(head="tests.config.recipe_test:OfNumbers").label_kind == "number"


def test_a_changed_call_writes_what_was_written_and_what_is_new():
    call = call_strings.pick(HEADS, "regress( dropout=.1, hidden=4)", "head")
    assert call.change().text == "regress(dropout=0.1, hidden=[4])"
    changed = call.change(hidden=(5, 6), center=2.5)
    assert changed.text == "regress(dropout=0.1, hidden=[5, 6], center=2.5)"
    assert call_strings.pick(HEADS, changed.text, "head").kwargs == changed.kwargs
    assert call.kwargs["center"] is None, "the first stays as it was"


def test_a_method_that_starts_from_a_run_is_refused_without_one():
    given = {"method": "shot", "target_data": GOOD["data"]}
    for start in ("", "random", "solved"):
        with pytest.raises(FlagError, match="starts from a finished run"):
            recipe(**given, head_weights=start)
    assert recipe(**given, head_weights="runs/a").method.name == "shot"
