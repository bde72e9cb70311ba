import io
import pathlib

import numpy as np
import pytest
import skimage.data
import sklearn.datasets
import tensorflow as tf
from PIL import Image, ImageOps

from tltf.data.images import exif
from tltf.data.images import preprocessing as images_preprocessing

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
PICTURE = Image.fromarray(PIXELS)
IN_GRAPH = tf.function(
    images_preprocessing.ImagePreprocessing(32).decode,
    input_signature=[tf.TensorSpec([], tf.string)],
)


def encode(picture, format, **settings):
    encoded = io.BytesIO()
    picture.save(encoded, format, **settings)
    return encoded.getvalue()


def by_pillow(contents):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))).convert("RGB"))


@pytest.mark.parametrize(
    ("mode", "format", "settings"),
    [
        ("RGB", "JPEG", {}),
        ("RGB", "JPEG", {"progressive": True, "quality": 95}),
        ("L", "JPEG", {}),
        ("CMYK", "JPEG", {}),
        ("RGB", "PNG", {}),
        ("L", "PNG", {}),
        ("P", "PNG", {}),
        ("1", "PNG", {}),
        ("RGB", "BMP", {}),
        ("L", "BMP", {}),
        ("P", "BMP", {}),
        ("P", "GIF", {}),
        ("RGB", "WEBP", {"lossless": True}),
    ],
)
def test_formats_give_pillows_pixels(mode, format, settings):
    contents = encode(PICTURE.convert(mode), format, **settings)
    expected = by_pillow(contents)
    for decode in (IN_GRAPH, images_preprocessing.ImagePreprocessing(32).decode):
        decoded = decode(tf.constant(contents)).numpy()
        assert decoded.dtype == np.uint8
        np.testing.assert_array_equal(decoded, expected)


def test_few_colours_with_few_bits():
    picture = PICTURE.quantize(4)
    contents = encode(picture, "PNG", bits=2)
    np.testing.assert_array_equal(IN_GRAPH(contents), np.asarray(picture.convert("RGB")))


def test_animation_gives_first_frame():
    other = Image.fromarray(255 - PIXELS).convert("P")
    contents = encode(PICTURE.convert("P"), "GIF", save_all=True, append_images=[other])
    np.testing.assert_array_equal(IN_GRAPH(contents), by_pillow(contents))


def test_16_bits_are_scaled():
    values = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    decoded = IN_GRAPH(encode(Image.fromarray(values), "PNG")).numpy()
    np.testing.assert_array_equal(decoded[..., 1], np.rint(values / 257))


@pytest.mark.parametrize("bits", [2, 8])
def test_transparent_pixels_are_white(bits):
    if bits == 8:
        alpha = np.random.default_rng(1).integers(0, 256, (40, 60, 1), np.uint8)
        rgba = np.concatenate([PIXELS, alpha], -1)
        contents = encode(Image.fromarray(rgba), "PNG")
    else:
        contents = encode(PICTURE.quantize(4), "PNG", bits=2, transparency=0)
        rgba = np.asarray(Image.open(io.BytesIO(contents)).convert("RGBA"))
    share = rgba[..., 3:] / 255.0
    expected = rgba[..., :3] * share + 255 * (1 - share)
    np.testing.assert_allclose(IN_GRAPH(contents), expected, atol=0.51)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_as_pillow_turns_it(format, orientation):
    data = Image.Exif()
    data[0x010F], data[0x0112] = "a maker", orientation
    settings = {"lossless": True} if format == "WEBP" else {}
    contents = encode(PICTURE, format, exif=data, **settings)
    assert int(exif.orientation(tf.constant(contents))) == orientation
    np.testing.assert_array_equal(IN_GRAPH(contents), by_pillow(contents))


def test_orientation_big_endian_after_other_segments():
    entry = b"\x01\x12\0\3\0\0\0\1\0\6\0\0"
    data = b"Exif\0\0MM\0*\0\0\0\x08\0\1" + entry + b"\0\0\0\0"
    plain = encode(PICTURE, "JPEG")
    segment = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    other = b"\xff\xfe\0\x08Exif\0\0"  # a comment that only looks like it
    contents = plain[:2] + other + segment + plain[2:]
    assert int(exif.orientation(tf.constant(contents))) == 6
    np.testing.assert_array_equal(IN_GRAPH(contents), by_pillow(contents))


