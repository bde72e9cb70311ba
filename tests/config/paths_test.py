"""A run's flags mean the same from every working directory."""

import pytest

from tltf.config import flagfiles, paths
from tltf.config.catalogs import CATALOGS
from tltf.config.command_options import EvaluateOptions
from tltf.config.options import Options, make


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_tilde_is_the_home_folder(folder):
    argv = ["--output=~/runs/x", "--backbone=~/preset", "--backbone_weights=~/w.h5"]
    options, _ = flagfiles.parse(Options, argv)
    home = f"{folder}/home"
    assert options.output.output == f"{home}/runs/x"
    assert (options.model.backbone, options.model.backbone_weights) == (
        f"{home}/preset",
        f"{home}/w.h5",
    )
    assert flagfiles.parse(EvaluateOptions, ["--run=~/a"])[0].run == f"{home}/a"
    assert flagfiles.parse(Options, ["--output=a~b"])[0].output.output == "a~b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("csv(path=a b.csv, text=t)", "csv(path='{cwd}/a b.csv', text=t)"),
        (
            "csv(train=a.csv, test=sub/b.csv, image=i)",
            "csv(train={cwd}/a.csv, test={cwd}/sub/b.csv, image=i)",
        ),
        ("jsonl(path='../x, y.jsonl', text=t)", "jsonl(path='{up}/x, y.jsonl', text=t)"),
        ("tfrecord(path=data/part-*, image=i)", "tfrecord(path={cwd}/data/part-*, image=i)"),
        ("image_folder(path=~/pets)", "image_folder(path={cwd}/home/pets)"),
        ("numpy(path=x.npz,  x=pixels)", "numpy(path={cwd}/x.npz, x=pixels)"),
        ("numpy(path=/x.npz,  x=pixels)", "numpy(path=/x.npz,  x=pixels)"),
        (
            "tfds(name=glue/sst2, train=train, data_dir=tfds)",
            "tfds(name=glue/sst2, train=train, data_dir={cwd}/tfds)",
        ),
        (
            "tfds(name=glue/sst2, data_dir=gs://bucket)",
            "tfds(name=glue/sst2, data_dir=gs://bucket)",
        ),
        ("vader( domain=movie )", "vader( domain=movie )"),
        (
            "sequence(steps=[csv(path=a.csv, text=t), vader], kept=m.json)",
            "sequence(steps=['csv(path={cwd}/a.csv, text=t)', vader], kept={cwd}/m.json)",
        ),
        (
            "class_steps(data=numpy(path=x.npz), classes=1)",
            "class_steps(data='numpy(path={cwd}/x.npz)', classes=1)",
        ),
        (
            "a: csv(path=a.csv, text=t); b: image_folder(path=/pets); alpha: 0.3",
            "a: csv(path={cwd}/a.csv, text=t); b: image_folder(path=/pets); alpha: 0.3",
        ),
        ("a: vader;  b: digits", "a: vader;  b: digits"),
        ("own.module:source(path=x)", "own.module:source(path=x)"),
        ("", ""),
    ],
)
def test_paths_of_data_become_absolute(folder, text, expected):
    assert paths.make_absolute("data", text) == expected.format(cwd=folder, up=folder.parent)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("distill(teacher=runs/big, weight=.5)", "distill(teacher={cwd}/runs/big, weight=.5)"),
        ("distill(teacher='~/a, b')", "distill(teacher='{cwd}/home/a, b')"),
        (
            "soup(runs=[runs/a, ../b, /c], greedy=false)",
            "soup(runs=[{cwd}/runs/a, {up}/b, /c], greedy=false)",
        ),
        ("soup(runs=a)", "soup(runs=[{cwd}/a])"),
        ("soup(runs=[1, 'x, y'])", "soup(runs=[{cwd}/1, '{cwd}/x, y'])"),
        ("soup(runs=[/a,  /b])", "soup(runs=[/a,  /b])"),
        ("distill", "distill"),
        ("full(backbone_rate=.1)", "full(backbone_rate=.1)"),
        ("own.module:method(teacher=x)", "own.module:method(teacher=x)"),
    ],
)
def test_runs_in_a_method_become_absolute(folder, text, expected):
    assert paths.make_absolute("method", text) == expected.format(cwd=folder, up=folder.parent)


def test_path_arguments_are_arguments_of_flags_that_are_made_absolute():
    for flag, catalog in CATALOGS.items():
        for row in catalog.values():
            assert {*row.paths, *row.calls} <= set(row.args)
            assert not row.paths or catalog in paths.CALLS.values(), flag


def test_folders_of_backbones_become_absolute_and_names_stay(folder):
    (folder / "preset").mkdir()
    (folder / "resnet50").mkdir()
    for text in ("resnet50", "small_cnn(filters=[8])", "hub:bert_tiny_en_uncased", ""):
        assert paths.make_absolute("backbone", text) == text
    assert paths.make_absolute("backbone", "preset") == f"{folder}/preset"
    assert paths.make_absolute("backbone_weights", "w.h5") == f"{folder}/w.h5"
    for text in ("default", "none"):
        assert paths.make_absolute("backbone_weights", text) == text


def test_run_flags_are_read_the_same_from_elsewhere(folder, monkeypatch):
    (folder / "preset").mkdir()
    options = make(
        data="csv(path=a.csv, text=t)",
        backbone="preset",
        backbone_weights="w.h5",
        method="soup(runs=[a, b])",
    )
    flagfiles.write("run.flags", options, "comment")
    expected = flagfiles.flatten(options)
    monkeypatch.chdir("/")
    again, _ = flagfiles.parse(Options, [f"--flagfile={folder}/run.flags"])
    assert again.data.data == f"csv(path={folder}/a.csv, text=t)"
    assert again.train.method == f"soup(runs=[{folder}/a, {folder}/b])"
    assert flagfiles.flatten(again) == expected
