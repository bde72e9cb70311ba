"""Thumbnails decode to the picture they were made of."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tltf.data.images import small_pictures
from tltf.evaluation.report import pictures


def decoded(uri):
    header, content = uri.split(",", 1)
    assert header in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def encoded(array, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3)])
def test_small_pictures_are_enlarged_by_whole_pixels(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = decoded(pictures.data_uri(pixels))
    assert image.size == (160, 160)
    expected = pixels.reshape(8, 8, -1).repeat(20, axis=0).repeat(20, axis=1)
    np.testing.assert_array_equal(np.asarray(image).reshape(160, 160, -1), expected)


def test_large_pictures_shrink_and_keep_their_shape(tmp_path):
    pixels = np.zeros((300, 600, 3), np.uint8)
    pixels[:, 300:] = 200
    path = tmp_path / "image.png"
    path.write_bytes(encoded(pixels))
    for picture in (pixels, encoded(pixels), path, str(path)):
        image = decoded(pictures.data_uri(picture))
        assert image.size == (160, 80)
        assert np.asarray(image)[40, 150].mean() == pytest.approx(200, abs=3)


def test_exif_orientation_is_followed():
    pixels = np.zeros((100, 200, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decoded(pictures.data_uri(encoded(pixels, "JPEG", exif=exif)))
    assert image.size == (80, 160)


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"no image",
        encoded(np.zeros((50, 50, 3), np.uint8))[:60],
        "/no/such/file.png",
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 7), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        None,
    ],
)
def test_what_is_no_picture_gives_nothing(picture):
    assert pictures.data_uri(picture) == ""


def test_a_picture_that_is_too_large_is_left_out(monkeypatch):
    monkeypatch.setattr(small_pictures, "MAX_PIXELS", 99)
    assert pictures.data_uri(np.zeros((10, 10), np.uint8)) == ""
