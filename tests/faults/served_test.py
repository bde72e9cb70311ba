"""Rows 91 to 98 of the matrix, and 14 and 68 as they are served: requests to an export.

Rows 95 and 97 are limits of a real model server and of the proxy before it; they have no case.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import served
from tests.faults import images_test
from tests.faults.faults_tables_test import ODD_TEXTS
from tests.faults.making import bounded_memory, covers, encoded, picture
from tltf.serving.export import saved_model

INVALID = tf.errors.InvalidArgumentError
PICTURES = [encoded(picture(number, (20 + number, 17))) for number in range(3)]
SHAPES = [(2, 15, 16, 3), (2, 16, 16, 1), (16, 16, 3)]
BAD_IMAGES = {
    "no bytes": b"",
    "text": b"!!! no base64 was decoded !!!",
    "cut": encoded(picture(9, (64, 64)), "JPEG")[:900],
    "header only": b"\x89PNG\r\n\x1a\n",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """name -> folder of the versions of an export."""
    found = {}
    for name, trained in (("photos", served.image_once()), ("reviews", served.text_once())):
        found[name] = tmp_path_factory.mktemp(name)
        saved_model.export_saved_model(trained, found[name], 1, False)
    return found


@pytest.fixture(scope="module")
def photos(folders):
    return loaded(folders["photos"])


@pytest.fixture(scope="module")
def reviews(folders):
    return loaded(folders["reviews"])


def loaded(folder):
    return tf.saved_model.load(str(folder / "1")).signatures


@pytest.fixture(scope="module")
def client(folders):
    """A client of a model server in this process."""
    pytest.importorskip("tensorflow_serving")
    ovmsclient = pytest.importorskip("ovmsclient")
    from tests import prediction_service

    with prediction_service.serve_grpc(folders) as address:
        yield ovmsclient.make_grpc_client(address)


def ask(signatures, images):
    return signatures["serving_default"](image_bytes=tf.constant(images, tf.string))


def expected(trained, inputs):
    rows = trained.predict(inputs)
    assert [row.error for row in rows] == [""] * len(rows)
    return np.array([list(row.probabilities.values()) for row in rows])


@functools.cache
def usual():
    return expected(served.image_once(), PICTURES)


def require_well(signatures):
    """The next request is answered as if there had been none before."""
    answer = ask(signatures, PICTURES)["probabilities"]
    np.testing.assert_allclose(answer, usual(), atol=1e-6)


@covers(14)
def test_eight_orientations_are_served_as_they_are_predicted(photos):
    images = [images_test.turned(orientation) for orientation in range(1, 9)]
    answer = ask(photos, images)["probabilities"].numpy()
    np.testing.assert_allclose(answer, expected(served.image_once(), images), atol=1e-5)
    assert np.ptp(answer, axis=0).max() > 1e-5, "the turns are seen at all"


@covers(68)
def test_odd_texts_are_served_as_they_are_predicted(reviews):
    texts = [*ODD_TEXTS, "lone \ud800 half"]
    raw = [text.encode("utf-8", "replace") for text in texts]
    answer = reviews["serving_default"](text=tf.constant(raw))["probabilities"]
    np.testing.assert_allclose(answer, expected(served.text_once(), texts), atol=1e-6)


@covers(91)
def test_an_empty_batch_gets_an_empty_answer(photos, reviews):
    for answer in (ask(photos, []), reviews["serving_default"](text=tf.constant([], tf.string))):
        assert answer["label"].shape == (0,) and answer["probabilities"].shape[0] == 0
    require_well(photos)


@covers(91)
def test_an_empty_batch_gets_an_empty_answer_of_a_server(client):
    answer = client.predict({"text": np.array([], np.bytes_)}, "reviews")
    assert answer["label"].shape == (0,)
    assert len(client.predict({"image_bytes": PICTURES}, "photos")["label"]) == 3


@covers(92)
@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"image_bytes": np.zeros(2, np.float32)}, "input image_bytes is float32"),
        ({"image_bytes": np.array([[b"a", b"b"]])}, r"input image_bytes is string\(1, 2\)"),
        ({"picture": [b"a"]}, r"'picture'.*'image_bytes'"),
        ({"image_bytes": PICTURES, "more": [1.0]}, "'more'"),
        ({}, "'image_bytes'"),
    ],
)
def test_requests_of_another_form_are_invalid(client, inputs, named):
    import ovmsclient

    with pytest.raises(ovmsclient.InvalidInputError, match=named):
        client.predict(inputs, "photos")
    assert len(client.predict({"image_bytes": PICTURES}, "photos")["label"]) == 3


@covers(92)
@pytest.mark.parametrize("shape", SHAPES)
def test_tensors_of_another_shape_are_refused(photos, shape):
    with pytest.raises(INVALID):
        photos["tensors"](image=tf.zeros(shape))
    require_well(photos)


@covers(92)
@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        *(("tensors", {"image": np.zeros(shape, np.float32)}) for shape in SHAPES),
        ("serving_default", {"image_bytes": np.array([PICTURES[:2]], object)}),
        ("serving_default", {"image_bytes": np.array(PICTURES[0], object)}),
    ],
)
def test_the_input_of_another_shape_is_named(photos, signature, inputs):
    given = {name: tf.constant(value) for name, value in inputs.items()}
    with pytest.raises(INVALID, match=r"input_image(_bytes)? \[.*not compatible with expected"):
        photos[signature](**given)


@covers(93)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_in_the_graph(photos, value):
    pixels = np.zeros((2, 16, 16, 3), np.float32)
    pixels[1, 2, 3, 0] = value
    with pytest.raises(INVALID, match="input image has numbers that are not finite"):
        photos["tensors"](image=tf.constant(pixels))
    require_well(photos)


@covers(94)
@pytest.mark.parametrize("bad", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_corrupt_image_fails_its_own_request_only(photos, bad):
    with pytest.raises(INVALID, match=r"image \[?1\]? of the batch cannot be decoded"):
        ask(photos, [PICTURES[0], bad, PICTURES[1]])
    require_well(photos)


@covers(94)
def test_a_corrupt_image_harms_no_other_client(client):
    import ovmsclient

    cut = BAD_IMAGES["cut"]
    with pytest.raises(ovmsclient.InvalidInputError, match=r"image \[?0\]? of the batch"):
        client.predict({"image_bytes": [cut, PICTURES[0]]}, "photos")
    with pytest.raises(ovmsclient.InvalidInputError, match="Invalid JPEG data"):
        client.predict({"image_bytes": [cut]}, "photos")
    assert len(client.predict({"image_bytes": PICTURES}, "photos")["label"]) == 3


@covers(96)
def test_a_bomb_is_refused_by_its_header(photos):
    bomb = images_test.bomb(side=10_000)
    with bounded_memory(100), pytest.raises(INVALID, match="the image is too large"):
        ask(photos, [bomb])
    with bounded_memory(100), pytest.raises(INVALID, match=r"image \[?1\]? of the batch"):
        ask(photos, [PICTURES[0], bomb])


@covers(96)
def test_a_header_beyond_what_tensorflow_decodes_is_refused(photos):
    """Its guard is at 2^29 pixels; nothing of the picture itself has to follow the header."""
    content = bytearray(encoded(Image.new("RGB", (8, 8))))
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    with bounded_memory(100), pytest.raises(INVALID, match="the image is too large"):
        ask(photos, [bytes(content)])
    require_well(photos)


@covers(98)
@pytest.mark.parametrize(("name", "version"), [("photos", 7), ("unknown", 0)])
def test_unknown_models_and_versions_are_not_found(client, name, version):
    import ovmsclient

    with pytest.raises(ovmsclient.ModelNotFoundError, match="not found"):
        client.predict({"image_bytes": PICTURES}, name, model_version=version)
