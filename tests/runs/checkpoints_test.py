import errno
import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from tltf.errors import ModelError, StorageError
from tltf.runs import checkpoints
from tltf.runs.checkpoints import Checkpoint


def save(run, step):
    arrays = {"core/kernel": np.full((2, 3), step, "float32"), "step": np.int64(step)}
    checkpoints.save(run, step, Checkpoint(arrays, {"epoch": step, "best": {"accuracy": 0.5}}))


def step_of(run):
    return int(checkpoints.newest(run).arrays["step"])


def test_what_is_saved_comes_back(tmp_path):
    save(tmp_path, 7)
    found = checkpoints.newest(tmp_path)
    assert found.state == {"epoch": 7, "best": {"accuracy": 0.5}}
    assert found.arrays["core/kernel"].dtype == np.float32
    np.testing.assert_array_equal(found.arrays["core/kernel"], np.full((2, 3), 7))


def test_none_where_nothing_was_saved(tmp_path):
    assert checkpoints.newest(tmp_path) is None


def names_in(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_two_are_kept_and_the_order_is_by_step_not_by_time(tmp_path):
    for step in (9, 20, 1000):
        save(tmp_path, step)
    assert names_in(tmp_path) == ["000000020", "000001000"]
    for times in ((5e9, 1e9), (0, 0), (1e9, 5e9)):  # the clock a lifetime ahead, equal, in order
        for name, time in zip(names_in(tmp_path), times, strict=True):
            for path in (
                tmp_path / "checkpoints" / name,
                *(tmp_path / "checkpoints" / name).iterdir(),
            ):
                os.utime(path, (time, time))
        assert step_of(tmp_path) == 1000
    save(tmp_path, 1_234_567_890)
    assert step_of(tmp_path) == 1_234_567_890, "a name of ten digits is not before one of nine"
    assert names_in(tmp_path) == ["000001000", "1234567890"]


def test_checkpoints_of_one_step_stand_beside_each_other(tmp_path):
    """Skipped steps do not count: the newest of a step is the last one, and a damaged one goes."""
    for epoch in range(12):
        checkpoints.save(tmp_path, 3, Checkpoint({"epoch": np.int64(epoch)}, {"epoch": epoch}))
        assert checkpoints.newest(tmp_path).state == {"epoch": epoch}
    assert names_in(tmp_path) == ["000000003.10", "000000003.11"]
    break_file(tmp_path / "checkpoints" / "000000003.11" / "arrays.npz", "cut")
    with pytest.warns(UserWarning, match=r"000000003\.11 is damaged"):
        assert checkpoints.newest(tmp_path).state == {"epoch": 10}
    checkpoints.save(tmp_path, 3, Checkpoint({"epoch": np.int64(20)}, {"epoch": 20}))
    assert checkpoints.newest(tmp_path).state == {"epoch": 20}
    assert len(names_in(tmp_path)) == 2, "the one before is kept in place of the damaged one"
    save(tmp_path, 4)
    assert checkpoints.newest(tmp_path).state["epoch"] == 4


FILES = ["arrays.npz", "state.json", "manifest.json"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["cut", "empty", "zero", "flip", "gone"])
def test_a_damaged_one_is_passed_over_with_one_warning(tmp_path, file, damage):
    save(tmp_path, 1)
    save(tmp_path, 2)
    break_file(tmp_path / "checkpoints" / "000000002" / file, damage)
    with pytest.warns(UserWarning, match="000000002 is damaged") as warned:
        assert step_of(tmp_path) == 1
    assert len(warned) == 1


@pytest.mark.parametrize("file", FILES)
def test_one_bit_anywhere_is_found(tmp_path, file):
    """Also where the JSON stays JSON: "epoch": 2 becomes 3 by one bit."""
    save(tmp_path, 2)
    path = tmp_path / "checkpoints" / "000000002" / file
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.warns(UserWarning), pytest.raises(ModelError):
            checkpoints.newest(tmp_path)
    path.write_bytes(whole)
    assert step_of(tmp_path) == 2


def test_parts_of_two_steps_are_not_taken_for_a_checkpoint(tmp_path):
    """Each file whole, and hashes that agree: only the steps tell."""
    for step in (1, 2):
        save(tmp_path, step)
    first, second = (tmp_path / "checkpoints" / f"{step:09d}" for step in (1, 2))
    shutil.copy(first / "arrays.npz", second / "arrays.npz")
    manifest = json.loads((second / "manifest.json").read_text())
    digest = hashlib.sha256((second / "arrays.npz").read_bytes()).hexdigest()
    manifest["sha256"]["arrays.npz"] = digest
    (second / "manifest.json").write_text(json.dumps(manifest))
    with pytest.warns(UserWarning, match="000000002 is damaged"):
        assert step_of(tmp_path) == 1


def test_a_folder_with_another_steps_name_is_refused(tmp_path):
    save(tmp_path, 1)
    shutil.copytree(tmp_path / "checkpoints/000000001", tmp_path / "checkpoints/000000007")
    with pytest.warns(UserWarning, match="000000007 is damaged"):
        assert step_of(tmp_path) == 1


def test_a_damaged_one_of_a_later_step_costs_no_whole_one(tmp_path, monkeypatch):
    """The run went on from step 20; at 25 and 27 two whole ones are kept, on a full disk one."""
    for step in (20, 30):
        save(tmp_path, step)
    break_file(tmp_path / "checkpoints" / "000000030" / "arrays.npz", "cut")
    save(tmp_path, 25)
    save(tmp_path, 27)
    assert names_in(tmp_path) == ["000000025", "000000027"]
    shutil.copytree(tmp_path / "checkpoints/000000027", tmp_path / "checkpoints/000000040")
    monkeypatch.setattr(checkpoints.np, "savez", full_disk)
    with pytest.warns(UserWarning), pytest.raises(StorageError):
        save(tmp_path, 28)
    assert step_of(tmp_path) == 27


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("times", [1, 2])
def test_an_error_of_the_disk_at_each_fsync_leaves_a_whole_one(
    tmp_path, monkeypatch, number, times
):
    """EIO at the fsync of arrays, state, manifest, folder or parent: once, and again in the retry."""
    save(tmp_path, 1)
    save(tmp_path, 2)
    real, calls = os.fsync, []

    def fsync(handle):
        calls.append(handle)
        if len(calls) in (number, 2 * number)[:times]:
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.warns(UserWarning, match="checkpoint 3 cannot be written .Input/output error"):
        if times == 1:
            save(tmp_path, 3)
        else:
            with pytest.raises(StorageError, match=r"error\[5\].*Input/output error.*free space"):
                save(tmp_path, 3)
    assert step_of(tmp_path) == (3 if times == 1 or number == 5 else 2)
    assert not list((tmp_path / "checkpoints").glob("*.part"))


@pytest.mark.parametrize("count", [1, 2])
def test_all_damaged_is_an_error_not_a_silent_restart(tmp_path, count):
    for step in range(count):
        save(tmp_path, step)
        break_file(tmp_path / "checkpoints" / f"{step:09d}" / "arrays.npz", "cut")
    with pytest.warns(UserWarning), pytest.raises(ModelError, match="all checkpoints are damaged"):
        checkpoints.newest(tmp_path)


def test_a_half_written_one_is_never_seen(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "checkpoints" / "000000002.part").mkdir()
    assert step_of(tmp_path) == 1
    save(tmp_path, 2)
    assert step_of(tmp_path) == 2


def test_a_full_disk_costs_the_older_one_and_then_is_said(tmp_path, monkeypatch):
    save(tmp_path, 1)
    save(tmp_path, 2)
    real, left = np.savez, [1]

    def savez(file, **arrays):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, **arrays)

    monkeypatch.setattr(checkpoints.np, "savez", savez)
    with pytest.warns(UserWarning, match="once more, with fewer kept"):
        save(tmp_path, 3)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["000000002", "000000003"]
    left[0] = 2
    with pytest.warns(UserWarning), pytest.raises(StorageError, match="No space left"):
        save(tmp_path, 4)
    assert step_of(tmp_path) == 3
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000000003"]


def test_what_was_left_half_written_is_swept(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "checkpoints" / "000000002.part").mkdir()
    checkpoints.sweep(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000000001"]


def break_file(path, damage):
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
        return
    middle = len(content) // 2
    broken = {
        "cut": content[:middle],
        "empty": b"",
        "zero": bytes(len(content)),
        "flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
    }
    path.write_bytes(broken[damage])
