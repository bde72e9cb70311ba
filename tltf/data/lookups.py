"""Lookups, which turn row numbers of a Source into a network's inputs, tokenized or decoded."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tltf.console.progress import SHOWN_AFTER_S, Progress
from tltf.data.images import files
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.several_preprocessings import SeveralImages
from tltf.data.source import Column, Source
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import DataError, FlagError

TOKENIZED_AT_ONCE = 4096
"""The number of texts that the tokenizer takes in one call."""
DECODED_AT_ONCE = 64
"""The number of images that are decoded together when all are kept."""
MAX_GROWTH = 4
"""The resized copies of an array are kept if they take at most so many times its own bytes.

Resizing an image from 28 to 96 pixels takes about .1 ms, and a small network's pass over 96 pixels
about 3 ms; the resized copies would take 35 times the memory.
"""
ALIGNMENT = 64
"""The alignment of the memory of TensorFlow's tensors, in bytes."""
Inputs = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Lookup:
    """What turns row numbers into inputs.

    Args:
        inputs_of: int64[B] -> inputs by name; int64[] -> those of one row, without the axis B, if
            `is_single`.
        is_single: whether rows are taken one at a time, in parallel, because files are read or decoded.
        lengths: int32[N], tokens per row; None for images.
        is_cut: whether batches are no longer than their longest row.
        change_batch: (inputs of a batch, int64[B]) -> its inputs, applied when rows are batched.
    """

    inputs_of: Callable[[tf.Tensor], Any]
    is_single: bool = False
    lengths: np.ndarray | None = None
    is_cut: bool = False
    change_batch: Callable[[Inputs, tf.Tensor], Inputs] | None = None


def build_lookup(
    source: Source, preprocessing: ImagePreprocessing | TextPreprocessing, cache_bytes: int
) -> Lookup:
    """The Lookup of a Source.

    Args:
        source: the rows.
        preprocessing: what makes their inputs.
        cache_bytes: images are decoded once if all fit into so many bytes, at one byte per channel of
            a pixel; small arrays are resized each time, because that is cheap.

    Raises:
        DataError: an image that is to be kept cannot be decoded; the error names it.
    """
    if isinstance(preprocessing, TextPreprocessing):
        return _text_lookup(source, preprocessing)
    column = source.column
    if isinstance(preprocessing, SeveralImages):
        return _image_lookup(column, preprocessing)
    needed = preprocessing.size_px**2 * preprocessing.channels * len(column.values)
    if column.kind == "array":
        cache_bytes = min(cache_bytes, MAX_GROWTH * np.asarray(column.values).nbytes)
    if needed > cache_bytes or _is_final(column, preprocessing):
        return _image_lookup(column, preprocessing)
    return _kept_image_lookup(source, preprocessing)


def _text_lookup(source: Source, preprocessing: TextPreprocessing) -> Lookup:
    fields = preprocessing.fields
    if len(source.fields) != len(fields):
        what = f"has {len(source.fields)} texts per row, the model takes {len(fields)}"
        raise FlagError(
            f"{source.name} {what}: {', '.join(fields)}",
            flag="data",
            fix=f"text={'|'.join(fields)}",
        )
    tokenized = tokenize(source.text_columns(), preprocessing)
    lengths = _count_tokens(tokenized, preprocessing.pad_id)
    arrays = {name: view_as_tensor(array) for name, array in tokenized.items()}

    def inputs_of(rows: tf.Tensor) -> Inputs:
        return {name: tf.gather(array, rows) for name, array in arrays.items()}

    return Lookup(inputs_of, lengths=lengths)


def _image_lookup(column: Column, preprocessing: ImagePreprocessing) -> Lookup:
    """A Lookup that reads, decodes and resizes an image whenever it is needed."""
    if column.kind == "array":
        array = view_as_tensor(align(np.asarray(column.values)))
        return Lookup(lambda rows: preprocessing.read_array(tf.gather(array, rows)))
    if column.kind == "path":
        values = tf.constant([os.fsencode(path) for path in column.values])
        return Lookup(lambda row: preprocessing.read(tf.io.read_file(values[row])), is_single=True)
    contents = tf.constant(column.values)
    return Lookup(lambda row: preprocessing.read(contents[row]), is_single=True)


def _is_final(column: Column, preprocessing: ImagePreprocessing) -> bool:
    """Whether these are decoded images that resizing would not change."""
    side = preprocessing.size_px
    shape = (side, side, preprocessing.channels)
    return column.kind == "array" and np.shape(column.values)[1:] == shape


def _kept_image_lookup(source: Source, preprocessing: ImagePreprocessing) -> Lookup:
    """A Lookup of images that are decoded and resized once, now, and kept as uint8, which is exact."""
    lookup = _image_lookup(source.column, preprocessing)
    count = len(source)
    side = preprocessing.size_px
    pixels = new_array((count, side, side, preprocessing.channels), np.uint8)
    in_bytes = batches(tf.range(count, dtype=tf.int64), lookup, DECODED_AT_ONCE).map(
        lambda inputs, rows: tf.cast(inputs["image"], tf.uint8)
    )
    end = 0
    with Progress("decoding", count, "images", after_s=SHOWN_AFTER_S) as progress:
        for batch in _read_batches(in_bytes.prefetch(2), source):
            start, end = end, end + len(batch)
            pixels[start:end] = batch
            progress.add(len(batch))
    tensor = view_as_tensor(pixels)
    return Lookup(lambda rows: {"image": tf.cast(tf.gather(tensor, rows), tf.float32)})


