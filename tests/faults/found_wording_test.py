"""A fix line must not harm: what people type out of habit, and slips that are close to a name."""

import pytest

from tests.faults.making import covers
from tltf import command_options, diverging, flagfiles, habits, specs
from tltf.catalogs import BACKBONES, HEADS, METHODS, SOURCES, SPLITS
from tltf.errors import FlagError, nearest
from tltf.options import Options, fields_of

KINDS = [Options, *(kind for name, kind in vars(command_options).items() if name.endswith("Options")
                    and name not in ("ScanOptions", "RuntimeOptions"))]  # fmt: skip
OTHER_WORDS = ["verbose", "lr", "yes", "force", "gpus", "workers", "amp", "threads", "target", "input",
               "pool", "unfreeze", "steps", "metric", "callbacks", "project", "notes", "tags", 
               "crop", "mean", "std", "layers", "hidden", "rank", "alpha", "token", "push", "private"]  # fmt: skip
SLIPS = {"learning_rat": "learning_rate", "learing_rate": "learning_rate", "batchsize": "batch_size",
         "batch-size": "batch_size", "trainepochs": "train_epochs", "train-epochs": "train_epochs",
         "weight_deacy": "weight_decay", "ouput": "output", "backone": "backbone", "methd": "method",
         "image_size_pix": "image_size_px", "Seed": "seed", "optimiser": "optimizer"}  # fmt: skip


def said(name, text=None, kind=Options):
    with pytest.raises(FlagError) as told:
        flagfiles.parse(kind, [f"--{name}" + ("" if text is None else f"={text}")])
    return told.value


def suggested(fix):
    return (
        fix.removeprefix("--").partition("=")[0].partition(" ")[0] if fix.startswith("--") else ""
    )


@pytest.mark.parametrize("name", OTHER_WORDS)
def test_another_word_is_answered_with_no_flag_that_is_like_it_by_chance(name):
    """Before: --verbose got --overwrite, --lr got --clipnorm."""
    error = said(name, "1")
    wanted = {habits.FLAGS.get(name, ""), *habits.SENTENCES.get(name, "").split("=")[:1], "help"}
    assert suggested(error.fix) in {text.removeprefix("--") for text in wanted} | {""}, error.fix
    assert "overwrite" not in str(error) and "nearest" not in str(error)


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_answered_with_its_flag(name):
    assert said(name, "x").fix == f"--{SLIPS[name]}=x"


def test_nothing_that_destroys_is_suggested_however_alike():
    for name in ("overwrit", "over_write", "overwrites", "Overwrite"):
        assert "overwrite" not in said(name).fix.replace(name, "")


@pytest.mark.parametrize("name", habits.FLAGS)
def test_each_habit_names_a_flag_that_there_is(name):
    known = [set(fields_of(kind)) for kind in KINDS]
    assert any(habits.FLAGS[name] in names for names in known), habits.FLAGS[name]
    assert not any(name in names for names in known if habits.FLAGS[name] in names)


@pytest.mark.parametrize("name", habits.SENTENCES)
def test_each_sentence_names_flags_that_there_are(name):
    fix = habits.SENTENCES[name]
    if fix.startswith("--") and "=" in fix.split()[0] and "FILE" not in fix:
        flagfiles.parse(Options, [fix.split()[0]])
    assert said(name).fix == fix


def test_what_is_suggested_for_a_value_keeps_it():
    assert said("lr", "3e-4").fix == "--learning_rate=3e-4"
    assert said("epochs", "5").fix == "--train_epochs=5"
    flagfiles.parse(Options, ["--learning_rate=3e-4", "--train_epochs=5"])
    assert said("lr", "1", command_options.PredictOptions).fix == "--help lists the flags"


CATALOGS = {
    "method": METHODS,
    "backbone": BACKBONES,
    "head": HEADS,
    "data": SOURCES,
    "split": SPLITS,
}


@pytest.mark.parametrize("flag", CATALOGS)
def test_each_name_from_habit_is_answered_with_one_that_there_is(flag):
    for name, ours in habits.NAMES[flag].items():
        assert ours in CATALOGS[flag] or ours.startswith("hub:"), ours
        with pytest.raises(FlagError) as told:
            specs.pick(CATALOGS[flag], name, flag)
        assert told.value.fix == f"--{flag}={ours}"


def test_the_presets_that_are_suggested_are_those_of_keras_hub():
    import keras_hub

    presets = set(keras_hub.models.Backbone.presets) | {
        name for kind in (keras_hub.models.BertBackbone, keras_hub.models.DistilBertBackbone,
                          keras_hub.models.RobertaBackbone) for name in kind.presets
    }  # fmt: skip
    hubs = [ours for ours in habits.NAMES["backbone"].values() if ours.startswith("hub:")]
    assert hubs and {ours.removeprefix("hub:") for ours in hubs} <= presets


@pytest.mark.parametrize(
    ("name", "flag"), [("zebra", "method"), ("gpt4", "backbone"), ("x", "head")]
)
def test_a_name_that_is_like_none_is_answered_with_the_list(name, flag):
    with pytest.raises(FlagError) as told:
        specs.pick(CATALOGS[flag], name, flag)
    assert told.value.fix == f"--list={flag}s"


def test_similarity_is_high():
    assert nearest("lable", ["label", "table_of_all"]) == ["label"]
    assert nearest("txet", ["text", "id"]) == ["text"]
    assert nearest("verbose", ["overwrite", "resume"]) == []


@covers(221)
@pytest.mark.parametrize(
    "text", ["full (English), long", "a, b", "Text, cleaned (v2)", "what's new, today"]
)
def test_a_name_with_a_comma_is_to_be_quoted(text):
    with pytest.raises(FlagError) as told:
        specs.pick(SOURCES, f"csv(path=a.csv, text={text}, label=y)", "data")
    assert "quote a value that holds a comma" in told.value.fix and "text='...'" in told.value.fix
    quoted = f'csv(path=a.csv, text="{text}", label=y)'
    assert specs.pick(SOURCES, quoted, "data").kwargs["text"] == text


@covers(279)
@pytest.mark.parametrize(
    ("rate", "shown"),
    [(1e9, "0.001"), (1.0, "0.001"), (0.1, "0.001"), (3e-3, "0.0003"), (5e-5, "5e-06")],
)
def test_the_rate_that_is_hinted_at_is_a_usual_one(rate, shown):
    broken = diverging.Broken("the loss is not finite", 1, 2)
    error = diverging.error(broken, "full", None, rate, False)
    assert error.fix == f"--learning_rate={shown} or --global_clipnorm=1"
