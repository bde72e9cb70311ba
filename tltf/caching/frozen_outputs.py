"""The outputs of a frozen prefix for the rows of a source: computed in batches, read as inputs.

Batches are formed from all rows that are wanted, in an order that depends on nothing else, and
a batch that lacks a row is computed whole: a fill that was killed goes on with the same numbers.
"""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tltf.caching import shard_store
from tltf.caching.shard_store import Field
from tltf.console.progress import Progress
from tltf.data import lookups, ordering, pipeline
from tltf.data.images import exif
from tltf.data.images import preprocessing as images_preprocessing
from tltf.data.lookups import Lookup
from tltf.data.source import digest
from tltf.data.texts import preprocessing
from tltf.graphs import batch_norm_folding

BATCH_SIZE = 64
"""Examples that the prefix takes together."""


class NotCached(Exception):
    """Why the outputs of frozen layers are not kept; one line."""


@dataclasses.dataclass(frozen=True)
class View:
    """One augmented pass over a training split.

    Args:
        augment: call strings of AUGMENTS.
        seed: of the augmentation.
        number: of the pass.
    """

    augment: str
    seed: int
    number: int


@dataclasses.dataclass(frozen=True)
class Reading:
    """A Source, and how its rows become the inputs of the prefix.

    Args:
        source: Source.
        preprocessing: ImagePreprocessing or TextPreprocessing.
        length_buckets: whether texts are cut to the longest of their batch.
        view: View; None without augmentation.
        tokenized: () -> lookups.Lookup of the texts, where the caller has one.
    """

    source: Any
    preprocessing: Any
    length_buckets: bool = False
    view: Any = None
    tokenized: Callable | None = None

    @property
    def is_text(self) -> bool:
        """Whether the rows are texts, which have lengths."""
        return self.source.modality == "text"