def _read_batches(dataset: tf.data.Dataset, source: Source) -> Iterator[np.ndarray]:
    """The arrays of a dataset of `source`; DataError names an image that cannot be decoded."""
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:
        raise find_unreadable(source) or error from error


def find_unreadable(source: Source) -> DataError | None:
    """The DataError for the first image that cannot be read any more; None if all can be read."""
    if source.column.kind not in ("path", "bytes"):
        return None
    for row_id, value in zip(source.ids, source.column.values, strict=True):
        reason = files.find_fault(value)
        if reason:
            return DataError(
                f"the image {row_id} {reason}",
                flag="data",
                fix="start again, and do not change the data during a run",
            )
    return None


def new_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
    """A new array of arbitrary contents, which `view_as_tensor` takes without a copy."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def align(array: np.ndarray) -> np.ndarray:
    """`array`, or a copy of it where `view_as_tensor` could not take it as it is."""
    if array.flags.c_contiguous and array.flags.writeable and not array.ctypes.data % ALIGNMENT:
        return array
    copy = new_array(array.shape, array.dtype)
    copy[...] = array
    return copy


def view_as_tensor(array: np.ndarray) -> tf.Tensor:
    """A tensor of the CPU on the memory of an array, which must not be changed any more.

    `tf.constant` would copy twice. TensorFlow ends the process if memory is not aligned.

    Args:
        array: a result of `new_array` or `align`; others are copied where it is needed.
    """
    if not array.size:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(align(array).__dlpack__())


def batches(
    rows: tf.Tensor,
    lookup: Lookup,
    batch_size: int,
    change: Callable[[Inputs, tf.Tensor], Any] | None = None,
) -> tf.data.Dataset:
    """Batches of (inputs, row numbers), or of what `change` makes of them.

    Args:
        rows: int64[N], row numbers in their order.
        lookup: what makes their inputs.
        batch_size: rows per batch.
        change: (inputs, int64[B] row numbers) -> elements of the result.
    """
    change = change or (lambda inputs, batch: (inputs, batch))
    numbers = tf.data.Dataset.from_tensor_slices(rows)
    # AutoGraph would rewrite the source of all callees, which takes longer than reading small data
    plain = tf.autograph.experimental.do_not_convert
    inputs_of, change = plain(lookup.inputs_of), plain(_chain(lookup.change_batch, change))
    if not lookup.is_single:  # one map, because each costs more than the lookup of a small batch
        return numbers.batch(batch_size).map(
            lambda batch: change(inputs_of(batch), batch), num_parallel_calls=tf.data.AUTOTUNE
        )
    singles = numbers.map(lambda row: (inputs_of(row), row), num_parallel_calls=tf.data.AUTOTUNE)
    return singles.batch(batch_size).map(change, num_parallel_calls=tf.data.AUTOTUNE)


def _chain(
    first: Callable[[Inputs, tf.Tensor], Inputs] | None, change: Callable[[Inputs, tf.Tensor], Any]
) -> Callable[[Inputs, tf.Tensor], Any]:
    """`change` of what `first` makes of the inputs."""
    return change if first is None else lambda inputs, batch: change(first(inputs, batch), batch)


def join_lookups(
    own: Lookup,
    renamed: dict[str, str],
    other: Lookup,
    cut: Callable[[Inputs, tf.Tensor], tuple[Inputs, tf.Tensor]] | None = None,
) -> Lookup:
    """A Lookup of some inputs under new names, beside the inputs of another Lookup.

    Args:
        own: the Lookup of which some inputs are taken.
        renamed: new name -> name of an input of `own`; other inputs are left out.
        other: a Lookup that takes batches.
        cut: (inputs, rows) -> (inputs, rows), applied to the inputs of `own`.
    """

    def change_batch(inputs: Inputs, batch: tf.Tensor) -> Inputs:
        if cut:
            inputs, _ = cut(inputs, batch)
        kept = {new: inputs[old] for new, old in renamed.items()}
        return kept | other.inputs_of(batch)

    return dataclasses.replace(own, change_batch=change_batch, is_cut=own.is_cut or cut is not None)


def tokenize(
    columns: Sequence[Sequence[str]], preprocessing: TextPreprocessing
) -> dict[str, np.ndarray]:
    """Input name -> array [N, length] of the texts of each field, as `new_array` makes it.

    A few thousand rows are tokenized at a time, and written where they stay: chunks that are put
    together at the end, and tensors that are copies, took four times the memory.
    """
    count = len(columns[0])
    arrays: dict[str, np.ndarray] = {}
    for start in range(0, count, TOKENIZED_AT_ONCE):
        part = slice(start, start + TOKENIZED_AT_ONCE)
        chunk = preprocessing.graph_function(*(texts[part] for texts in columns))
        for name, tensor in chunk.items():
            if name not in arrays:
                shape = (count, *tensor.shape[1:])
                arrays[name] = new_array(shape, tensor.dtype.as_numpy_dtype)
            arrays[name][part] = tensor
    return arrays


def _count_tokens(tokenized: dict[str, np.ndarray], pad_id: int) -> np.ndarray:
    """int32[N], the number of tokens of each row of what `tokenize` gives."""
    mask, ids = tokenized.get("padding_mask"), tokenized["token_ids"]
    lengths = np.empty(len(ids), np.int32)
    for start in range(0, len(ids), TOKENIZED_AT_ONCE):
        part = slice(start, start + TOKENIZED_AT_ONCE)
        is_token = ids[part] != pad_id if mask is None else mask[part]
        lengths[part] = np.count_nonzero(is_token, axis=1)
    return lengths
