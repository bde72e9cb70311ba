"""The frozen-prefix cache: what frozen layers give is computed once an example, then read.

Rows are kept below $TLTF_CACHE/features in a namespace that stands for the prefix (its graph,
weights and library versions), the preprocessing and the precision; a row's key is its content.
So a later run, another fold, another head or more training examples find what is there.
"""

import pathlib
import shutil
import sys
import weakref
from typing import Any

from tltf.caching import frozen_outputs, shard_store
from tltf.caching.frozen_outputs import Held, NotCached, Outputs, Reading, Table
from tltf.caching.shard_store import Rows
from tltf.config.options import CacheOptions
from tltf.errors import StorageError
from tltf.files import assets
from tltf.graphs import fingerprint


class Cache:
    """Keeps the outputs of prefixes as CacheOptions say.

    The weights of a prefix are hashed once, so they must not change while it is used.

    Args:
        options: CacheOptions.
        folder: of the namespaces; by default below the cache folder of assets.
    """

    def __init__(self, options: CacheOptions, folder: pathlib.Path | None = None) -> None:
        self.options = options
        self.folder = pathlib.Path(folder or assets.cache_folder() / "features")
        self._fingerprints: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

    def table(self, prefix: Any, reading: Reading) -> Table:
        """The `frozen_outputs.Table` of the prefix's outputs for every row of a source.

        Args:
            prefix: keras.Model, frozen: inputs -> {name: tensor}.
            reading: boundaries.Reading.

        Raises:
            NotCached: they do not fit, or cannot be kept.
        """
        fields = frozen_outputs.fields_of(prefix, self.options.cache_precision)
        outputs = frozen_outputs.Outputs(prefix, fields, reading)
        try:
            rows = self._kept(outputs) if self.options.cache_disk_gb else self._held(outputs)
        except StorageError as error:
            raise NotCached(f"{error.what}") from error
        num_bytes = frozen_outputs.num_bytes(fields, rows.lengths)
        fits = num_bytes <= self.options.cache_memory_mb * 2**20
        return frozen_outputs.Table(rows, fields, outputs.dtypes, reading.is_text, num_bytes, fits)

    def _held(self, outputs: Outputs) -> Held:
        """The rows in memory only."""
        _require_room(outputs, self.options.cache_memory_mb * 2**20, "--cache_memory_mb")
        return frozen_outputs.Held(outputs)

    def _kept(self, outputs: Outputs) -> Rows:
        """The rows in the store, those that are missing computed."""
        if outputs.prefix not in self._fingerprints:
            self._fingerprints[outputs.prefix] = fingerprint.of_model(outputs.prefix)
        namespace = self.folder / outputs.namespace(self._fingerprints[outputs.prefix])
        shards = shard_store.open_shards(namespace, outputs.fields)
        missing = shard_store.missing(shards, outputs.keys)
        if missing.any():
            limit_bytes = self.options.cache_disk_gb * 2**30
            _require_room(outputs, limit_bytes, "--cache_disk_gb")
            self._check_free(outputs)
            with shard_store.Writer(namespace, outputs.fields) as writer:
                for rows, lengths, arrays in outputs.batches(missing):
                    writer.add(outputs.keys[rows], lengths, arrays)
            known = {shard.folder for shard in shards}
            shards += shard_store.open_shards(namespace, outputs.fields, but=known)
            used = {shard.folder for shard in shards}
            shard_store.evict(self.folder, limit_bytes, used)
        return shard_store.Rows(shards, outputs.keys, outputs.fields)

    def _check_free(self, outputs: Outputs) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if outputs.num_bytes > 0.9 * free:
            raise NotCached(
                f"the disk has {free / 2**20:,.0f} MB free, not enough for the "
                f"{outputs.num_bytes / 2**20:,.0f} MB of features"
            )


def _require_room(outputs: Outputs, limit_bytes: float, flag: str) -> None:
    """Raises NotCached where the rows take more than a flag allows."""
    if outputs.num_bytes > limit_bytes:
        raise NotCached(f"{outputs.num_bytes / 2**20:,.0f} MB do not fit {flag}")


def say_off(reason: NotCached | str) -> None:
    """One line: why frozen layers are computed again."""
    print(f"frozen layers are computed in every epoch: {reason}", file=sys.stderr)
