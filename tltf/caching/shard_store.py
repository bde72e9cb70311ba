"""A store of rows of arrays on disk, where each row has a key that stands for its content.

A shard is a folder `<namespace>/<shard>` with shard.json, the keys and lengths of its rows, and one
file of raw values per field. Shards are either whole or not there, never change, and are checked
(CRC-32) when they are opened; a damaged one is removed. Several processes may write at once: each
writes shards of its own, and processes that have a removed shard open can still read it.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import uuid
import warnings
import zlib
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import IO

import numpy as np

from tltf.errors import StorageError
from tltf.files import atomic_folders

SHARD_BYTES = 2**27
"""Size at which a shard is closed; the writer's memory does not depend on it."""
_KEYS, _LENGTHS = "keys", "lengths"
_READ_BYTES = 2**22
"""Bytes that are read together for a checksum."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One array that each row has.

    Args:
        name: name of the array, and of its file.
        dtype: dtype of the values.
        shape: shape of a row, or of one step of a row if `is_long`.
        is_long: whether a row has as many steps as its length says.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    is_long: bool = False

    @property
    def step_bytes(self) -> int:
        """The number of bytes of a row, or of one step of a row if `is_long`."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def num_steps(self, lengths: np.ndarray) -> np.ndarray:
        """The number of steps of rows of these lengths, int64[N]; 1 if rows have no steps."""
        lengths = np.asarray(lengths, np.int64)
        return lengths if self.is_long else np.ones_like(lengths)


