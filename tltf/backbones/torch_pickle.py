"""Reads tensors from a legacy torch pickle without PyTorch and without running its code.

The format: magic, protocol, system information, the object, the storage keys, then for each
key an int64 count and the raw values. The unpickler admits OrderedDict, tensors and storages
and nothing else. Use it only on files whose hash is known: the format is still a pickle.
"""

import collections
import pathlib
import pickle
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tltf.errors import ModelError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
}
_Storage = collections.namedtuple("_Storage", "key dtype count")
_Tensor = collections.namedtuple("_Tensor", "storage offset shape strides")


def read_legacy(path: pathlib.Path) -> Any:
    """Nested dicts of numpy arrays from a legacy torch file.

    Raises:
        ModelError: another format, a class that is not admitted, or a size that does not fit.
    """
    try:
        with open(path, "rb") as opened:
            header = [_Unpickler(opened).load() for _ in range(3)]
            if header[:2] != [_MAGIC, _PROTOCOL] or not header[2].get("little_endian"):
                raise ModelError("no legacy torch file of format 1001", place=path)
            content, keys = _Unpickler(opened).load(), _Unpickler(opened).load()
            storages = dict(_read_storages(opened, keys, content))
            return _resolve(content, storages)
    except (pickle.UnpicklingError, EOFError, struct.error, TypeError, AttributeError) as error:
        raise ModelError(f"refused: {error}", place=path) from error


class _Unpickler(pickle.Unpickler):
    """Admits what a state dict consists of, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not admitted")

    def persistent_load(self, pid: tuple) -> Any:
        kind, dtype, key, _, count, _ = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"{kind!r} is not storage")
        return _Storage(key, dtype, count)


def _rebuild_tensor(
    storage: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> Any:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _tensors(content: Any) -> Iterator[Any]:
    if isinstance(content, _Tensor):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from _tensors(value)


def _read_storages(opened: Any, keys: Sequence[str], content: dict[str, Any]) -> Iterator[Any]:
    """Yields (key, flat array); sizes are those the tensors announced."""
    announced = {tensor.storage.key: tensor.storage for tensor in _tensors(content)}
    for key in keys:
        (count,) = struct.unpack("<q", opened.read(8))
        storage = announced.get(key)
        if storage is None or storage.count != count:
            raise pickle.UnpicklingError(f"storage {key} was not announced with {count} values")
        raw = opened.read(count * storage.dtype.itemsize)
        yield key, np.frombuffer(raw, storage.dtype)


def _resolve(content: Any, storages: dict[str, np.ndarray]) -> dict[str, Any] | np.ndarray:
    """`content` with arrays in place of tensor descriptions; strides are honoured."""
    if isinstance(content, dict):
        return {key: _resolve(value, storages) for key, value in content.items()}
    if not isinstance(content, _Tensor):
        return content
    flat = storages.get(content.storage.key, np.empty(0, "u1"))
    sizes = list(zip(content.shape, content.strides, strict=True))
    last = content.offset + sum((size - 1) * stride for size, stride in sizes)
    if content.offset < 0 or min([0, *content.strides]) < 0 or last >= flat.size:
        raise pickle.UnpicklingError(f"a tensor of shape {content.shape} leaves its storage")
    steps = [stride * flat.itemsize for stride in content.strides]
    view = np.lib.stride_tricks.as_strided(flat[content.offset :], content.shape, steps)
    return np.ascontiguousarray(view)
