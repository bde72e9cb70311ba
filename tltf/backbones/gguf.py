"""Reads GGUF files of llama.cpp: their metadata, and their tensors as float32, also of 4 and 8 bits.

The format is described in ggml's docs/gguf.md: a header, keys with values, names with shapes, types
and places of tensors, then their bytes. Numbers are little-endian. Nothing in a file is run.
"""

import dataclasses
import math
import pathlib
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from tltf.errors import ModelError

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""Number of a type of values -> how `struct` reads it."""
_TEXT, _LIST = 8, 9
_ALIGNMENT = 32
"""Tensors begin at a multiple of this, where the file states no other."""


@dataclasses.dataclass(frozen=True)
class _Encoding:
    """How numbers are stored: in blocks of a few numbers, each of a few bytes."""

    numbers: int
    num_bytes: int
    decode: Callable[[np.ndarray], np.ndarray]


def _float32(blocks: np.ndarray) -> np.ndarray:
    return blocks.view("<f4")


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    """A float16 scale, then 32 int8."""
    return _half(blocks[:, :2]) * blocks[:, 2:].view(np.int8).astype(np.float32)


def _q4_1(blocks: np.ndarray) -> np.ndarray:
    """A float16 scale and minimum, then 16 bytes: their low halves are the first 16 numbers."""
    scale, least, halves = _half(blocks[:, :2]), _half(blocks[:, 2:4]), blocks[:, 4:]
    levels = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32)
    return levels * scale + least


def _half(pairs: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pairs).view("<f2").astype(np.float32)


_ENCODINGS = {
    0: _Encoding(1, 4, _float32),
    3: _Encoding(32, 20, _q4_1),
    8: _Encoding(32, 34, _q8_0),
}
"""Number of a type of tensors -> its encoding."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a file, which is decoded when it becomes an array.

    Args:
        shape: its shape, the longest stride first, as in PyTorch.
        raw: uint8, its bytes.
        kind: the number of its type, a key of _ENCODINGS.
    """

    shape: tuple[int, ...]
    raw: np.ndarray
    kind: int

    def numbers(self) -> np.ndarray:
        """float32 of `shape`."""
        encoding = _ENCODINGS[self.kind]
        blocks = np.ascontiguousarray(self.raw).reshape(-1, encoding.num_bytes)
        return encoding.decode(blocks).reshape(self.shape)


@dataclasses.dataclass(frozen=True)
class File:
    """What a GGUF file holds.

    Args:
        metadata: key -> number, text, or list of them.
        tensors: name -> tensor.
    """

    metadata: dict[str, Any]
    tensors: dict[str, Tensor]


def read(path: pathlib.Path) -> File:
    """The metadata and the tensors of a GGUF file, which is mapped and not read into memory.

    Raises:
        ModelError: it is not a GGUF file, or a tensor has a type that is not read.
    """
    try:
        return _Reader(np.memmap(path, np.uint8, "r")).file()
    except (ValueError, struct.error, KeyError, IndexError, UnicodeDecodeError) as error:
        raise ModelError(f"is not a readable GGUF file ({error})", place=path) from error


class _Reader:
    """A place in the bytes of a file, which moves on with each value that is read."""

    def __init__(self, content: np.ndarray) -> None:
        self._content, self._at = content, 0

    def file(self) -> File:
        """The whole file."""
        magic, version = self._take(4).tobytes(), self._number("<I")
        if magic != _MAGIC or version not in _VERSIONS:
            raise ValueError(f"it begins with {magic!r}, version {version}")
        num_tensors, num_keys = self._number("<Q"), self._number("<Q")
        metadata = {self._text(): self._value(self._number("<I")) for _ in range(num_keys)}
        found = [self._described() for _ in range(num_tensors)]
        alignment = int(metadata.get("general.alignment", _ALIGNMENT))
        start = -(-self._at // alignment) * alignment
        tensors = {name: self._tensor(start + at, shape, kind) for name, at, shape, kind in found}
        return File(metadata, tensors)

    def _take(self, count: int) -> np.ndarray:
        part = self._content[self._at : self._at + count]
        if len(part) < count:
            raise ValueError("it ends too early")
        self._at += count
        return part

    def _number(self, kind: str) -> Any:
        (value,) = struct.unpack(kind, self._take(struct.calcsize(kind)).tobytes())
        return value

    def _text(self) -> str:
        return self._take(self._number("<Q")).tobytes().decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind == _LIST:
            inner, count = self._number("<I"), self._number("<Q")
            return [self._value(inner) for _ in range(count)]
        return self._number(_NUMBERS[kind])

    def _described(self) -> tuple[str, int, tuple[int, ...], int]:
        """Name, place behind the start of all tensors, shape and type of a tensor."""
        name = self._text()
        sizes = [self._number("<Q") for _ in range(self._number("<I"))]
        kind = self._number("<I")
        return name, self._number("<Q"), tuple(reversed(sizes)), kind

    def _tensor(self, start: int, shape: tuple[int, ...], kind: int) -> Tensor:
        if kind not in _ENCODINGS:
            raise ValueError(f"a tensor has the type {kind}, and {list(_ENCODINGS)} are read")
        encoding = _ENCODINGS[kind]
        blocks, rest = divmod(math.prod(shape), encoding.numbers)
        self._at = start
        raw = self._take(blocks * encoding.num_bytes)
        if rest:
            raise ValueError("a tensor is no whole number of blocks")
        return Tensor(shape, raw, kind)