class Outputs:
    """What a prefix gives for the rows of a source.

    Where all rows are kept already their contents are not opened and texts not tokenized.

    Args:
        prefix: keras.Model.
        fields: tuple of shard_store.Field.
        reading: Reading.
    """

    def __init__(self, prefix: Any, fields: tuple[Field, ...], reading: Reading) -> None:
        self.prefix, self.fields, self.reading = prefix, fields, reading
        self.dtypes = {name: tf.as_dtype(t.dtype) for name, t in prefix.output.items()}

    @functools.cached_property
    def keys(self) -> Any:
        """uint64[N], of each row's content."""
        if not self.reading.is_text:
            return self.reading.source.content_hashes()
        texts = self.reading.source.texts("\0")
        keys = (digest(text.encode("utf-8", "surrogatepass")) for text in texts)
        return np.fromiter(keys, np.uint64, count=len(texts))

    @functools.cached_property
    def lookup(self) -> Lookup:
        """`lookups.Lookup` of the prefix's inputs."""
        reading = self.reading
        if reading.tokenized:
            return reading.tokenized()
        return lookups.lookup(reading.source, reading.preprocessing, cache_bytes=0)

    @functools.cached_property
    def lengths(self) -> Any:
        """int32[N] tokens of each row; ones for images."""
        if self.reading.is_text:
            return np.asarray(self.lookup.lengths, np.int32)
        return np.ones(len(self.keys), np.int32)

    @property
    def num_bytes(self) -> Any:
        """Bytes of all rows."""
        return num_bytes(self.fields, self.lengths)

    def namespace(self, fingerprint: str) -> str:
        """A name for the prefix with its preprocessing and precision, and for a view's rows.

        Args:
            fingerprint: of the prefix.
        """
        kept = [(field.dtype.str, field.shape, field.is_long) for field in self.fields]
        parts = [fingerprint, str(kept), _code_of(self.reading)]
        if self.reading.view:
            parts += [str(self.reading.view), self.keys.tobytes().hex()]
        return hashlib.blake2b("|".join(parts).encode(), digest_size=16).hexdigest()

    def batches(self, missing: np.ndarray) -> Iterator[Any]:
        """Yields (row numbers int64[B], lengths int32[B], name -> array) of the batches to compute.

        Args:
            missing: bool[N]; batches without one are left out. A view is computed whole.
        """
        order, size = self._order(), BATCH_SIZE
        starts = [s for s in range(0, len(order), size)
                  if self.reading.view or missing[order[s : s + size]].any()]  # fmt: skip
        taken = np.concatenate([order[start : start + size] for start in starts])
        dataset = self._inputs(taken, size)
        step = _traced(self.prefix, self.fields, dataset.element_spec[0])
        with Progress("frozen layers", len(taken)) as progress:
            for inputs, numbers in dataset:
                rows = numbers.numpy()
                outputs = {name: value.numpy() for name, value in step(inputs).items()}
                yield rows, self.lengths[rows], self._flat(outputs, rows)
                progress.add(len(rows))

    def _order(self) -> np.ndarray:
        """int64[N]: the order of computing."""
        view = self.reading.view
        if view:
            return ordering.shuffle_rows(len(self.keys), view.seed, view.number).numpy()
        return np.argsort(self.lengths, kind="stable")

    def _inputs(self, taken: np.ndarray, size: int) -> tf.data.Dataset:
        """tf.data.Dataset of (inputs, int64[B] row numbers)."""
        if self.reading.view:
            return self._augmented(taken, size)
        with tf.device("CPU:0"):
            cut = pipeline.cut_to_longest if self.reading.length_buckets else None
            return pipeline.prefetch(lookups.batches(tf.constant(taken), self.lookup, size, cut))

    def _augmented(self, taken: np.ndarray, size: int) -> tf.data.Dataset:
        reading, view = self.reading, self.reading.view
        dataset = pipeline.build(
            reading.source, reading.preprocessing, batch_size=size, training=True,
            augment=view.augment, seed=view.seed, first_epoch=view.number,
            reads=self.lookup,
        )  # fmt: skip
        inputs = dataset.map(lambda inputs, targets, weights: inputs)
        return tf.data.Dataset.zip(inputs, tf.data.Dataset.from_tensor_slices(taken).batch(size))

    def _flat(self, outputs: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays as row_store takes them: long fields without their padding."""
        arrays = {}
        for field in self.fields:
            array = outputs[field.name].astype(field.dtype)
            if array.dtype == np.float16 and not np.isfinite(array).all():
                raise NotCached("values beyond float16: --cache_precision=float32")
            if field.is_long:
                array = array[np.arange(array.shape[1]) < self.lengths[rows][:, None]]
            arrays[field.name] = array
        return arrays


class Held:
    """Rows in memory only, with the interface of shard_store.Rows.

    Args:
        outputs: Outputs.
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

    def whole(self, field: Field) -> Any:
        """All rows, see shard_store.Rows."""
        return self._arrays[field.name]


@dataclasses.dataclass(frozen=True)
class Table:
    """The outputs of a prefix for all rows of a source.

    Args:
        rows: shard_store.Rows or alike.
        fields: tuple of shard_store.Field.
        dtypes: name -> tf.DType of the boundary.
        texts: whether the rows have lengths.
        num_bytes: of all rows.
        fits_memory: whether `lookup` holds them in memory.
    """

    rows: Any
    fields: tuple
    dtypes: dict
    texts: bool
    num_bytes: int
    fits_memory: bool

    @property
    def lookup(self) -> Lookup:
        """`lookups.Lookup` that gives the boundary tensors by name."""
        return self.in_memory() if self.fits_memory else self.on_disk()

    def arrays(self) -> Any:
        """name -> array [N, ...] of the fields whose rows all have one shape."""
        return {f.name: self.rows.whole(f) for f in self.fields if not f.is_long}

    def in_memory(self) -> Lookup:
        """A Lookup that holds all rows."""
        tensors = {}
        with tf.device("CPU:0"):
            for field in self.fields:
                values = tf.constant(self.rows.whole(field))
                if field.is_long:
                    values = tf.RaggedTensor.from_row_lengths(values, self.rows.lengths)
                tensors[field.name] = values

        def inputs_of(rows: tf.Tensor) -> dict[str, tf.Tensor]:
            return {name: self._typed(name, tf.gather(values, rows))
                    for name, values in tensors.items()}  # fmt: skip

        return self._lookup(inputs_of)

    def on_disk(self) -> Lookup:
        """A Lookup that reads the rows of a batch when they are needed."""

        def inputs_of(rows: tf.Tensor) -> dict[str, tf.Tensor]:
            return {f.name: self._typed(f.name, self._read(f, rows)) for f in self.fields}

        return self._lookup(inputs_of)

    def _read(self, field: Field, rows: tf.Tensor) -> Any:
        values = tf.numpy_function(
            lambda wanted: self.rows.read(field, wanted), [rows], field.dtype, stateful=False
        )
        steps = [None] if field.is_long else []
        return tf.ensure_shape(values, [None, *steps, *field.shape])

    def _typed(self, name: str, values: Any) -> tf.Tensor:
        if isinstance(values, tf.RaggedTensor):
            values = values.to_tensor()
        return tf.cast(values, self.dtypes[name])

    def _lookup(self, inputs_of: Callable[..., Any]) -> Lookup:
        lengths = self.rows.lengths if self.texts else None
        return lookups.Lookup(inputs_of, lengths=lengths, is_cut=True)


def fields_of(prefix: Any, precision: str) -> tuple[Field, ...]:
    """The shard_store.Field of each output; NotCached for shapes that rows cannot have."""
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


def num_bytes(fields: tuple[Field, ...], lengths: np.ndarray) -> Any:
    """Bytes of rows of these lengths, int32[N]."""
    return sum(field.step_bytes * int(field.num_steps(lengths).sum()) for field in fields)


def _code_of(reading: Reading) -> str:
    """How contents become outputs, beside the network: code and settings."""
    kind = reading.preprocessing
    settings = f"{reading.length_buckets} {kind.tokenizer_digest()}" if reading.is_text else ""
    modules = [
        batch_norm_folding,
        *([preprocessing] if reading.is_text else [images_preprocessing, exif]),
    ]
    code = b"".join(inspect.getsource(module).encode() for module in modules)
    return f"{kind.to_config()} {settings} {hashlib.blake2b(code, digest_size=8).hexdigest()}"


def _traced(prefix: Any, fields: tuple[Field, ...], specs: dict[str, tf.TensorSpec]) -> Any:
    """The prefix in inference mode as one graph for batches of any size, batch norms folded."""
    prefix = batch_norm_folding.fold(prefix)
    names = {field.name for field in fields}
    wide = {name: tf.TensorSpec([None, *s.shape[1:]], s.dtype) for name, s in specs.items()}

    def step(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = prefix(inputs, training=False)
        return {name: outputs[name] for name in names}

    return tf.function(step, input_signature=[wide], autograph=False)
