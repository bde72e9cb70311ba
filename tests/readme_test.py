"""The README tells the truth: its flags and files exist, and its Python runs."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from tltf.config import call_strings, command_options, flagfiles, options
from tltf.config.catalogs import BACKBONES, HEADS, METHODS, SOURCES

ROOT = pathlib.Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
KINDS = (
    options.Options,
    command_options.EvaluateOptions,
    command_options.PredictOptions,
    command_options.ExportOptions,
)
TINY = {
    "mnist_5k(num_train=1000)": "digits(num_train=60, num_validation=20, num_test=30)",
    "efficientnet_lite0": "small_cnn(filters=[4, 4])",
    "image_size_px=96": "image_size_px=12",
    "stage_7": "stage_2",
    'method="full"': 'method="full", train_epochs=2',
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands():
    lines = "\n".join(blocks("sh")).splitlines()
    return [line for line in lines if line.startswith("python -m tltf.")]


def test_every_flag_exists_and_every_flag_of_train_is_told():
    known = {name for kind in KINDS for name in options.flags_of(kind)}
    told = set(re.findall(r"--([a-z][a-z_0-9]+)", TEXT))
    assert told - known - {*flagfiles.CONSOLE_FLAGS, "flag"} == set()
    assert set(options.flags_of(options.Options)) - told == set()


def test_every_file_exists():
    named = set(re.findall(r"\b(?:configs|tools|tests|notebooks|tltf)/[\w./]+\b", TEXT))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line, monkeypatch):
    import shlex

    monkeypatch.chdir(ROOT)
    _, _, module, *argv = shlex.split(line)
    kind = dict(zip(("train", "evaluate", "predict", "export"), KINDS, strict=True))
    flagfiles.parse(kind[module.removeprefix("tltf.")], argv)


def test_call_strings_of_the_tables_are_real():
    sources = re.findall(r"^\| `(\w+)\(", TEXT, re.MULTILINE)
    assert (
        {"image_folder", "csv", "jsonl", "tfds"}
        <= set(sources)
        <= {*SOURCES, *BACKBONES, *HEADS, *METHODS}
    )
    for text in ("small_cnn(filters=[32, 64])", "minilm_l6", "convnext_tiny"):
        assert f"`{text}`" in TEXT and call_strings.pick(BACKBONES, text)
    for text in ("linear_probe", "partial(last_groups=2)", "full(backbone_rate=.1)", "scratch"):
        assert f"`{text}`" in TEXT and call_strings.pick(METHODS, text)


@pytest.mark.parametrize("code", blocks("python"), ids=["run", "parts"])
def test_python_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pixels = np.full((9, 9, 3), 90, np.uint8)
    (tmp_path / "photo.jpg").write_bytes(tf.io.encode_jpeg(pixels).numpy())
    for whole, tiny in TINY.items():
        code = code.replace(whole, tiny)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.search(r"0\.\d+|1\.0", printed)
    assert list(tmp_path.glob("**/saved_model.pb"))


def test_the_tables_are_filled_or_marked():
    for name in ("results", "recipes"):
        assert f"TABLE:{name}" in TEXT
