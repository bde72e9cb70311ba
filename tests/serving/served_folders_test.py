"""Which versions are served, and under which labels."""

import pytest

from tltf.config import options
from tltf.config.command_options import ServeOptions
from tltf.errors import FlagError
from tltf.serving import served_folders


@pytest.fixture
def folder(tmp_path):
    for name in ("1", "2", "10", "notes", ".11.part"):
        (tmp_path / "export" / name).mkdir(parents=True)
    return tmp_path / "export"


@pytest.mark.parametrize(
    ("which", "numbers"),
    [("latest", [10]), ("all", [1, 2, 10]), ("2, 1,2", [1, 2])],
)
def test_versions(folder, which, numbers):
    assert served_folders.choose(folder, which) == numbers


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("newest", "takes latest, all, or numbers"),
        ("3", r"no version 3 in .*\(versions: 1, 2, 10\); fix: --versions=10"),
        ("", "takes latest, all, or numbers"),
    ],
)
def test_wrong_versions(folder, which, said):
    with pytest.raises(FlagError, match=said):
        served_folders.choose(folder, which)


def test_a_run_without_an_export(tmp_path):
    with pytest.raises(FlagError, match=r"no exported version; fix: python -m tltf.export"):
        served_folders.choose(tmp_path / "export", "latest")


def test_a_run_or_an_export_is_served(tmp_path):
    made = options.make(ServeOptions, run="runs/mine")
    assert str(served_folders.folder_of(made)) == "runs/mine/export"
    made = options.make(ServeOptions, export="elsewhere")
    assert str(served_folders.folder_of(made)) == "elsewhere"
    for values in ({}, {"run": "a", "export": "b"}):
        with pytest.raises(FlagError, match="--export"):
            served_folders.folder_of(options.make(ServeOptions, **values))


def test_labels():
    from tltf.serving.server import exported_model

    there = dict.fromkeys((3, 4))
    assert exported_model.read_labels("", there) == {}
    assert exported_model.read_labels("stable=3, canary = 4,", there) == {"stable": 3, "canary": 4}
    for text, said in (
        ("stable", "label=version"),
        ("a=b", "label=version"),
        ("a=5", "not served"),
    ):
        with pytest.raises(FlagError, match=said):
            exported_model.read_labels(text, there)
