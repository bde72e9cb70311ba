"""Every flagfile parses and resolves, and the recipes carry the values they are known for."""

import pathlib
import re

import pytest

from tltf.config import call_strings, checks, flagfiles
from tltf.config.catalogs import ALARMS, BACKBONES, HEADS, SOURCES, SPLITS
from tltf.config.command_options import MonitorOptions
from tltf.config.options import Options, flag_values
from tltf.serving.monitoring import watch

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"
FILES = sorted(CONFIGS.glob("*.flags"))
BASES = sorted((CONFIGS / "base").glob("*.flags"))
PACKAGED = {"mnist_5k", "vader", "digits", "fashion_mnist", "emoji"}
MAY_DIFFER = {"data", "backbone", "backbone_weights", "image_size_px", "text_length"}
FULL_BERT = {
    "method": "full",
    "schedule": "constant",
    "warmup_fraction": 0.0,
    "baseline": "logistic|scratch",
}
SMALL_BASE = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 32,
    "train_epochs": 10,
    "schedule": "constant",
    "weight_decay": 0.0,
}
RECIPES = {
    "bert_cased_classify": FULL_BERT
    | {
        "backbone": "hub:bert_base_en",
        "head": "classify(pooling=pooled, dropout=.1)",
        "text_length": 128,
        "optimizer": "adamw",
        "learning_rate": 2e-5,
        "adam_epsilon": 1e-8,
        "clipnorm": 1.0,
        "global_clipnorm": 0.0,
        "weight_decay": 0.01,
        "batch_size": 16,
        "train_epochs": 5,
        "watch_test": True,
    },
    "bert_uncased_sentiment": FULL_BERT
    | {
        "backbone": "hub:bert_base_en_uncased",
        "optimizer": "adam",
        "learning_rate": 1e-5,
        "batch_size": 16,
        "train_epochs": 3,
    },
    "resnet18_cifar10": {
        "backbone": "hub:resnet_18_imagenet",
        "image_size_px": 32,
        "augment": "pad_crop(padding_px=4)|flip",
        "method": "full",
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "train_epochs": 10,
        "eval_batch_size": 256,
        "baseline": "logistic|scratch",
    },
    "cnn_source_to_target_source": SMALL_BASE
    | {
        "backbone": "small_cnn(filters=[32], kernel_px=3, channels=1)",
        "image_size_px": 28,
        "head": "classify(pooling=flatten)",
        "method": "scratch",
    },
    "cnn_source_to_target": SMALL_BASE
    | {
        "backbone": "runs/cnn_source",
        "image_size_px": 28,
        "head": "classify(pooling=flatten)",
        "method": "full",
        "split": "kfold(folds=5, fold=-1, validation=.1)",
        "baseline": "logistic|scratch",
    },
    "lstm_source_to_target_source": SMALL_BASE | {"method": "scratch"},
    "lstm_source_to_target": SMALL_BASE
    | {"backbone": "runs/lstm_source", "method": "full", "baseline": "logistic|scratch"},
    "vgg16_frozen_dense256": {
        "backbone": "vgg16",
        "image_size_px": 224,
        "method": "linear_probe",
        "head": "classify(pooling=flatten, hidden=256, activation=relu)",
        "optimizer": "adam",
        "batch_size": 32,
        "train_epochs": 10,
        "baseline": "logistic|scratch",
    },
    "bert_mean_pool_imdb": FULL_BERT
    | {
        "backbone": "hub:bert_base_en_uncased",
        "head": "classify(pooling=average)",
        "text_length": 100,
        "optimizer": "adam",
        "learning_rate": 2e-5,
        "batch_size": 32,
        "train_epochs": 3,
        "split": "holdout(validation=.1)",
    },
}


@pytest.fixture(autouse=True)
def earlier_runs(tmp_path, monkeypatch):
    """The run folders that some flagfiles name as their backbone."""
    for name in ("cnn_source", "lstm_source"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)


def options(name):
    return flagfiles.parse(Options, [f"--flagfile={CONFIGS / name}.flags", "--output=run"])[0]


