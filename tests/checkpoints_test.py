import errno

import numpy as np
import pytest

from tltf import checkpoints
from tltf.checkpoints import Checkpoint
from tltf.errors import ModelError, StorageError


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


def test_two_are_kept_and_the_order_is_by_step_not_by_time(tmp_path):
    for step in (1000, 9, 20):
        save(tmp_path, step)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["000000020", "000001000"] and step_of(tmp_path) == 1000


@pytest.mark.parametrize("file", ["arrays.npz", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "zero", "flip", "gone"])
def test_a_damaged_one_is_passed_over_with_a_warning(tmp_path, file, damage):
    save(tmp_path, 1)
    save(tmp_path, 2)
    break_file(tmp_path / "checkpoints" / "000000002" / file, damage)
    with pytest.warns(UserWarning, match="000000002 is damaged"):
        assert step_of(tmp_path) == 1


def test_all_damaged_is_an_error_not_a_silent_restart(tmp_path):
    save(tmp_path, 1)
    break_file(tmp_path / "checkpoints" / "000000001" / "arrays.npz", "cut")
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
        "zero": bytes(len(content)),
        "flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
    }
    path.write_bytes(broken[damage])
