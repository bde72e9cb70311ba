"""How row numbers of a Source become a network's inputs: tokenized, decoded, each once."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

TOKENIZED_AT_ONCE = 4096
"""Texts that the tokenizer is given in one call."""
DECODED_AT_ONCE = 64
"""Images that are decoded together when all are kept."""


@dataclasses.dataclass(frozen=True)
class Lookup:
    """How row numbers become inputs.

    Args:
        inputs_of: int64[B] -> inputs by name, or int64[] -> image if `is_single`.
        is_single: one row at a time, in parallel, because files are read or decoded.
        lengths: int32[N] tokens a row; None for images.
    """

    inputs_of: Callable
    is_single: bool = False
    lengths: np.ndarray | None = None


def lookup(source, preprocessing, cache_bytes):
    """The Lookup of a Source.

    Args:
        source: Source.
        preprocessing: ImagePreprocessing or TextPreprocessing.
        cache_bytes: images are decoded once if all fit into so many bytes as float32.
    """
    column = source.column
    if column.kind == "text":
        return _text_lookup(column, preprocessing)
    image_bytes = 4 * preprocessing.size_px**2 * preprocessing.channels
    fits = image_bytes * len(column.values) <= cache_bytes
    return _cached_images(column, preprocessing) if fits else _images(column, preprocessing)


def _text_lookup(column, preprocessing):
    arrays = {
        name: tf.constant(array) for name, array in tokenize(column.values, preprocessing).items()
    }
    mask = arrays.get("padding_mask")
    token_ids = arrays["token_ids"]
    is_token = tf.cast(token_ids != preprocessing.pad_id if mask is None else mask, tf.int32)
    lengths = tf.reduce_sum(is_token, axis=1)

    def inputs_of(rows):
        return {name: tf.gather(array, rows) for name, array in arrays.items()}

    return Lookup(inputs_of, lengths=lengths)


def _images(column, preprocessing):
    """Each image is read, decoded and resized whenever it is needed."""
    if column.kind == "array":
        array = tf.constant(column.values)
        return Lookup(lambda rows: {"image": preprocessing.resize(tf.gather(array, rows))})
    if column.kind == "path":
        values = tf.constant([os.fsencode(path) for path in column.values])
        return Lookup(lambda row: preprocessing(tf.io.read_file(values[row])), is_single=True)
    contents = tf.constant(column.values)
    return Lookup(lambda row: preprocessing(contents[row]), is_single=True)


def _cached_images(column, preprocessing):
    """All images are decoded and resized now, once."""
    lookup = _images(column, preprocessing)
    count = len(column.values)
    shape = (count, preprocessing.size_px, preprocessing.size_px, preprocessing.channels)
    images = np.empty(shape, np.float32)
    rows = tf.range(count, dtype=tf.int64)
    end = 0
    for inputs, numbers in batches(rows, lookup, DECODED_AT_ONCE).prefetch(tf.data.AUTOTUNE):
        start, end = end, end + len(numbers)
        images[start:end] = inputs["image"].numpy()
    tensor = tf.constant(images)
    return Lookup(lambda rows: {"image": tf.gather(tensor, rows)})


def batches(rows, lookup, batch_size):
    """Batches of (inputs, row numbers)."""
    numbers = tf.data.Dataset.from_tensor_slices(rows)
    if not lookup.is_single:
        return numbers.batch(batch_size).map(
            lambda batch: (lookup.inputs_of(batch), batch), num_parallel_calls=tf.data.AUTOTUNE
        )
    singles = numbers.map(
        lambda row: ({"image": lookup.inputs_of(row)}, row), num_parallel_calls=tf.data.AUTOTUNE
    )
    return singles.batch(batch_size)


def tokenize(texts, preprocessing):
    """name -> array [N, length] of a list of str, a few thousand at a time."""
    in_graph = tf.function(
        preprocessing.__call__, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    chunks = [
        in_graph(texts[start : start + TOKENIZED_AT_ONCE])
        for start in range(0, len(texts), TOKENIZED_AT_ONCE)
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
