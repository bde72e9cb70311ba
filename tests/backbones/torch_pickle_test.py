"""Legacy torch files: strides are honoured, nothing is run."""

import collections
import io
import os
import pickle
import pickletools
import struct

import numpy as np
import pytest

from tltf.backbones.torch_pickle import read_legacy
from tltf.errors import ModelError

MAGIC = 0x1950A86A20F9469CFC6C


class _Global:
    """Pickles as a reference to any `module.name`, called with arguments."""

    def __init__(self, module, name, arguments=None):
        self.module, self.name, self.arguments = module, name, arguments


class _Pickler(pickle._Pickler):
    def save(self, value, save_persistent_id=True):
        if isinstance(value, _Global):
            self.write(f"c{value.module}\n{value.name}\n".encode())
            if value.arguments is not None:
                self.save(value.arguments)
                self.write(b"R")
            return
        super().save(value, save_persistent_id)

    def persistent_id(self, value):
        if isinstance(value, tuple) and value and isinstance(value[0], str):
            return value if value[0] == "storage" else None
        return None


def _dump(value):
    buffer = io.BytesIO()
    _Pickler(buffer, 2).dump(value)
    return buffer.getvalue()


def _tensor(key, count, offset, shape, strides, storage="FloatStorage"):
    pid = ("storage", _Global("torch", storage), key, "cpu", count, None)
    arguments = (pid, offset, shape, strides, False, collections.OrderedDict())
    return _Global("torch._utils", "_rebuild_tensor_v2", arguments)


def _file(path, content, storages, magic=MAGIC):
    header = [magic, 1001, {"protocol_version": 1001, "little_endian": True}]
    parts = [_dump(item) for item in [*header, content, list(storages)]]
    for values in storages.values():
        parts += [struct.pack("<q", values.size), values.tobytes()]
    path.write_bytes(b"".join(parts))
    return path


def test_strided_views_are_read(tmp_path):
    values = np.arange(24, dtype="float32")
    state = {
        "w": _tensor("0", 24, 2, (3, 2), (2, 8)),
        "n": _tensor("1", 1, 0, (), (), "LongStorage"),
    }
    path = _file(tmp_path / "a.pth", {"m": state}, {"0": values, "1": np.array([7])})
    found = read_legacy(path)["m"]
    expected = np.array([[values[2 + 2 * i + 8 * j] for j in range(2)] for i in range(3)])
    np.testing.assert_array_equal(found["w"], expected)
    assert found["n"] == 7 and found["w"].flags.c_contiguous


@pytest.mark.parametrize(
    "shape, strides, offset", [((25,), (1,), 0), ((2,), (24,), 5), ((2,), (-1,), 3)]
)
def test_views_that_leave_their_storage_are_refused(tmp_path, shape, strides, offset):
    content = {"w": _tensor("0", 24, offset, shape, strides)}
    path = _file(tmp_path / "a.pth", content, {"0": np.zeros(24, "float32")})
    with pytest.raises(ModelError, match="leaves its storage"):
        read_legacy(path)


@pytest.mark.parametrize(
    "module, name",
    [("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("posix", "system")],
)
def test_a_hostile_pickle_runs_nothing(tmp_path, module, name):
    canary = tmp_path / "canary"
    command = f"touch {canary}" if name == "system" else f"open({str(canary)!r}, 'w')"
    content = {"w": _Global(module, name, (command,))}
    path = _file(tmp_path / "a.pth", content, {})
    assert os.fspath(canary) in "".join(str(o[1]) for o in pickletools.genops(_dump(content)))
    with pytest.raises(ModelError, match=rf"{module}.{name} is not admitted"):
        read_legacy(path)
    assert not canary.exists()


def test_the_canary_would_sing(tmp_path):
    canary = tmp_path / "canary"
    pickle.loads(_dump({"w": _Global("os", "system", (f"touch {canary}",))}))
    assert canary.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04zip", b"<html>", pickle.dumps(1)])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ModelError):
        read_legacy(tmp_path / "a.pth")


def test_a_cut_file_is_refused(tmp_path):
    content = {"w": _tensor("0", 24, 0, (24,), (1,))}
    path = _file(tmp_path / "a.pth", content, {"0": np.zeros(24, "float32")})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError):
        read_legacy(path)