def test_damaged_exif_is_upright():
    data = Image.Exif()
    data[0x0112] = 6
    contents = encode(PICTURE, "JPEG", exif=data)
    start = contents.index(b"Exif")
    for end in range(start, start + 40):
        cut = contents[:end]
        assert int(exif.orientation(tf.constant(cut))) in (1, 6)
    for place in range(start + 6, start + 36):
        changed = contents[:place] + b"\xff" + contents[place + 1 :]
        assert 1 <= int(exif.orientation(tf.constant(changed))) <= 8


@pytest.mark.parametrize("size", [(96, 96), (20, 31), (300, 200)])
def test_resize_is_pillows_bilinear(size):
    pixels = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
    resized = images_preprocessing.ImagePreprocessing(48).resize(tf.constant(pixels)).numpy()
    bands = [Image.fromarray(pixels[..., band].astype(np.float32)) for band in range(3)]
    bilinear = Image.Resampling.BILINEAR
    expected = np.stack([np.asarray(band.resize((48, 48), bilinear)) for band in bands], -1)
    assert resized.dtype == np.float32
    np.testing.assert_array_equal(resized, np.rint(resized))
    assert resized.min() >= 0 and resized.max() <= 255
    np.testing.assert_allclose(resized, expected, atol=0.52)
    batch = images_preprocessing.ImagePreprocessing(48).resize(tf.constant(pixels[None]))
    np.testing.assert_array_equal(batch[0], resized)
    grey = images_preprocessing.ImagePreprocessing(48).resize(tf.constant(pixels[..., :1]))
    np.testing.assert_array_equal(grey, np.repeat(resized[..., :1], 3, -1))


@pytest.fixture(scope="module")
def photos():
    """name -> bytes of JPEG files of 300 to 1,411 pixels."""
    folders = {
        pathlib.Path(sklearn.datasets.__file__).parent / "images": ["china.jpg", "flower.jpg"],
        pathlib.Path(skimage.data.__file__).parent: ["rocket.jpg", "retina.jpg"],
    }
    files = [folder / name for folder, names in folders.items() for name in names]
    found = {file.stem: file.read_bytes() for file in files}
    for name in ("astronaut", "coffee", "chelsea", "camera"):
        picture = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
        found[name] = encode(picture, "JPEG", quality=90)
    return found


@pytest.mark.parametrize(("ratio", "tolerance"), [(2, 0.6), (4, 0.8), (8, 1.0)])
def test_decoding_at_a_part_of_the_size_is_near_the_whole(photos, ratio, tolerance):
    differences = []
    for contents in photos.values():
        side = min(Image.open(io.BytesIO(contents)).size)
        preprocessing = images_preprocessing.ImagePreprocessing(
            int(side / images_preprocessing.LEAST_SHRINKING / ratio)
        )
        whole = preprocessing.resize(preprocessing.decode(tf.constant(contents)))
        differences.append(np.abs(preprocessing(tf.constant(contents)) - whole).mean())
    assert 0 < np.mean(differences) < tolerance
    assert max(differences) < 2


def test_jpegs_are_decoded_whole_where_a_part_would_be_too_small(photos):
    for contents in photos.values():
        least = 2 * images_preprocessing.LEAST_SHRINKING
        side = int(min(Image.open(io.BytesIO(contents)).size) / least) + 1
        preprocessing = images_preprocessing.ImagePreprocessing(side)
        whole = preprocessing.resize(preprocessing.decode(tf.constant(contents)))
        np.testing.assert_array_equal(preprocessing(tf.constant(contents)), whole)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size_px", [24, 96])
