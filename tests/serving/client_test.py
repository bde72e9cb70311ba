"""Exports behind a model server, asked by ovmsclient and by our own clients."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving")
ovmsclient = pytest.importorskip("ovmsclient")

from tests import prediction_service, served  # noqa: E402
from tests.serving.conftest import png  # noqa: E402
from tltf.errors import DataError, ModelError, StorageError  # noqa: E402
from tltf.serving import client as serving_client  # noqa: E402
from tltf.serving.export import saved_model  # noqa: E402

PICTURES = [png(12), png(40), png(16)]


@pytest.fixture(scope="module")
def models(exports):
    return exports


@pytest.fixture(scope="module")
def address(models):
    with prediction_service.serve_grpc(models[1]) as found:
        yield found


@pytest.fixture(scope="module")
def client(address):
    return ovmsclient.make_grpc_client(address)


@pytest.fixture(scope="module", params=["grpc", "rest"])
def ours(request, models, address):
    if request.param == "grpc":
        yield lambda *args: serving_client.GrpcClient(address, *args)
    else:
        with prediction_service.serve_rest(models[1]) as found:
            yield lambda *args: serving_client.RestClient(found, *args)


def expected(trained, inputs):
    predictions = trained.predict(inputs)
    rows = np.array([list(p.probabilities.values()) for p in predictions])
    return [p.label for p in predictions], rows


def test_ovmsclient_gets_the_answers_of_the_image_model(models, client):
    given = client.predict({"image_bytes": PICTURES}, "photos", timeout=60.0)
    labels, rows = expected(models[0]["photos"], PICTURES)
    assert [label.decode() for label in given["label"]] == labels
    np.testing.assert_allclose(given["probabilities"], rows, atol=1e-5)


def test_ovmsclient_gets_the_answers_of_the_text_model(models, client):
    given = client.predict({"text": list(served.TEXTS)}, "reviews", model_version=3, timeout=60.0)
    labels, rows = expected(models[0]["reviews"], list(served.TEXTS))
    assert [label.decode() for label in given["label"]] == labels
    np.testing.assert_allclose(given["probabilities"], rows, atol=1e-5)


def test_metadata_tell_inputs_and_outputs(client):
    given = client.get_model_metadata("photos")
    assert given["model_version"] == 3
    assert given["inputs"] == {"image_bytes": {"shape": [-1], "dtype": "DT_STRING"}}
    assert given["outputs"] == {
        "label": {"shape": [-1], "dtype": "DT_STRING"},
        "probabilities": {"shape": [-1, 3], "dtype": "DT_FLOAT"},
    }


def test_an_empty_batch_gets_an_empty_answer(client):
    given = client.predict({"text": np.array([], np.bytes_)}, "reviews")
    assert given["label"].shape == (0,)
    assert given["probabilities"].shape == (0, 2)


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"image_bytes": np.zeros(2, np.float32)}, "image_bytes"),
        ({"image_bytes": np.array([[b"a", b"b"]])}, "image_bytes"),
        ({"picture": [b"a"]}, "picture"),
        ({"image_bytes": PICTURES, "more": [1.0]}, "more"),
        ({}, "image_bytes"),
        ({"image_bytes": [PICTURES[0], b"no image", PICTURES[1]]}, r"image \[?1\]? of the batch"),
    ],
)
def test_bad_requests_are_told_what_is_wrong_and_harm_no_other(client, inputs, named):
    with pytest.raises(ovmsclient.InvalidInputError, match=named):
        client.predict(inputs, "photos")
    assert len(client.predict({"image_bytes": PICTURES}, "photos")["label"]) == 3


@pytest.mark.parametrize(("name", "version"), [("photos", 2), ("other", 0)])
def test_unknown_models_and_versions_are_not_found(client, name, version):
    with pytest.raises(ovmsclient.ModelNotFoundError, match="not found"):
        client.predict({"image_bytes": PICTURES}, name, model_version=version)


def test_our_clients_get_the_same_answers(models, ours):
    for name, inputs in (("photos", PICTURES), ("reviews", [*served.TEXTS, "\ud800"])):
        labels, rows = expected(models[0][name], inputs)
        answer = ours(name).classify(inputs)
        assert list(answer.labels) == labels
        np.testing.assert_allclose(answer.probabilities, rows, atol=1e-5)


def test_our_clients_keep_zeros_at_the_end_of_an_image(models, ours):
    assert ours("photos").classify([PICTURES[0] + b"\0\0"]).labels


def test_our_clients_raise_our_errors(ours):
    assert ours("photos").classify([]) == serving_client.Answer((), ())
    with pytest.raises(DataError, match=r"image \[?1\]? of the batch"):
        ours("photos").classify([PICTURES[0], b"no image"])
    with pytest.raises(ModelError, match="not found"):
        ours("photos", 9).classify(PICTURES)
    with pytest.raises(DataError, match="not a mix"):
        ours("photos").classify([b"a", "b"])


@pytest.mark.parametrize("kind", [serving_client.RestClient, serving_client.GrpcClient])
def test_no_server(kind):
    with pytest.raises(StorageError, match="no answer"):
        kind("localhost:9", "photos", timeout_s=2.0, retries=0).classify(["a"])


def test_the_clients_take_no_tensorflow():
    code = "import sys, ovmsclient\nfrom tltf import serving\nprint('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.large
def test_minilm_is_served(tmp_path):
    trained = served.text("minilm_l6")
    saved_model.export_saved_model(trained, tmp_path, None, True)
    with prediction_service.serve_grpc({"reviews": tmp_path}) as found:
        answer = serving_client.GrpcClient(found, "reviews").classify(served.TEXTS)
    labels, rows = expected(trained, list(served.TEXTS))
    assert list(answer.labels) == labels
    np.testing.assert_allclose(answer.probabilities, rows, atol=1e-5)
