"""A folder appears whole, or not at all."""

import os
import subprocess
import sys

import pytest

from tltf.errors import StorageError
from tltf.files import atomic_folders


def test_the_folder_appears_when_the_block_ends(tmp_path):
    with atomic_folders.new_folder(tmp_path / "deep" / "1") as part:
        (part / "file").write_text("x")
        assert part.name.startswith(".")
        assert not (tmp_path / "deep" / "1").exists()
    assert (tmp_path / "deep" / "1" / "file").read_text() == "x"
    assert os.listdir(tmp_path / "deep") == ["1"]


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), atomic_folders.new_folder(tmp_path / "1") as part:
        (part / "file").write_text("x")
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_a_taken_name_is_kept(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "mine").touch()
    with pytest.raises(StorageError, match="not empty"), atomic_folders.new_folder(tmp_path / "1"):
        pass
    assert os.listdir(tmp_path / "1") == ["mine"]
    assert os.listdir(tmp_path) == ["1"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    code = (
        "import os, sys; from tltf.files import atomic_folders as folders\n"
        "with folders.new_folder(sys.argv[1]) as part:\n"
        "    (part / 'half').touch(); print(part.name, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "1"], capture_output=True, text=True
    )
    assert os.listdir(tmp_path) == [killed.stdout.strip()]
    with atomic_folders.new_folder(tmp_path / "2") as part:
        atomic_folders.sweep(tmp_path)
        assert os.listdir(tmp_path) == [part.name]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match="cannot be written") as caught,
        atomic_folders.new_folder(tmp_path / "file" / "1"),
    ):
        pass
    assert caught.value.code == 5
