"""The outputs of a frozen prefix for the rows of a source: computed in batches, read as inputs.

The batches are formed from all rows, in an order that depends on the rows alone, and a batch is
computed whole even if only one of its rows is missing. So a process that was killed while it filled
the cache and is started again computes the same numbers.
"""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator
from typing import cast

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tltf.caching import shard_store
from tltf.caching.row_buffer import RowBuffer
from tltf.caching.shard_store import Field, Rows
from tltf.console.progress import Progress
from tltf.data import lookups, ordering, pipeline
from tltf.data.digests import text_digests
from tltf.data.images import byte_reading, exif
from tltf.data.images import preprocessing as images_preprocessing
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.lookups import Lookup
from tltf.data.source import Source
from tltf.data.texts import preprocessing as texts_preprocessing
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.files import assets
from tltf.graphs import batch_norm_folding, flat_dense

BATCH_SIZE = 64
"""Number of examples that the prefix computes together."""
KEYS_AT_ONCE = 8192
"""The number of texts whose keys are computed together."""
READ_AT_ONCE = 4096
"""The number of rows that are read from the disk together."""


Batch = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
"""Row numbers int64[B], their lengths int32[B], and name -> array."""


class NotCached(Exception):
    """The reason, in one line, why the outputs of frozen layers are not kept."""


@dataclasses.dataclass(frozen=True)
class View:
    """One augmented pass over a training split.

    Args:
        augment: call strings of AUGMENTS.
        seed: the seed of the augmentation.
        number: the number of the pass, from 0.
    """

    augment: str
    seed: int
    number: int


@dataclasses.dataclass(frozen=True)
class Reading:
    """A source, and how its rows become the inputs of the prefix.

    Args:
        source: the rows.
        preprocessing: makes inputs of them.
        length_buckets: whether texts are cut to the longest of their batch.
        view: one augmented pass over the rows; None without augmentation.
        tokenized: gives the Lookup of the texts, if the caller has one.
        role: the split of the rows, as progress names it.
    """

    source: Source
    preprocessing: ImagePreprocessing | TextPreprocessing
    length_buckets: bool = False
    view: View | None = None
    tokenized: Callable[[], Lookup | None] | None = None
    role: str = ""

    @property
    def is_text(self) -> bool:
        """Whether the rows are texts, which have lengths."""
        return self.source.modality == "text"


