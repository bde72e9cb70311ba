"""What the structure calls whole, TensorFlow decodes."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from tltf.data.images import preprocessing
from tltf.data.images.structure import coded_bytes

PICTURE = Image.fromarray(load_sample_image("china.jpg")[:240, :320])
DECODE = tf.function(
    preprocessing.ImagePreprocessing(1).decode, input_signature=[tf.TensorSpec([], tf.string)]
)
KINDS = {
    "baseline": ("RGB", "JPEG", {"quality": 90}),
    "optimized": ("RGB", "JPEG", {"quality": 75, "optimize": True, "subsampling": 0}),
    "progressive": ("RGB", "JPEG", {"progressive": True}),
    "restarts": ("RGB", "JPEG", {"restart_marker_rows": 1}),
    "grey": ("L", "JPEG", {}),
    "png": ("RGB", "PNG", {}),
    "palette": ("P", "PNG", {"transparency": 0}),
}


def encoded(kind):
    mode, format, settings = KINDS[kind]
    file = io.BytesIO()
    PICTURE.convert(mode).save(file, format, **settings)
    return file.getvalue(), format


def decodes(contents):
    try:
        DECODE(tf.constant(contents))
    except tf.errors.OpError:
        return False
    return True


def damaged(contents, rng):
    """One kind of damage a call, behind the first bytes, which show the format."""
    place, length = int(rng.integers(20, len(contents))), int(rng.integers(1, 2000))
    before, piece, after = contents[:place], contents[place:][:length], contents[place:][length:]
    header = int(rng.integers(20, 620))
    return [
        before,
        before + after,
        before + bytes(len(piece)) + after,
        before + rng.bytes(len(piece)) + after,
        before + bytes([piece[0] ^ int(rng.integers(1, 256))]) + piece[1:] + after,
        contents[:header] + rng.bytes(1) + contents[header + 1 :],
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_known(kind):
    contents, format = encoded(kind)
    assert 0.5 * len(contents) < coded_bytes(contents, format) < len(contents)
    assert coded_bytes(contents + b"behind the end", format)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_called_whole_can_be_decoded(kind):
    contents, format = encoded(kind)
    rng = np.random.default_rng(0)
    num_damaged = num_missed = 0
    for _ in range(40):
        for changed in damaged(contents, rng):
            is_damaged = not decodes(changed)
            num_damaged += is_damaged
            num_missed += is_damaged and coded_bytes(changed, format) > 0
    assert num_damaged > 60
    assert num_missed <= 0.01 * num_damaged


@pytest.mark.parametrize("kind", KINDS)
def test_cut_files_are_never_called_whole(kind):
    contents, format = encoded(kind)
    for end in range(len(contents) - 1):
        if end < 700 or end % 97 == 0 or end > len(contents) - 20:
            assert not coded_bytes(contents[:end], format)


def test_other_formats_are_unsure():
    assert coded_bytes(b"GIF89a", "GIF") == coded_bytes(b"", "JPEG") == 0
    file = io.BytesIO()
    PICTURE.convert("CMYK").save(file, "JPEG")
    assert coded_bytes(file.getvalue(), "JPEG") == 0
