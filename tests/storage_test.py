"""Files are replaced whole or left as they were."""

import os
import stat

import pytest

from tltf import storage
from tltf.errors import StorageError


def test_content_appears_only_at_the_end(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with storage.replacing(path) as file:
        file.write("héllo")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "héllo"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write():
        with storage.replacing(path) as file:
            file.write("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with storage.replacing(tmp_path / "file.bin", "wb") as file:
            file.write(b"\0")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.bin").stat().st_mode) == 0o640


def test_an_impossible_place_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(StorageError, match="cannot be written"),
        storage.replacing(tmp_path / "file" / "below") as file,
    ):
        file.write("x")
