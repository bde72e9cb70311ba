"""Images are decoded once where they fit, and what is kept is exactly what was decoded."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tltf.data import lookups
from tltf.data.images import preprocessing
from tltf.data.source import Column
from tltf.data.sources.samples import array_source
from tltf.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 20, 24, 3), np.uint8)
PREPROCESSING = preprocessing.ImagePreprocessing(16)
NEEDED = 9 * 16 * 16 * 3


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / f"{number}.jpg") for number in range(len(PIXELS))]
    for path, pixels in zip(paths, PIXELS, strict=True):
        Image.fromarray(pixels).save(path)
    made = array_source("made", PIXELS, np.zeros(len(PIXELS), np.int32))
    return dataclasses.replace(made, fields={"image": Column("path", paths)})


def found(lookup, rows):
    batches = lookups.batches(tf.constant(rows, tf.int64), lookup, 4)
    return np.concatenate([inputs["image"] for inputs, _ in batches])


def test_kept_images_are_those_decoded_each_time(files):
    rows = [8, 0, 3, 3, 5]
    kept = lookups.build_lookup(files, PREPROCESSING, NEEDED)
    each_time = lookups.build_lookup(files, PREPROCESSING, NEEDED - 1)
    assert (kept.is_single, each_time.is_single) == (False, True)
    first, second = found(kept, rows), found(each_time, rows)
    assert first.dtype == second.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    contents = tf.constant([open(files.column.values[row], "rb").read() for row in rows])  # noqa: SIM115
    np.testing.assert_array_equal(first, PREPROCESSING.decode_batch(contents))


@pytest.mark.parametrize("cut", [4, 16])
def test_arrays_are_not_kept_larger_or_twice(cut):
    values = lookups.align(PIXELS[:, :cut, :cut])
    small = array_source("made", values, np.zeros(len(PIXELS), np.int32))
    rows = [2, 1]
    lookup = lookups.build_lookup(small, PREPROCESSING, 2**31)
    held = [cell.cell_contents for cell in lookup.inputs_of.__closure__]
    (tensor,) = [item for item in held if tf.is_tensor(item)]
    expected = PREPROCESSING.resize(tf.constant(values[rows]))
    np.testing.assert_array_equal(found(lookup, rows), expected)
    values[0, 0, 0] = 255 - values[0, 0, 0]
    np.testing.assert_array_equal(tensor, values)


def test_files_that_change_after_the_scan_are_named(files):
    with open(files.column.values[6], "wb") as file:
        file.write(b"\xff\xd8\xffnothing")
    with pytest.raises(DataError, match=r"the image \S+ is a damaged JPEG file"):
        lookups.build_lookup(files, PREPROCESSING, NEEDED)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16])
@pytest.mark.parametrize("shape", [(7,), (5, 3, 2), (0, 4)])
def test_tensors_on_arrays_have_their_memory(dtype, shape):
    array = lookups.new_array(shape, dtype)
    array[...] = 3
    tensor = lookups.view_as_tensor(array)
    assert (tensor.shape, tensor.dtype) == (shape, dtype)
    assert tensor.device.endswith("CPU:0")
    np.testing.assert_array_equal(tensor, array)
    if array.size:
        array[...] = 4
        np.testing.assert_array_equal(tensor, array)


def test_arrays_that_tensors_cannot_share_are_copied():
    array = np.arange(1000, dtype=np.uint8)
    fixed = array.copy()
    fixed.flags.writeable = False
    for odd in (array[1:], array[::2], fixed):
        np.testing.assert_array_equal(lookups.view_as_tensor(odd), odd)
        np.testing.assert_array_equal(tf.gather(lookups.view_as_tensor(odd), [5, 2]), odd[[5, 2]])


class Letters:
    """A preprocessing whose tokens are the bytes of a text."""

    fields, pad_id = ("text",), 0

    def __init__(self, inputs):
        self.inputs = inputs

    def graph_function(self, texts):
        ragged = tf.strings.unicode_decode(tf.constant(texts), "UTF-8")[:, :6]
        ids = ragged.to_tensor(shape=[None, 6])
        return {name: ids if name == "token_ids" else ids > 0 for name in self.inputs}


@pytest.mark.parametrize("inputs", [("token_ids",), ("token_ids", "padding_mask")])
@pytest.mark.parametrize("at_once", [1, 7, 20, 4096])
def test_texts_are_tokenized_once_in_their_order(monkeypatch, inputs, at_once):
    monkeypatch.setattr(lookups, "TOKENIZED_AT_ONCE", at_once)
    texts = ["abc" * (row % 4) + "x" * (row % 3) for row in range(20)]
    source = types.SimpleNamespace(name="made", fields={"text": None}, text_columns=lambda: [texts])
    lookup = lookups._text_lookup(source, Letters(inputs))
    expected = Letters(inputs).graph_function(texts)
    np.testing.assert_array_equal(lookup.lengths, [min(len(text), 6) for text in texts])
    assert lookup.lengths.dtype == np.int32
    rows = [19, 0, 5, 5, 8]
    found = lookup.inputs_of(tf.constant(rows, tf.int64))
    assert list(found) == list(inputs)
    for name, tensor in found.items():
        assert tensor.dtype == expected[name].dtype
        np.testing.assert_array_equal(tensor, tf.gather(expected[name], rows))