class Outputs:
    """The outputs of a prefix for the rows of a source, computed when they are asked for.

    If all rows are kept already, images are not decoded and texts are not tokenized.

    Args:
        prefix: the model.
        fields: the array of each output.
        reading: the source, and how it is read.
    """

    def __init__(self, prefix: keras.Model, fields: tuple[Field, ...], reading: Reading) -> None:
        self.prefix, self.fields, self.reading = prefix, fields, reading
        self.dtypes = {name: tf.as_dtype(t.dtype) for name, t in prefix.output.items()}

    @functools.cached_property
    def keys(self) -> np.ndarray:
        """The key of each row, uint64[N], which stands for its content."""
        if not self.reading.is_text:
            return self.reading.source.content_hashes()
        texts = self.reading.source.texts("\0")
        starts = range(0, len(texts), KEYS_AT_ONCE)
        return np.concatenate([text_digests(texts[s : s + KEYS_AT_ONCE]) for s in starts])

    @functools.cached_property
    def lookup(self) -> Lookup:
        """The Lookup of the prefix's inputs."""
        reading = self.reading
        if reading.tokenized and (tokenized := reading.tokenized()):
            return tokenized
        return lookups.build_lookup(reading.source, reading.preprocessing, cache_bytes=0)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """The number of tokens of each row, int32[N]; ones for images."""
        if self.reading.is_text:
            return np.asarray(self.lookup.lengths, np.int32)
        return np.ones(len(self.keys), np.int32)

    @property
    def num_bytes(self) -> int:
        """The number of bytes of all rows."""
        return num_bytes(self.fields, self.lengths)

    def namespace(self, fingerprint: str) -> str:
        """The name that stands for prefix, preprocessing and precision, and for a view's rows.

        Args:
            fingerprint: the fingerprint of the prefix.
        """
        kept = [(field.dtype.str, field.shape, field.is_long) for field in self.fields]
        parts = [fingerprint, str(kept), _code_of(self.reading)]
        if self.reading.view:
            parts += [str(self.reading.view), self.keys.tobytes().hex()]
        return hashlib.blake2b("|".join(parts).encode(), digest_size=16).hexdigest()

    def batches(self, missing: np.ndarray) -> Iterator[Batch]:
        """Computes batches and yields (row numbers int64[B], lengths int32[B], name -> array).

        Args:
            missing: bool[N], the rows that are needed; batches without any are left out, except
                that a view is computed whole.
        """
        order, size = self._order(), BATCH_SIZE
        starts = [
            s
            for s in range(0, len(order), size)
            if self.reading.view or missing[order[s : s + size]].any()
        ]
        taken = np.concatenate([order[start : start + size] for start in starts])
        dataset = self._inputs(taken, size)
        step = _traced(self.prefix, self.fields, dataset.element_spec[0])
        with Progress(f"{'features':<10} {self.reading.role}".rstrip(), len(taken)) as progress:
            for inputs, numbers in dataset:
                rows = numbers.numpy()
                outputs = {name: value.numpy() for name, value in step(inputs).items()}
                yield rows, self.lengths[rows], self._flat(outputs, rows)
                progress.add(len(rows))

    def _order(self) -> np.ndarray:
        """The row numbers in the order in which they are computed, int64[N]."""
        view = self.reading.view
        if view:
            return ordering.shuffle_rows(len(self.keys), view.seed, view.number).numpy()
        return np.argsort(self.lengths, kind="stable")

    def _inputs(self, taken: np.ndarray, size: int) -> tf.data.Dataset:
        """A dataset of (inputs, row numbers int64[B]) for the rows `taken`, int64[M]."""
        if self.reading.view:
            return self._augmented(self.reading.view, taken, size)
        with tf.device("CPU:0"):
            cut = pipeline.cut_to_longest if self.reading.length_buckets else None
            return pipeline.prefetch(lookups.batches(tf.constant(taken), self.lookup, size, cut))

    def _augmented(self, view: View, taken: np.ndarray, size: int) -> tf.data.Dataset:
        """The dataset of `_inputs` for an augmented pass, which makes its own order again."""
        reading = self.reading
        dataset = pipeline.build(
            reading.source,
            reading.preprocessing,
            batch_size=size,
            training=True,
            augment=view.augment,
            seed=view.seed,
            first_epoch=view.number,
            reads=self.lookup,
        )
        inputs = dataset.map(lambda inputs, targets, weights: inputs)
        return tf.data.Dataset.zip(inputs, tf.data.Dataset.from_tensor_slices(taken).batch(size))

    def _flat(self, outputs: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays as `shard_store` takes them, long fields without their padding."""
        arrays = {}
        for field in self.fields:
            array = outputs[field.name].astype(field.dtype)
            if array.dtype == np.float16 and not np.isfinite(array).all():
                raise NotCached("an output is beyond float16; use --cache_precision=float32")
            if field.is_long:
                array = array[np.arange(array.shape[1]) < self.lengths[rows][:, None]]
            arrays[field.name] = array
        return arrays


class RowsInMemory:
    """All rows of a prefix's outputs, computed at once and kept in memory only.

    Args:
        outputs: computes them.
    """

    def __init__(self, outputs: Outputs) -> None:
        parts = list(outputs.batches(np.ones(len(outputs.keys), bool)))
        order = np.concatenate([rows for rows, _, _ in parts])
        self.lengths = outputs.lengths
        self._arrays = {}
        for field in outputs.fields:
            flat = np.concatenate([arrays[field.name] for _, _, arrays in parts])
            counts = field.num_steps(self.lengths)
            starts = np.empty(len(order), np.int64)
            starts[order] = shard_store.starts(counts[order])
            self._arrays[field.name] = flat[shard_store.steps(starts, counts)]

    def read_all(self, field: Field) -> np.ndarray:
        """All rows of a field, see `shard_store.Rows.read_all`."""
        return self._arrays[field.name]


@dataclasses.dataclass(frozen=True)
class Table:
    """The outputs of a prefix for all rows of a source.

    Args:
        rows: the rows, in the store or in memory.
        fields: the array of each output.
        dtypes: name -> dtype of the boundary.
        texts: whether the rows have lengths.
        num_bytes: the number of bytes of all rows.
        fits_memory: whether `lookup` holds them in memory; true for RowsInMemory.
    """

    rows: Rows | RowsInMemory
    fields: tuple[Field, ...]
    dtypes: dict[str, tf.DType]
    texts: bool
    num_bytes: int
    fits_memory: bool

    @property
    def lookup(self) -> Lookup:
        """The Lookup that gives the boundary tensors by name."""
        return self._lookup_in_memory() if self.fits_memory else self._lookup_on_disk()

    def arrays(self, dtype: npt.DTypeLike | None = None) -> dict[str, np.ndarray]:
        """Name -> array [N, ...] of the fields whose rows all have the same shape.

        They are memory maps of files, which vanish with them, where `fits_memory` is false.

        Args:
            dtype: dtype of the arrays; that of the field by default.

        Raises:
            StorageError: a file cannot be written.
        """
        fields = [field for field in self.fields if not field.is_long]
        if self.fits_memory:
            arrays = {field.name: self.rows.read_all(field) for field in fields}
            return {
                name: array.astype(dtype or array.dtype, copy=False)
                for name, array in arrays.items()
            }
        return {field.name: self._in_file(field, dtype) for field in fields}

    def _in_file(self, field: Field, dtype: npt.DTypeLike | None) -> np.ndarray:
        """All rows of a field as a memory map."""
        stored, count = cast(Rows, self.rows), len(self.rows.lengths)
        buffer = RowBuffer(0, assets.cache_folder())
        for start in range(0, count, READ_AT_ONCE):
            rows = np.arange(start, min(start + READ_AT_ONCE, count))
            buffer.add(stored.read(field, rows).astype(dtype or field.dtype, copy=False))
        return buffer.array()

    def _lookup_in_memory(self) -> Lookup:
        """A Lookup that holds all rows."""
        tensors = {}
        with tf.device("CPU:0"):
            for field in self.fields:
                values = tf.constant(self.rows.read_all(field))
                if field.is_long:
                    values = tf.RaggedTensor.from_row_lengths(values, self.rows.lengths)
                tensors[field.name] = values

        def inputs_of(rows: tf.Tensor) -> dict[str, tf.Tensor]:
            return {
                name: self._typed(name, tf.gather(values, rows)) for name, values in tensors.items()
            }

        return self._lookup(inputs_of)

    def _lookup_on_disk(self) -> Lookup:
        """A Lookup that reads the rows of a batch when they are needed."""

        def inputs_of(rows: tf.Tensor) -> dict[str, tf.Tensor]:
            return {f.name: self._typed(f.name, self._read(f, rows)) for f in self.fields}

        return self._lookup(inputs_of)

    def _read(self, field: Field, rows: tf.Tensor) -> tf.Tensor:
        stored = cast(Rows, self.rows)
        values = tf.numpy_function(
            lambda wanted: stored.read(field, wanted), [rows], field.dtype, stateful=False
        )
        steps = [None] if field.is_long else []
        return tf.ensure_shape(values, [None, *steps, *field.shape])

    def _typed(self, name: str, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        if isinstance(values, tf.RaggedTensor):
            values = values.to_tensor()
        return tf.cast(values, self.dtypes[name])

    def _lookup(self, inputs_of: Callable[[tf.Tensor], dict[str, tf.Tensor]]) -> Lookup:
        lengths = self.rows.lengths if self.texts else None
        return lookups.Lookup(inputs_of, lengths=lengths, is_cut=True)


def fields_of(prefix: keras.Model, precision: str) -> tuple[Field, ...]:
    """The field of each output of a prefix.

    Args:
        prefix: the model.
        precision: `float16` keeps wider real numbers in half precision.

    Raises:
        NotCached: an output has a shape that rows cannot have.
    """
    fields = []
    for name, tensor in sorted(prefix.output.items()):
        shape = tuple(tensor.shape[1:])
        is_long = len(shape) > 0 and shape[0] is None
        steps = shape[1:] if is_long else shape
        if tensor.shape[0] is not None or None in steps:
            raise NotCached(f"the boundary has the shape {tuple(tensor.shape)}")
        dtype = tf.as_dtype(tensor.dtype)
        narrow = precision == "float16" and dtype.is_floating and dtype.size > 2
        kept = np.dtype(np.float16 if narrow else dtype.as_numpy_dtype)
        fields.append(shard_store.Field(name, kept, steps, is_long))
    return tuple(fields)


def num_bytes(fields: tuple[Field, ...], lengths: np.ndarray) -> int:
    """The number of bytes of rows of these lengths, int32[N]."""
    return sum(field.step_bytes * int(field.num_steps(lengths).sum()) for field in fields)


def _code_of(reading: Reading) -> str:
    """A text that differs if code or settings besides the network make other outputs of a content."""
    kind = reading.preprocessing
    settings = ""
    if isinstance(kind, TextPreprocessing):
        settings = f"{reading.length_buckets} {kind.tokenizer_digest()}"
    modules = [
        batch_norm_folding,
        flat_dense,
        *([texts_preprocessing] if reading.is_text else [images_preprocessing, exif, byte_reading]),
    ]
    code = b"".join(inspect.getsource(module).encode() for module in modules)
    return f"{kind.to_config()} {settings} {hashlib.blake2b(code, digest_size=8).hexdigest()}"


def _traced(
    prefix: keras.Model, fields: tuple[Field, ...], specs: dict[str, tf.TensorSpec]
) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """The prefix in inference mode as one graph for batches of any size, its batch norms folded."""
    prefix = batch_norm_folding.fold(prefix)
    names = {field.name for field in fields}
    wide = {name: tf.TensorSpec([None, *s.shape[1:]], s.dtype) for name, s in specs.items()}

    def step(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with flat_dense.flat_dense():
            outputs = prefix(inputs, training=False)
        return {name: outputs[name] for name in names}

    return tf.function(step, input_signature=[wide], autograph=False)
