"""Rows of arrays on disk, found by what they were made from.

A shard is a folder `<namespace>/<shard>` with shard.json, the rows' keys and lengths, and one
file of raw values a field. Shards are whole or not there, never change, and are checked (CRC-32)
when they are opened; a damaged one is removed. Several processes may write at once: each
writes shards of its own, and a removed shard can be read on by those that hold it open.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import uuid
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.errors import StorageError
from tltf.files import atomic_folders

SHARD_BYTES = 2**27
"""A shard is closed when it holds more; the writer's memory does not depend on it."""
_KEYS, _LENGTHS = "keys", "lengths"
_READ_BYTES = 2**22


@dataclasses.dataclass(frozen=True)
class Field:
    """One array of each row.

    Args:
        name: a file name.
        dtype: numpy.dtype of the values.
        shape: of a row, or of one step of a row if `is_long`.
        is_long: the rows have as many steps as their lengths say.
    """

    name: str
    dtype: np.dtype
    shape: tuple
    is_long: bool = False

    @property
    def step_bytes(self) -> int:
        """Bytes of a row, or of one step of it."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def num_steps(self, lengths: np.ndarray) -> np.ndarray:
        """int64[N]: steps of rows of these lengths, 1 where rows have no steps."""
        lengths = np.asarray(lengths, np.int64)
        return lengths if self.is_long else np.ones_like(lengths)


class Writer:
    """Adds rows to a namespace, a shard after the other; used as a context.

    A shard is there for others when it is full or the context ends without error.

    Args:
        folder: of the namespace; made when it is missing.
        fields: tuple of Field.
        shard_bytes: see SHARD_BYTES.

    Raises:
        StorageError: the disk is full or cannot be written.
    """

    def __init__(
        self, folder: pathlib.Path, fields: tuple[Field, ...], shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.folder, self.fields, self.shard_bytes = pathlib.Path(folder), fields, shard_bytes
        self._open: Any = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type | None, error: Any, trace: Any) -> None:
        if self._open:
            shard, self._open = self._open, None
            shard.close(kind, error, trace)

    def add(self, keys: Any, lengths: Any, arrays: Any) -> None:
        """Writes rows.

        Args:
            keys: uint64[B].
            lengths: int32[B] steps of each row.
            arrays: name -> array [B, ...], or [sum of lengths, ...] for a long field.
        """
        if self._open is None:
            self._open = _NewShard(self.folder / uuid.uuid4().hex, self.fields)
        self._open.add(keys, lengths, arrays)
        if self._open.num_bytes >= self.shard_bytes:
            self.__exit__(None, None, None)


class _NewShard:
    """A shard that is being written."""

    def __init__(self, path: pathlib.Path, fields: tuple[Field, ...]) -> None:
        self.fields, self.num_bytes = fields, 0
        self._keys, self._lengths = list[Any](), list[Any]()
        self._checks = {field.name: 0 for field in fields}
        self._context = atomic_folders.new_folder(path)
        self._folder = self._context.__enter__()
        self._files = {f.name: open(self._folder / f.name, "wb") for f in fields}  # noqa: SIM115

    def add(self, keys: np.ndarray, lengths: np.ndarray, arrays: dict[str, np.ndarray]) -> None:
        self._keys.append(np.asarray(keys, np.uint64))
        self._lengths.append(np.asarray(lengths, np.int32))
        try:
            for field in self.fields:
                content = np.ascontiguousarray(arrays[field.name], field.dtype).tobytes()
                self._files[field.name].write(content)
                self._checks[field.name] = zlib.crc32(content, self._checks[field.name])
                self.num_bytes += len(content)
        except OSError as error:
            self.close(type(error), error, error.__traceback__)

    def close(self, kind: type | None, error: Any, trace: Any) -> None:
        """Ends the shard: whole without an error, else removed; an OSError as StorageError."""
        with contextlib.ExitStack() as stack:
            stack.push(self._context)
            if error is not None:
                for file in self._files.values():
                    with contextlib.suppress(OSError):
                        file.close()
                raise error
            for file in self._files.values():
                file.close()
            self._write_index()

    def _write_index(self) -> None:
        for name, parts in ((_KEYS, self._keys), (_LENGTHS, self._lengths)):
            content = np.concatenate(parts).tobytes()
            (self._folder / name).write_bytes(content)
            self._checks[name] = zlib.crc32(content)
        index = {"num_rows": sum(map(len, self._keys)), "crc32": self._checks}
        (self._folder / "shard.json").write_text(json.dumps(index), encoding="utf-8")


class Shard:
    """Rows that are there; files stay open while it lives.

    Args:
        folder: of the shard.
        fields: tuple of Field.

    Raises:
        OSError, ValueError, KeyError: it is damaged, or gone.
    """

    def __init__(self, folder: pathlib.Path, fields: tuple[Field, ...]) -> None:
        self.folder = folder
        index = json.loads((folder / "shard.json").read_text(encoding="utf-8"))
        names = [field.name for field in fields]
        every = (_KEYS, _LENGTHS, *names)
        self._files = {name: open(folder / name, "rb") for name in every}  # noqa: SIM115
        for name, file in self._files.items():
            if _crc32(file) != index["crc32"][name]:
                raise ValueError(f"{name} is damaged")
        self.keys = self._whole(_KEYS, np.dtype(np.uint64))
        self.lengths = self._whole(_LENGTHS, np.dtype(np.int32))
        self.starts = {f.name: starts(f.num_steps(self.lengths)) for f in fields}
        os.utime(folder)

    def descriptor(self, field: Field) -> int:
        """The file descriptor of a field's values."""
        return self._files[field.name].fileno()

    def values(self, field: Field) -> Any:
        """Steps of all rows, one after the other: array [steps, ...]."""
        return self._whole(field.name, field.dtype).reshape(-1, *field.shape)

    def _whole(self, name: str, dtype: Any) -> np.ndarray:
        self._files[name].seek(0)
        return np.frombuffer(self._files[name].read(), dtype)