def test_small_images_are_turned_as_large_ones(photos, orientation, size_px):
    data = Image.Exif()
    data[0x0112] = orientation
    picture = Image.open(io.BytesIO(photos["china"])).crop((0, 0, 333, 221))
    preprocessing = images_preprocessing.ImagePreprocessing(size_px)  # a quarter, and whole
    plain = preprocessing(tf.constant(encode(picture, "JPEG")))
    contents = tf.constant(encode(picture, "JPEG", exif=data))
    turned = preprocessing(contents)
    np.testing.assert_array_equal(turned, exif.turn_upright(plain, tf.constant(orientation)))
    difference = np.abs(turned - preprocessing.resize(preprocessing.decode(contents)))
    assert difference.max() <= 1 if size_px == 96 else difference.mean() < 2


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_cmyk_jpegs_at_a_part_of_their_size(photos, mode, channels):
    picture = Image.open(io.BytesIO(photos["china"])).convert(mode)
    preprocessing = images_preprocessing.ImagePreprocessing(48, channels)
    contents = tf.constant(encode(picture, "JPEG", progressive=mode == "L"))
    whole = preprocessing.resize(preprocessing.decode(contents))
    assert 0 < np.abs(preprocessing(contents) - whole).mean() < 1


def test_grey_for_small_networks():
    preprocessing = images_preprocessing.ImagePreprocessing(40, channels=1)
    grey = preprocessing.decode(tf.constant(encode(PICTURE, "PNG"))).numpy()
    expected = PIXELS.astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey[..., 0], expected, atol=0.51)
    digit = np.random.default_rng(3).integers(0, 256, (40, 40, 1), np.uint8)
    np.testing.assert_array_equal(preprocessing.resize(tf.constant(digit)), digit)
    in_colour = images_preprocessing.ImagePreprocessing(40).resize(tf.constant(digit))
    np.testing.assert_array_equal(in_colour, np.repeat(digit, 3, -1))


def test_batch_equals_single_images():
    preprocessing = images_preprocessing.ImagePreprocessing(24)
    contents = [
        encode(PICTURE, "PNG"),
        encode(PICTURE, "JPEG"),
        encode(PICTURE.convert("L"), "BMP"),
    ]
    batch = tf.function(preprocessing.decode_batch)(tf.constant(contents))
    assert batch.shape == (3, 24, 24, 3)
    for number, item in enumerate(contents):
        np.testing.assert_array_equal(batch[number], preprocessing(tf.constant(item)))


@pytest.mark.parametrize(
    ("bad", "named"), [([1], r"image \[1\]"), ([0, 2], r"image \[0 2\]"), ([0, 1, 2], "0 1 2")]
)
def test_corrupt_image_is_named_by_position(bad, named):
    good = encode(PICTURE, "JPEG")
    damaged = {0: b"", 1: good[: len(good) // 2], 2: b"<html>"}
    contents = [damaged[place] if place in bad else good for place in range(3)]
    decode = tf.function(images_preprocessing.ImagePreprocessing(24).decode_batch)
    with pytest.raises(tf.errors.InvalidArgumentError, match=named):
        decode(tf.constant(contents))


def test_exported_graph_gives_the_same(tmp_path):
    preprocessing = images_preprocessing.ImagePreprocessing(24)
    module = tf.Module()
    module.decode = tf.function(
        preprocessing.decode_batch, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path), signatures=None)
    large = Image.fromarray(PIXELS.repeat(4, 0).repeat(4, 1))
    contents = tf.constant([encode(PICTURE, "JPEG"), encode(large, "JPEG")])
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(loaded.decode(contents), preprocessing.decode_batch(contents))
    assert loaded.decode(tf.constant([], tf.string)).shape == (0, 24, 24, 3)


def test_config():
    preprocessing = images_preprocessing.ImagePreprocessing(24, channels=1)
    assert (
        images_preprocessing.ImagePreprocessing.from_config(preprocessing.to_config())
        == preprocessing
    )


def test_the_graph_of_reading_is_made_once_for_all_datasets(monkeypatch):
    made, orientation = [], exif.orientation
    monkeypatch.setattr(exif, "orientation", lambda found: made.append(1) or orientation(found))
    contents = tf.constant([encode(PICTURE, "PNG")] * 3)
    answers = [
        next(iter(tf.data.Dataset.from_tensor_slices(contents).map(own.read).batch(3)))["image"]
        for own in (images_preprocessing.ImagePreprocessing(39) for _ in range(2))
    ]
    assert len(made) == 1, "an equal preprocessing has the same graph"
    expected = images_preprocessing.ImagePreprocessing(39)._read_one(contents[0])
    for found in answers:
        np.testing.assert_array_equal(found, np.stack([expected] * 3))
