"""The feature cache: outputs of frozen layers are computed once per example and then read.

Rows are kept below $TLTF_CACHE/features in a namespace that stands for the prefix (its graph,
weights and library versions), the preprocessing and the precision; a row's key is its content.
So a later run, another fold or another head finds the rows of earlier ones, and further training
examples need only their own.
"""

import hashlib
import pathlib
import shutil
import weakref

import keras

from tltf.caching import frozen_outputs, shard_store
from tltf.caching.frozen_outputs import NotCached, Outputs, Reading, RowsInMemory, Table
from tltf.caching.shard_store import Rows
from tltf.config.option_groups import CacheOptions
from tltf.console import lines
from tltf.errors import StorageError
from tltf.files import assets
from tltf.graphs import fingerprint


class Cache:
    """A cache of the outputs of frozen prefixes, as the flags of the cache say.

    The weights of a prefix are hashed once, so they must not change while it is used. Without a disk
    to keep them, rows are kept in memory as long as the cache, the newest up to --cache_memory_mb.

    Args:
        options: the flags of the cache.
        folder: the folder of the namespaces; `features` in the cache folder of assets by default.
    """

    def __init__(self, options: CacheOptions, folder: pathlib.Path | None = None) -> None:
        self.options = options
        self.folder = pathlib.Path(folder or assets.cache_folder() / "features")
        self._fingerprints: weakref.WeakKeyDictionary[keras.Model, str] = (
            weakref.WeakKeyDictionary()
        )
        self._in_memory: dict[str, tuple[int, RowsInMemory]] = {}

    def table(self, prefix: keras.Model, reading: Reading) -> Table:
        """The prefix's outputs for every row of a source.

        Args:
            prefix: a frozen model: inputs -> {name: tensor}.
            reading: the source, and how it is read.

        Raises:
            NotCached: the outputs do not fit, or cannot be kept.
        """
        fields = frozen_outputs.fields_of(prefix, self.options.cache_precision)
        outputs = frozen_outputs.Outputs(prefix, fields, reading)
        try:
            on_disk = bool(self.options.cache_disk_gb)
            rows = self._rows_on_disk(outputs) if on_disk else self._rows_in_memory(outputs)
        except StorageError as error:
            raise NotCached(f"{error.what}") from error
        num_bytes = frozen_outputs.num_bytes(fields, rows.lengths)
        fits = num_bytes <= self.options.cache_memory_mb * 2**20
        return frozen_outputs.Table(rows, fields, outputs.dtypes, reading.is_text, num_bytes, fits)

    def _rows_in_memory(self, outputs: Outputs) -> RowsInMemory:
        """The rows, computed now unless they are in memory already."""
        limit_bytes = self.options.cache_memory_mb * 2**20
        _require_room(outputs, limit_bytes, "--cache_memory_mb")
        if outputs.reading.view:  # an augmented pass is read once
            return RowsInMemory(outputs)
        name = self._namespace(outputs) + hashlib.blake2b(outputs.keys.tobytes()).hexdigest()
        if name not in self._in_memory:
            self._in_memory[name] = outputs.num_bytes, RowsInMemory(outputs)
        while sum(size for size, _ in self._in_memory.values()) > limit_bytes:
            del self._in_memory[next(iter(self._in_memory))]
        return self._in_memory[name][1]

    def _namespace(self, outputs: Outputs) -> str:
        """The name that stands for a prefix and for how its rows are read."""
        if outputs.prefix not in self._fingerprints:
            self._fingerprints[outputs.prefix] = fingerprint.hash_model(outputs.prefix)
        return outputs.namespace(self._fingerprints[outputs.prefix])

    def _rows_on_disk(self, outputs: Outputs) -> Rows:
        """The rows in the store, after those that it lacks have been computed."""
        namespace = self.folder / self._namespace(outputs)
        shards = shard_store.open_shards(namespace, outputs.fields)
        missing = shard_store.find_missing(shards, outputs.keys)
        if missing.any():
            limit_bytes = self.options.cache_disk_gb * 2**30
            _require_room(outputs, limit_bytes, "--cache_disk_gb")
            self._check_free(outputs)
            with shard_store.Writer(namespace, outputs.fields) as writer:
                for rows, lengths, arrays in outputs.batches(missing):
                    writer.add(outputs.keys[rows], lengths, arrays)
            known = {shard.folder for shard in shards}
            shards += shard_store.open_shards(namespace, outputs.fields, skipped=known)
            used = {shard.folder for shard in shards}
            shard_store.evict(self.folder, limit_bytes, used)
        return shard_store.Rows(shards, outputs.keys, outputs.fields)

    def _check_free(self, outputs: Outputs) -> None:
        """Raises NotCached if the rows would leave less than a tenth of the free space."""
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if outputs.num_bytes > 0.9 * free:
            raise NotCached(
                f"the disk has {free / 2**20:,.0f} MB free, not enough for the "
                f"{outputs.num_bytes / 2**20:,.0f} MB of features"
            )


def _require_room(outputs: Outputs, limit_bytes: float, flag: str) -> None:
    """Raises NotCached if the rows take more than a flag allows."""
    if outputs.num_bytes > limit_bytes:
        raise NotCached(f"{outputs.num_bytes / 2**20:,.0f} MB of features do not fit into {flag}")


def say_not_cached(reason: NotCached | str) -> None:
    """Prints one line that says why frozen layers are computed in every epoch."""
    lines.say("features", f"frozen layers are computed in every epoch: {reason}")
