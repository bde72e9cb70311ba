"""Rows come back in their order, from memory or from a file that nobody sees and that vanishes."""

import errno
import os
import pathlib

import numpy as np
import pytest

from tltf.caching import row_buffer
from tltf.caching.row_buffer import RowBuffer
from tltf.errors import StorageError

ROWS = np.random.default_rng(0).normal(size=(100, 3, 2)).astype("float32")


def fill(buffer):
    for start in range(0, 100, 7):
        buffer.add(ROWS[start : start + 7])
    return buffer.array()


@pytest.mark.parametrize("limit_bytes", [0, 500, ROWS.nbytes - 1, ROWS.nbytes, 10**6])
def test_rows_in_their_order(tmp_path, limit_bytes):
    array = fill(RowBuffer(limit_bytes, tmp_path / "new"))
    np.testing.assert_array_equal(array, ROWS)
    assert array.dtype == np.float32
    assert isinstance(array, np.memmap) == (limit_bytes < ROWS.nbytes)


def test_rows_that_are_not_contiguous(tmp_path):
    buffer = RowBuffer(0, tmp_path)
    buffer.add(ROWS.transpose(0, 2, 1))
    np.testing.assert_array_equal(buffer.array(), ROWS.transpose(0, 2, 1))


def test_no_file_is_left(tmp_path):
    array = fill(RowBuffer(0, tmp_path))
    assert not list(tmp_path.iterdir()), "a killed process would leave it"
    np.testing.assert_array_equal(array[50], ROWS[50])
    del array
    folder = pathlib.Path("/proc/self/fd")
    opened = [os.readlink(path) for path in folder.iterdir() if os.path.lexists(path)]
    assert not [path for path in opened if str(tmp_path) in path]


def test_no_rows(tmp_path):
    assert RowBuffer(0, tmp_path).array().shape == (0,)


def test_a_full_disk_names_the_flag_that_helps(tmp_path, monkeypatch):
    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(row_buffer.tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(StorageError, match=r"No space left.*--cache_memory_mb"):
        fill(RowBuffer(0, tmp_path))
