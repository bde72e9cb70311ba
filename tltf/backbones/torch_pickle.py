"""Reads tensors from a legacy torch pickle without PyTorch and without running code of the file.

The format is: magic, protocol, system information, the object, the storage keys, then for each
key an int64 count and the raw values. The unpickler admits OrderedDict, tensors and storages
and nothing else. Use it only on files whose hash is known, since the format is still a pickle.
"""

import collections
import pathlib
import pickle
import struct
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple

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
"""Name of a storage class of torch -> the dtype of its values."""


class _Storage(NamedTuple):
    """The description of a flat array in the file."""

    key: str
    dtype: np.dtype
    num_values: int


class _Tensor(NamedTuple):
    """The description of a tensor as a view of a storage; offset and strides count values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_legacy(path: pathlib.Path) -> dict[str, Any]:
    """The nested dicts of numpy arrays in a legacy torch file.

    Raises:
        ModelError: the file has another format, a class that is not admitted, or a wrong size.
    """
    try:
        with open(path, "rb") as opened:
            header = [_Unpickler(opened).load() for _ in range(3)]
            if header[:2] != [_MAGIC, _PROTOCOL] or not header[2].get("little_endian"):
                raise ModelError("is not a legacy torch file of format 1001", place=path)
            content, keys = _Unpickler(opened).load(), _Unpickler(opened).load()
            storages = dict(_read_storages(opened, keys, content))
            return _resolve(content, storages)
    except (pickle.UnpicklingError, EOFError, struct.error, TypeError, AttributeError) as error:
        raise ModelError(f"is refused: {error}", place=path) from error


class _Unpickler(pickle.Unpickler):
    """An unpickler that admits the classes of a state dict, and nothing that could run code."""

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
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _tensors(content: Any) -> Iterator[_Tensor]:
    """Yields the tensors in nested dicts."""
    if isinstance(content, _Tensor):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from _tensors(value)


def _read_storages(
    opened: IO[bytes], keys: Sequence[str], content: Any
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the key and the flat array of each storage, whose size its tensors have announced."""
    announced = {tensor.storage.key: tensor.storage for tensor in _tensors(content)}
    for key in keys:
        (count,) = struct.unpack("<q", opened.read(8))
        storage = announced.get(key)
        if storage is None or storage.num_values != count:
            raise pickle.UnpicklingError(f"storage {key} was not announced with {count} values")
        raw = opened.read(count * storage.dtype.itemsize)
        yield key, np.frombuffer(raw, storage.dtype)


def _resolve(content: Any, storages: dict[str, np.ndarray]) -> Any:
    """`content` with arrays in place of the descriptions of tensors, whose strides are honoured."""
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