def command_of(path):
    """The command that the comment of a flagfile gives."""
    text = path.read_text(encoding="utf-8")
    return re.search(rf"python -m tltf\.(\w+) --flagfile=configs/{path.name}", text)[1]


OF_RUNS = [path for path in FILES if command_of(path) == "train"]


def call(catalog, text):
    return call_strings.pick(catalog, text)


@pytest.mark.parametrize("path", OF_RUNS, ids=lambda path: path.stem)
def test_parses_and_resolves(path):
    checks.resolve(options(path.stem))


def test_the_opinion_watch_parses_and_its_alarms_are_real():
    assert [path.stem for path in FILES if path not in OF_RUNS] == ["opinion_watch"]
    argv = [f"--flagfile={CONFIGS / 'opinion_watch.flags'}", "--run=run", "--input=texts.txt"]
    chosen, _ = flagfiles.parse(MonitorOptions, argv)
    watch.check(chosen)
    names = [call.name for call in call_strings.pick_each(ALARMS, chosen.alarm, "alarm")]
    assert names == ["surge", "rate", "failures"]


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
def test_a_base_file_parses(path):
    flagfiles.parse(Options, [f"--flagfile={path}"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_comment_gives_a_command_that_names_it(path):
    text = path.read_text(encoding="utf-8")
    commands = re.findall(r"--flagfile=(configs/\S+)", text)
    assert f"configs/{path.name}" in commands
    assert all((CONFIGS.parent / command).exists() for command in commands)
    assert re.search(r"^# (hardware|needs): ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("recipe", "flag", "value"),
    [(recipe, *item) for recipe, values in RECIPES.items() for item in values.items()],
)
def test_recipe_carries(recipe, flag, value):
    assert flag_values(options(recipe))[flag] == value


@pytest.mark.parametrize("recipe", RECIPES)
def test_small_overlay_changes_data_weights_and_size_only_and_is_packaged(recipe):
    whole, small = flag_values(options(recipe)), flag_values(options(f"{recipe}_small"))
    assert {name for name in whole if whole[name] != small[name]} <= MAY_DIFFER
    assert call(SOURCES, small["data"]).name in PACKAGED
    assert small["backbone"] in BACKBONES or small["backbone"] == whole["backbone"]


def test_recipe_1_sentences_are_padded_to_two_labelled_halves():
    data = call(SOURCES, options("bert_cased_classify").data.data)
    assert data.kwargs["train"] == "train" and data.kwargs["test"] == "validation"


def test_recipe_3_keeps_its_test_images_apart_and_has_two_variants():
    whole = options("resnet18_cifar10")
    assert call(SOURCES, whole.data.data).kwargs["name"] == "cifar10"
    assert call(SOURCES, whole.data.data).kwargs["test"] == "test"
    assert call(SPLITS, whole.data.split).kwargs["validation"] == 0.1
    assert options("resnet18_cifar10_224").model.image_size_px == 224
    assert options("resnet18_cifar10_slow_backbone").train.method == "full(backbone_rate=.1)"


def test_recipe_4_base_is_the_articles_network():
    chosen = options("cnn_source_to_target_source").model
    network = call(BACKBONES, chosen.backbone).kwargs
    assert network == {"filters": (32,), "kernel_px": 3, "channels": 1}
    head = call(HEADS, chosen.head).kwargs
    assert head["pooling"] == "flatten" and head["hidden"] == ()
    assert options("cnn_source_to_target").model.head == chosen.head


def test_recipe_5_reads_class_folders_and_augments():
    chosen = options("vgg16_frozen_dense256")
    assert call(SOURCES, chosen.data.data).name == "image_folder"
    assert "flip" in chosen.data.augment
    assert call(HEADS, chosen.model.head).kwargs["hidden"] == (256,)


def test_recipe_6_reads_raw_reviews_with_a_tenth_for_validation():
    chosen = options("bert_mean_pool_imdb")
    assert call(SOURCES, chosen.data.data).kwargs["name"] == "imdb_reviews"
    assert call(SPLITS, chosen.data.split).kwargs["validation"] == 0.1
