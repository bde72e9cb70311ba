"""Sides that headers claim, beside Pillow's reading of the same files."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tltf.data.images import headers

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 301, 3), np.uint8))
IN_GRAPH = tf.function(headers.num_pixels, input_signature=[tf.TensorSpec([], tf.string)])


def encoded(kind, picture=PICTURE, **settings):
    file = io.BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\x00\x00MM"}),
    ],
)
def test_they_are_those_that_pillow_reads(kind, settings):
    contents = encoded(kind, **settings)
    width, height = Image.open(io.BytesIO(contents)).size
    assert IN_GRAPH(contents).numpy() == width * height == 37 * 301


def test_a_bitmap_from_the_top_has_a_negative_height():
    contents = bytearray(encoded("BMP"))
    contents[22:26] = (-37).to_bytes(4, "little", signed=True)
    assert IN_GRAPH(bytes(contents)).numpy() == 37 * 301


def test_large_sides_do_not_overflow():
    contents = bytearray(encoded("PNG"))
    contents[16:24] = (100_000).to_bytes(4, "big") * 2
    assert IN_GRAPH(bytes(contents)).numpy() == 1e10


def test_a_jpeg_that_ends_before_its_sides_is_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError):
        IN_GRAPH(encoded("JPEG")[:20])


@pytest.mark.parametrize("contents", [b"", b"\xff", b"RIFF", b"no image", bytes(40)])
def test_other_bytes_claim_nothing(contents):
    assert IN_GRAPH(contents).numpy() == 0
