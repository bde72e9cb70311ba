"""Files are replaced whole or left as they were."""

import errno
import os
import stat

import pytest

from tltf.errors import StorageError
from tltf.files import atomic_files


def test_content_appears_only_at_the_end(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_files.replace_file(path) as file:
        file.write("héllo")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "héllo"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write():
        with atomic_files.replace_file(path) as file:
            file.write("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_files.replace_file(tmp_path / "file.bin", "wb") as file:
            file.write(b"\0")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.bin").stat().st_mode) == 0o640


def test_an_impossible_place_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(StorageError, match="cannot be written"),
        atomic_files.replace_file(tmp_path / "file" / "below") as file,
    ):
        file.write("x")


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        (errno.ENOSPC, "free space, or another --output"),
        (errno.EDQUOT, "free space"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EACCES, "that can be written"),
        (errno.EEXIST, "that is a folder or does not exist"),
    ],
)
def test_the_fix_is_of_the_fault(fault, fix):
    assert fix in atomic_files.fix_of(OSError(fault, os.strerror(fault)))


def test_a_file_where_a_folder_is_wanted(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with (
        pytest.raises(StorageError, match="File exists; fix: another --output that is a folder"),
        atomic_files.replace_file(tmp_path / "taken" / "file.txt"),
    ):
        raise AssertionError
    assert (tmp_path / "taken").read_text() == "mine"
