"""Rows come back as they were written: from one shard or several, whole or some of them."""

import errno
import os
import re
import socket
import subprocess
import sys

import numpy as np
import pytest

from tltf.caching import shard_store
from tltf.caching.shard_store import Field
from tltf.errors import StorageError

FIELDS = (Field("vector", np.dtype("float32"), (3,)), Field("steps", np.dtype("int16"), (2,), True))
RNG = np.random.default_rng(0)
LENGTHS = np.array([4, 0, 1, 7, 2], np.int32)
KEYS = np.array([9, 2**63 + 5, 0, 7, 4], np.uint64)
VECTORS = RNG.normal(size=(5, 3)).astype("float32")
STEPS = [RNG.integers(-99, 99, (n, 2)).astype("int16") for n in LENGTHS]


def write(folder, rows, shard_bytes=shard_store.SHARD_BYTES):
    with shard_store.Writer(folder, FIELDS, shard_bytes) as writer:
        for part in np.array_split(rows, 2):
            writer.add(
                KEYS[part],
                LENGTHS[part],
                {
                    "vector": VECTORS[part],
                    "steps": np.concatenate([STEPS[row] for row in part]),
                },
            )


@pytest.mark.parametrize("shard_bytes", [1, 10**6])
def test_rows_in_any_order(tmp_path, shard_bytes):
    write(tmp_path, np.arange(5), shard_bytes)
    shards = shard_store.open_shards(tmp_path, FIELDS)
    assert len(shards) == (2 if shard_bytes == 1 else 1)
    order = [3, 3, 0, 1, 4]
    rows = shard_store.Rows(shards, KEYS[order], FIELDS)
    assert rows.lengths.tolist() == LENGTHS[order].tolist()
    assert np.array_equal(rows.read_all(FIELDS[0]), VECTORS[order])
    assert np.array_equal(rows.read_all(FIELDS[1]), np.concatenate([STEPS[row] for row in order]))
    assert np.array_equal(rows.read(FIELDS[0], np.array([1, 4])), VECTORS[[3, 4]])
    padded = rows.read(FIELDS[1], np.array([2, 0, 3]))
    assert padded.shape == (3, 7, 2)
    for place, row in enumerate([0, 3, 1]):
        assert np.array_equal(padded[place, : LENGTHS[row]], STEPS[row])
        assert not padded[place, LENGTHS[row] :].any()


def test_what_is_missing(tmp_path):
    assert shard_store.find_missing([], KEYS).all()
    write(tmp_path, np.array([0, 3]))
    shards = shard_store.open_shards(tmp_path, FIELDS)
    assert shard_store.find_missing(shards, KEYS).tolist() == [False, True, True, False, True]
    with pytest.raises(StorageError, match="removed"):
        shard_store.Rows(shards, KEYS, FIELDS)


def test_a_full_disk_is_a_storage_error(tmp_path, monkeypatch):
    class Full:
        def write(self, content):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    writer = shard_store.Writer(tmp_path, FIELDS)
    writer.add(KEYS[:1], LENGTHS[:1], {"vector": VECTORS[:1], "steps": STEPS[0]})
    for file in writer._open._files.values():
        file.close()
    writer._open._files = dict.fromkeys(writer._open._files, Full())
    with pytest.raises(StorageError, match="No space left"):
        writer.add(KEYS[:1], LENGTHS[:1], {"vector": VECTORS[:1], "steps": STEPS[0]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["vector", "steps", "keys", "lengths", "shard.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damage_is_found_and_removed(tmp_path, name, harm):
    write(tmp_path, np.arange(5))
    (path,) = tmp_path.glob(f"*/{name}")
    content = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(content[:-1])
    else:
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    if harm == "gone":
        assert shard_store.open_shards(tmp_path, FIELDS) == []
        return
    with pytest.warns(UserWarning, match="damaged"):
        assert shard_store.open_shards(tmp_path, FIELDS) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", [errno.EMFILE, errno.EIO, errno.ESTALE])
def test_what_cannot_be_read_now_is_not_removed(tmp_path, monkeypatch, fault):
    write(tmp_path, np.arange(5))

    def refused(*args, **settings):
        raise OSError(fault, os.strerror(fault))

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", refused)
        with pytest.warns(UserWarning, match=f"cannot be read .{os.strerror(fault)}"):
            assert shard_store.open_shards(tmp_path, FIELDS) == []
    assert len(shard_store.open_shards(tmp_path, FIELDS)) == 1


def test_a_removed_shard_is_read_on_by_those_who_hold_it(tmp_path):
    write(tmp_path / "space", np.arange(5))
    shards = shard_store.open_shards(tmp_path / "space", FIELDS)
    shard_store.evict(tmp_path, 0)
    assert not list((tmp_path / "space").iterdir())
    rows = shard_store.Rows(shards, KEYS, FIELDS)
    assert np.array_equal(rows.read_all(FIELDS[0]), VECTORS)
    assert np.array_equal(rows.read(FIELDS[0], np.array([2])), VECTORS[[2]])


def test_what_a_killed_writer_left_is_swept_from_every_namespace(tmp_path):
    host = re.sub(r"\W", "-", socket.gethostname())[:40]
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    left, kept = (
        tmp_path / "space" / f".shard.{host}.{pid}.0.part" for pid in (ended, os.getpid())
    )
    left.mkdir(parents=True)
    kept.mkdir()
    shard_store.evict(tmp_path, 10**9)
    assert kept.exists() and not left.exists()


def test_shards_in_use_stay(tmp_path):
    write(tmp_path / "space", np.arange(5))
    shards = shard_store.open_shards(tmp_path / "space", FIELDS)
    shard_store.evict(tmp_path, 0, {shard.folder for shard in shards})
    assert len(list((tmp_path / "space").iterdir())) == 1


class Signalled(dict):
    """Arrays of which a signal interrupts the writing of the second."""

    def __getitem__(self, name):
        if name == "steps":
            raise KeyboardInterrupt
        return super().__getitem__(name)


@pytest.mark.parametrize("num_added", [0, 1, 2])
def test_a_signal_keeps_the_rows_that_were_written_whole(tmp_path, num_added):
    """A million texts take half an hour, and a shard some minutes of it."""
    with pytest.raises(KeyboardInterrupt), shard_store.Writer(tmp_path, FIELDS) as writer:
        for row in range(num_added):
            arrays = {"vector": VECTORS[row : row + 1], "steps": STEPS[row]}
            writer.add(KEYS[row : row + 1], LENGTHS[row : row + 1], arrays)
        writer.add(KEYS[4:], LENGTHS[4:], Signalled(vector=VECTORS[4:], steps=STEPS[4]))
    shards = shard_store.open_shards(tmp_path, FIELDS)
    assert len(shards) == bool(num_added)
    assert shard_store.find_missing(shards, KEYS).tolist() == [n >= num_added for n in range(5)]
    rows = shard_store.Rows(shards, KEYS[:num_added], FIELDS)
    assert np.array_equal(rows.read_all(FIELDS[0]), VECTORS[:num_added])
    steps = np.concatenate([np.zeros((0, 2), np.int16), *STEPS[:num_added]])
    assert np.array_equal(rows.read_all(FIELDS[1]), steps)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") and path.is_dir()]


def test_an_error_leaves_no_part_of_a_shard(tmp_path):
    with pytest.raises(ValueError), shard_store.Writer(tmp_path, FIELDS) as writer:
        writer.add(KEYS[:1], LENGTHS[:1], {"vector": VECTORS[:1], "steps": STEPS[0]})
        raise ValueError
    assert shard_store.open_shards(tmp_path, FIELDS) == []