def open_shards(
    folder: pathlib.Path, fields: tuple[Field, ...], but: set[pathlib.Path] | tuple = ()
) -> list[Shard]:
    """The whole shards of a namespace; damaged ones are removed, unreadable ones are left.

    Args:
        folder: of the namespace; need not be there.
        fields: tuple of Field.
        but: paths of shards that are left out.
    """
    found = []
    for path in _shard_folders(pathlib.Path(folder)):
        if path in but:
            continue
        try:
            found.append(Shard(path, fields))
        except FileNotFoundError:
            continue  # another process has removed it
        except OSError as error:  # too many open files, a disk that fails: they may be whole
            warnings.warn(
                f"cached features {path.name} cannot be read ({error.strerror or error}); "
                "they are computed again",
                stacklevel=2,
            )
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"cached features {path.name} are damaged ({error}); they are computed again",
                stacklevel=2,
            )
            atomic_folders.discard(path)
    return found


class Rows:
    """Rows of several shards in the order of `keys`.

    Args:
        shards: list of Shard; each key must be in one of them.
        keys: uint64[N].
        fields: tuple of Field.
    """

    def __init__(self, shards: Any, keys: np.ndarray, fields: tuple[Field, ...]) -> None:
        self.fields, self._shards = fields, shards
        self._shard, self._row = _places(shards, keys)
        self.lengths = np.zeros(len(keys), np.int32)
        for number, shard in enumerate(shards):
            mine = self._shard == number
            self.lengths[mine] = shard.lengths[self._row[mine]]

    def whole(self, field: Field) -> Any:
        """All rows: array [N, ...], or the steps of all rows [sum of lengths, ...]."""
        counts = field.num_steps(self.lengths)
        begins = starts(counts)
        result = np.empty((int(counts.sum()), *field.shape), field.dtype)
        for number, shard in enumerate(self._shards):
            mine = np.flatnonzero(self._shard == number)
            if len(mine):
                source = steps(shard.starts[field.name][self._row[mine]], counts[mine])
                result[steps(begins[mine], counts[mine])] = shard.values(field)[source]
        return result

    def read(self, field: Field, rows: np.ndarray) -> Any:
        """Some rows from the disk: array [B, ...], or [B, longest of them, ...] filled up with 0.

        Args:
            field: Field.
            rows: int64[B], places in `keys`.
        """
        counts = field.num_steps(self.lengths[rows])
        longest = counts.max(initial=0) if field.is_long else 1
        result = np.zeros((len(rows), int(longest), field.step_bytes), np.uint8)
        for place, row in enumerate(rows):
            shard = self._shards[self._shard[row]]
            start = int(shard.starts[field.name][self._row[row]]) * field.step_bytes
            if not counts[place]:
                continue
            wanted = memoryview(result[place, : counts[place]].reshape(-1).data)
            _read_into(shard.descriptor(field), wanted, start)
        values = result.reshape(-1).view(field.dtype)
        shape = (len(rows), int(longest)) if field.is_long else (len(rows),)
        return values.reshape(*shape, *field.shape)