class Writer:
    """A writer that adds rows to a namespace, shard by shard; used as a context.

    Others see a shard when it is full, or when the context ends without error or by a signal: what was
    computed until then is not computed again.

    Args:
        folder: the folder of the namespace; made if it is missing.
        fields: the arrays of each row.
        shard_bytes: see SHARD_BYTES.

    Raises:
        StorageError: the disk is full or cannot be written.
    """

    def __init__(
        self, folder: pathlib.Path, fields: tuple[Field, ...], shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.folder, self.fields, self.shard_bytes = pathlib.Path(folder), fields, shard_bytes
        self._open: _NewShard | None = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open:
            shard, self._open = self._open, None
            if isinstance(error, KeyboardInterrupt) and shard.drop_unfinished():
                kind = error = trace = None
            shard.close(kind, error, trace)

    def add(self, keys: np.ndarray, lengths: np.ndarray, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes rows.

        Args:
            keys: uint64[B], the key of each row.
            lengths: int32[B], the number of steps of each row.
            arrays: name -> array [B, ...], or [sum of lengths, ...] for a long field.
        """
        if self._open is None:
            self._open = _NewShard(self.folder / uuid.uuid4().hex, self.fields)
        self._open.add(keys, lengths, arrays)
        if self._open.num_bytes >= self.shard_bytes:
            self.__exit__(None, None, None)


@dataclasses.dataclass(frozen=True)
class _Written:
    """What of a new shard is whole.

    Args:
        parts: the number of times that rows were added.
        sizes: field -> bytes of its file.
        checks: field -> CRC-32 of these.
    """

    parts: int
    sizes: Mapping[str, int]
    checks: Mapping[str, int]


class _NewShard:
    """A shard that is being written."""

    def __init__(self, path: pathlib.Path, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self._keys, self._lengths = list[np.ndarray](), list[np.ndarray]()
        none = {field.name: 0 for field in fields}
        self._written = _Written(0, none, none)
        self._context = atomic_folders.new_folder(path)
        self._folder = self._context.__enter__()
        self._files = {f.name: open(self._folder / f.name, "wb") for f in fields}  # noqa: SIM115

    @property
    def num_bytes(self) -> int:
        """The number of bytes of all fields."""
        return sum(self._written.sizes.values())

    def add(self, keys: np.ndarray, lengths: np.ndarray, arrays: Mapping[str, np.ndarray]) -> None:
        self._keys.append(np.asarray(keys, np.uint64))
        self._lengths.append(np.asarray(lengths, np.int32))
        sizes, checks = dict(self._written.sizes), dict(self._written.checks)
        try:
            for field in self.fields:
                content = np.ascontiguousarray(arrays[field.name], field.dtype).tobytes()
                self._files[field.name].write(content)
                sizes[field.name] += len(content)
                checks[field.name] = zlib.crc32(content, checks[field.name])
        except OSError as error:
            self.close(type(error), error, error.__traceback__)
        self._written = _Written(self._written.parts + 1, sizes, checks)

    def drop_unfinished(self) -> bool:
        """Cuts off rows that a signal kept from being added whole; returns whether any rows are left."""
        parts = self._written.parts
        del self._keys[parts:], self._lengths[parts:]
        for name, size in self._written.sizes.items():
            self._files[name].truncate(size)
        return parts > 0

    def close(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Completes the shard, or removes it and raises the error; an OSError as StorageError."""
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
        checks = dict(self._written.checks)
        for name, parts in ((_KEYS, self._keys), (_LENGTHS, self._lengths)):
            content = np.concatenate(parts).tobytes()
            (self._folder / name).write_bytes(content)
            checks[name] = zlib.crc32(content)
        index = {"num_rows": sum(map(len, self._keys)), "crc32": checks}
        (self._folder / "shard.json").write_text(json.dumps(index), encoding="utf-8")


class Shard:
    """A whole shard, whose files stay open as long as this object exists.

    Args:
        folder: the folder of the shard.
        fields: the arrays of each row.

    Raises:
        OSError, ValueError, KeyError: the shard is damaged, or has been removed.
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

    def values(self, field: Field) -> np.ndarray:
        """The steps of all rows, one after the other: array [steps, ...]."""
        return self._whole(field.name, field.dtype).reshape(-1, *field.shape)

    def _whole(self, name: str, dtype: np.dtype) -> np.ndarray:
        self._files[name].seek(0)
        return np.frombuffer(self._files[name].read(), dtype)


def open_shards(
    folder: pathlib.Path, fields: tuple[Field, ...], skipped: Collection[pathlib.Path] = ()
) -> list[Shard]:
    """The whole shards of a namespace; damaged ones are removed, unreadable ones are left there.

    Args:
        folder: the folder of the namespace; it need not exist.
        fields: the arrays of each row.
        skipped: folders of shards that are not opened.
    """
    shards = []
    for path in _shard_folders(pathlib.Path(folder)):
        if path in skipped:
            continue
        try:
            shards.append(Shard(path, fields))
        except FileNotFoundError:
            continue  # another process has removed it
        except OSError as error:  # too many open files or a failing disk: the shard may be whole
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
    return shards


class Rows:
    """Rows of several shards in the order of `keys`.

    Args:
        shards: the shards; each key must be in one of them.
        keys: uint64[N], the keys of the rows.
        fields: the arrays of each row.
    """

    def __init__(
        self, shards: Sequence[Shard], keys: np.ndarray, fields: tuple[Field, ...]
    ) -> None:
        self.fields, self._shards = fields, shards
        self._shard, self._row = _places(shards, keys)
        self.lengths = np.zeros(len(keys), np.int32)
        for number, shard in enumerate(shards):
            mine = self._shard == number
            self.lengths[mine] = shard.lengths[self._row[mine]]

    def read_all(self, field: Field) -> np.ndarray:
        """All rows of a field: array [N, ...], or the steps of all rows [sum of lengths, ...]."""
        counts = field.num_steps(self.lengths)
        begins = starts(counts)
        result = np.empty((int(counts.sum()), *field.shape), field.dtype)
        for number, shard in enumerate(self._shards):
            mine = np.flatnonzero(self._shard == number)
            if len(mine):
                source = steps(shard.starts[field.name][self._row[mine]], counts[mine])
                result[steps(begins[mine], counts[mine])] = shard.values(field)[source]
        return result

    def read(self, field: Field, rows: np.ndarray) -> np.ndarray:
        """Some rows, read from the disk: array [B, ...], or [B, longest row, ...] padded with 0.

        Args:
            field: the field.
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


def find_missing(shards: Sequence[Shard], keys: np.ndarray) -> np.ndarray:
    """Whether no shard has a key, bool[N]."""
    there = np.concatenate([shard.keys for shard in shards]) if shards else np.empty(0, np.uint64)
    return ~np.isin(keys, there)


def evict(root: pathlib.Path, limit_bytes: float, kept: Collection[pathlib.Path] = ()) -> None:
    """Removes the least recently used shards until all shards take at most `limit_bytes`.

    What killed writers left behind is removed first.

    Args:
        root: the folder of the namespaces.
        limit_bytes: most bytes of all shards together.
        kept: folders of shards that are not removed.
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
    """The place of each key: `(number of the shard int32[N], row in it int64[N])`."""
    every = np.concatenate([shard.keys for shard in shards]) if shards else np.empty(0, np.uint64)
    order = np.argsort(every, kind="stable")
    places = np.searchsorted(every[order], keys)
    if len(keys) and (places.max() >= len(every) or (every[order][places] != keys).any()):
        raise StorageError("cached features were removed while they were in use")
    owners = np.repeat(np.arange(len(shards)), [len(shard.keys) for shard in shards])
    inside = np.concatenate([np.arange(len(shard.keys)) for shard in shards] or [np.empty(0, int)])
    return owners[order[places]].astype(np.int32), inside[order[places]]


def starts(counts: np.ndarray) -> np.ndarray:
    """The place at which each row begins, int64[N], if the rows have so many steps."""
    return np.cumsum(counts) - counts


def steps(begins: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The places of all steps, int64[sum of counts]: for each row its begin, its begin + 1, ..."""
    ends = np.cumsum(counts)
    return np.repeat(begins - (ends - counts), counts) + np.arange(ends[-1] if len(ends) else 0)


def _read_into(descriptor: int, wanted: memoryview, position: int) -> None:
    """Fills a buffer with the bytes of a file from a position on."""
    done = 0
    while done < len(wanted):
        count = os.preadv(descriptor, [wanted[done:]], position + done)
        if count == 0:
            raise StorageError("a file of cached features ends too early")
        done += count


def _crc32(file: IO[bytes]) -> int:
    check = 0
    while content := file.read(_READ_BYTES):
        check = zlib.crc32(content, check)
    return check


def _shard_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        return []
    folders = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(folders, key=lambda path: path.name)


def _size(path: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir())