def missing(shards: Sequence[Shard], keys: np.ndarray) -> np.ndarray:
    """bool[N]: which keys no shard has."""
    there = np.concatenate([shard.keys for shard in shards]) if shards else np.empty(0, np.uint64)
    return ~np.isin(keys, there)


def evict(root: pathlib.Path, limit_bytes: float, kept: set[pathlib.Path] | tuple = ()) -> None:
    """Removes the shards that were not used for longest until all take at most `limit_bytes`.

    What killed writers left behind goes first.

    Args:
        root: the folder of the namespaces.
        limit_bytes: of all shards.
        kept: paths of shards that stay.
    """
    entries = []
    for namespace in pathlib.Path(root).iterdir():
        atomic_folders.sweep(namespace)
    for path in pathlib.Path(root).glob("*/*"):
        with contextlib.suppress(OSError):
            if not path.name.startswith("."):
                entries.append((path.stat().st_mtime, _size(path), path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit_bytes:
            return
        if path not in kept:
            atomic_folders.discard(path)
            total -= size


def _places(shards: Sequence[Shard], keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(int32[N] shard, int64[N] row in it)` of each key."""
    every = np.concatenate([shard.keys for shard in shards]) if shards else np.empty(0, np.uint64)
    order = np.argsort(every, kind="stable")
    found = np.searchsorted(every[order], keys)
    if len(keys) and (found.max() >= len(every) or (every[order][found] != keys).any()):
        raise StorageError("cached features have gone while they were in use")
    owners = np.repeat(np.arange(len(shards)), [len(shard.keys) for shard in shards])
    inside = np.concatenate([np.arange(len(shard.keys)) for shard in shards] or [np.empty(0, int)])
    return owners[order[found]].astype(np.int32), inside[order[found]]


def starts(counts: np.ndarray) -> np.ndarray:
    """int64[N]: where each of rows with so many steps begins."""
    return np.cumsum(counts) - counts


def steps(begins: np.ndarray, counts: np.ndarray) -> Any:
    """int64[sum of counts]: begins[0], begins[0] + 1, ... for each of the rows."""
    ends = np.cumsum(counts)
    return np.repeat(begins - (ends - counts), counts) + np.arange(ends[-1] if len(ends) else 0)


def _read_into(descriptor: int, wanted: Any, position: int) -> None:
    done = 0
    while done < len(wanted):
        count = os.preadv(descriptor, [wanted[done:]], position + done)
        if count == 0:
            raise StorageError("a cached feature ends too early")
        done += count


def _crc32(file: Any) -> int:
    check = 0
    while content := file.read(_READ_BYTES):
        check = zlib.crc32(content, check)
    return check


def _shard_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(found, key=lambda path: path.name)


def _size(path: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir())
