"""The server speaks TF Serving's REST, refuses what it must, and loses nothing."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("prometheus_client")

from tests import served
from tests.serving.conftest import png
from tltf.config import options
from tltf.config.command_options import ServeOptions
from tltf.errors import StorageError
from tltf.serving.server import app, running
from tltf.serving.server.exported_model import LoadedVersion


def start(model, **values):
    chosen = options.make(ServeOptions, port=0, max_batch=8, num_workers=1, **values)
    return running.EmbeddedServer(model, chosen)


@pytest.fixture(scope="module")
def photos(loaded):
    with start(loaded["photos"], max_body_mb=1) as server:
        yield server.address


@pytest.fixture(scope="module")
def reviews(loaded):
    with start(loaded["reviews"]) as server:
        yield server.address


def ask(address, path, body=None, headers=()):
    """`(status, JSON or text)` of a GET, or of a POST of a body."""
    connection = http.client.HTTPConnection(address, timeout=30)
    content = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    with contextlib.closing(connection):
        connection.request("POST" if body is not None else "GET", path, content, dict(headers))
        response = connection.getresponse()
        text = response.read()
        is_json = response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(text) if is_json else text.decode()


def b64(contents):
    return {"b64": base64.b64encode(contents).decode()}


def probabilities(trained, inputs):
    return [list(p.probabilities.values()) for p in trained.predict(inputs)]


def test_rows_and_columns_get_the_answers_of_the_model(photos):
    pictures = [png(12), png(40), png(16)]
    expected = probabilities(served.image_once(), pictures)
    path = "/v1/models/photos:predict"
    status, columns = ask(photos, path, {"inputs": {"image_bytes": [b64(p) for p in pictures]}})
    assert status == 200 and columns["outputs"].keys() == {"label", "probabilities"}
    np.testing.assert_allclose(columns["outputs"]["probabilities"], expected, atol=1e-5)
    for rows in ([b64(p) for p in pictures], [{"image_bytes": b64(p)} for p in pictures]):
        status, answer = ask(photos, path, {"instances": rows})
        assert status == 200
        assert [r["label"] for r in answer["predictions"]] == columns["outputs"]["label"]
        found = [r["probabilities"] for r in answer["predictions"]]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_versions_and_labels(photos):
    body = {"instances": [b64(png(12))]}
    for part in ("", "/versions/3", "/labels/stable"):
        assert ask(photos, f"/v1/models/photos{part}:predict", body)[0] == 200
        status, answer = ask(photos, f"/v1/models/photos{part}")
        (state,) = answer["model_version_status"]
        assert (status, state["version"], state["state"]) == (200, "3", "AVAILABLE")
    for path in ("photos/versions/2", "photos/labels/x", "other", f"photos/versions/{9**30}"):
        assert ask(photos, f"/v1/models/{path}:predict", body)[0] == 404


def test_metadata_have_the_form_of_tf_serving(reviews):
    pb2 = pytest.importorskip("tensorflow_serving.apis.get_model_metadata_pb2")
    from google.protobuf import json_format

    status, found = ask(reviews, "/v1/models/reviews/metadata")
    assert status == 200 and found["model_spec"]["version"] == "3"
    parsed = json_format.ParseDict(found["metadata"]["signature_def"], pb2.SignatureDefMap())
    inputs = {name: set(s.inputs) for name, s in parsed.signature_def.items()}
    assert inputs["serving_default"] == {"text"} and inputs["token_ids"] == {"token_ids"}
    assert inputs["tensors"] == {"token_ids", "padding_mask"}
    shape = parsed.signature_def["tensors"].inputs["token_ids"].tensor_shape
    assert [dim.size for dim in shape.dim] == [-1, 12]


def test_token_ids_get_the_answers_of_their_texts(reviews):
    trained = served.text_once()
    tensors = trained.preprocessing(list(served.TEXTS))
    expected = probabilities(trained, list(served.TEXTS))
    lengths = tensors["padding_mask"].numpy().sum(1)
    path = "/v1/models/reviews:predict"
    for row, length, scores in zip(tensors["token_ids"].numpy(), lengths, expected, strict=True):
        ids = row[:length].tolist()  # as a client with a tokenizer has them, without padding
        body = {"signature_name": "token_ids", "instances": [ids]}
        status, answer = ask(reviews, path, body)
        assert status == 200
        np.testing.assert_allclose(answer["predictions"][0]["probabilities"], scores, atol=1e-5)
    body = {"signature_name": "token_ids", "instances": [[1] * 13]}
    status, answer = ask(reviews, path, body)
    assert status == 400 and "more than 12 tokens" in answer["error"]


PICTURE = b64(png(12))
BAD_BODIES = {
    "no JSON": b'{"instances": [',
    "not UTF-8": b"\xff\xfe\xfa",
    "nested too deeply": b'{"instances": ' + b"[" * 100_000,
    "a list": [1],
    "no rows": {"signature_name": "serving_default"},
    "both formats": {"instances": [], "inputs": []},
    "no list": {"instances": "a"},
    "no such signature": {"signature_name": "x", "instances": []},
    "a signature that is no name": {"signature_name": ["x"], "instances": []},
    "numbers for bytes": {"instances": [1.5]},
    "not base64": {"instances": [{"b64": "%%%"}]},
    "base64 of a number": {"instances": [{"b64": 5}]},
    "nested bytes": {"instances": [[PICTURE]]},
    "another input": {"inputs": {"picture": [PICTURE]}},
    "no image": {"instances": [b64(b"no image")]},
    "a cut image": {"instances": [b64(png(40)[:100])]},
    "texts for numbers": {"signature_name": "tensors", "instances": [["a"]]},
    "uneven rows": {"signature_name": "tensors", "instances": [[[1]], [[1, 2]]]},
    "a wrong shape": {"signature_name": "tensors", "instances": [[[1.0]]]},
    "no numbers": {"signature_name": "tensors", "instances": [None]},
    "not finite": b'{"signature_name": "tensors", "inputs": '
    + json.dumps([[[[float("nan")] * 3] * 16] * 16]).encode()
    + b"}",
    "too many digits": b'{"signature_name": "tensors", "instances": [' + b"9" * 5000 + b"]}",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_bodies_are_told_what_is_wrong(photos, body):
    status, answer = ask(photos, "/v1/models/photos:predict", body)
    assert status == 400 and len(answer["error"]) > 8
    assert "Traceback" not in answer["error"] and len(answer["error"]) <= app.MOST_MESSAGE


def test_a_bad_image_is_named_by_its_place(photos):
    rows = [b64(png(12)), b64(b"no image")]
    status, answer = ask(photos, "/v1/models/photos:predict", {"instances": rows})
    assert status == 400 and re.search(r"image \[?1\]? of the batch", answer["error"])


def test_paths_and_methods_that_are_not_there(photos):
    assert ask(photos, "/v1/nothing")[0] == 404
    assert ask(photos, "/v1/models/photos:classify", {})[0] == 404
    assert ask(photos, "/v1/models/photos:predict")[0] == 405
    assert ask(photos, "/v1/models/photos", {})[0] == 405


def test_an_empty_batch_gets_an_empty_answer(photos):
    assert ask(photos, "/v1/models/photos:predict", {"instances": []}) == (200, {"predictions": []})


@pytest.mark.parametrize("megabytes", [2, 9])
def test_a_body_beyond_the_limit_gets_413(photos, megabytes):
    body = b'{"instances": ["' + b"a" * (megabytes << 20) + b'"]}'
    with contextlib.suppress(ConnectionError):  # what is far beyond it is not even read
        status, answer = ask(photos, "/v1/models/photos:predict", body)
        assert status == 413 and "more than 1048576" in answer["error"]
    assert ask(photos, "/v1/models/photos:predict", {"instances": [PICTURE]})[0] == 200


def test_a_request_more_than_the_queue_holds_gets_429(loaded, monkeypatch):
    free, begun, real = threading.Event(), threading.Event(), LoadedVersion.compute

    def compute(self, signature, arrays):
        begun.set()
        assert free.wait(20)
        return real(self, signature, arrays)

    monkeypatch.setattr(LoadedVersion, "compute", compute)
    body, path = {"instances": ["a good film"]}, "/v1/models/reviews:predict"
    with (
        start(loaded["reviews"], max_queue=3) as server,
        concurrent.futures.ThreadPoolExecutor(3) as pool,
    ):
        waiting = [pool.submit(ask, server.address, path, body) for _ in range(3)]
        assert begun.wait(20)
        end = time.monotonic() + 20
        while "tltf_requests_in_flight 3.0" not in ask(server.address, "/metrics")[1]:
            assert time.monotonic() < end
        status, answer = ask(server.address, path, body)
        assert status == 429 and "3 requests wait" in answer["error"]
        assert ask(server.address, "/v1/models/reviews")[0] == 200, "its state is still told"
        free.set()
        assert [future.result()[0] for future in waiting] == [200] * 3


def test_stopping_answers_what_waits(loaded, monkeypatch):
    free, begun, real = threading.Event(), threading.Event(), LoadedVersion.compute

    def compute(self, signature, arrays):
        begun.set()
        assert free.wait(20)
        return real(self, signature, arrays)

    monkeypatch.setattr(LoadedVersion, "compute", compute)
    body, path = {"instances": ["a good film"]}, "/v1/models/reviews:predict"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        with start(loaded["reviews"]) as server:
            waiting = [pool.submit(ask, server.address, path, body) for _ in range(2)]
            assert begun.wait(20)
            time.sleep(0.2)
            threading.Timer(0.5, free.set).start()
        assert [future.result()[0] for future in waiting] == [200, 200]
    with pytest.raises(OSError):
        ask(server.address, path, body)


def test_figures_for_prometheus(photos):
    from prometheus_client.parser import text_string_to_metric_families

    body = {"instances": [PICTURE]}

    def value(name, **labels):
        families = text_string_to_metric_families(ask(photos, "/metrics")[1])
        samples = [s for f in families for s in f.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    names = [("tltf_requests_total", {"status": "200"}), ("tltf_request_seconds_count", {})]
    names.append(("tltf_batch_rows_sum", {}))
    before = [value(name, **labels) for name, labels in names]
    assert ask(photos, "/v1/models/photos:predict", body)[0] == 200
    after = [value(name, **labels) for name, labels in names]
    assert [b - a for a, b in zip(before[1:], after[1:], strict=True)] == [1, 1]
    assert after[0] > before[0] and value("tltf_model_version") == 3
    assert ask(photos, "/monitoring/prometheus/metrics")[0] == 200


def test_a_client_that_goes_away_harms_nobody(photos):
    host, port = photos.split(":")
    for content in (
        b"POST /v1/models/photos:predict HTTP/1.1\r\nContent-Length: 99\r\n\r\n{",
        b"\0",
    ):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(content)
    assert ask(photos, "/v1/models/photos:predict", {"instances": [PICTURE]})[0] == 200


def test_many_clients_at_once_each_get_their_own_answer(photos):
    pictures = [png(size) for size in range(8, 32)]
    expected = probabilities(served.image_once(), pictures)

    def one(picture):
        body = {"instances": [b64(picture)]}
        return ask(photos, "/v1/models/photos:predict", body)[1]["predictions"][0]

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        found = [answer["probabilities"] for answer in pool.map(one, pictures)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_port_that_is_taken(photos, loaded):
    port = int(photos.split(":")[1])
    chosen = options.make(ServeOptions, port=port)
    with pytest.raises(StorageError, match=rf"{port} cannot be taken.*--port=0"):
        running.EmbeddedServer(loaded["photos"], chosen)


def test_the_body_of_an_answer_does_not_wait_for_the_acknowledgement_of_its_header():
    listening = running._listen("127.0.0.1", 0)
    with listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_command_serves_until_sigterm(exports):
    flags = [f"--export={exports[1]['reviews']}", "--name=reviews", "--port=0", "--num_workers=1"]
    command = [sys.executable, "-m", "tltf.serve", *flags]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        url = process.stdout.readline().strip()
        address = url.removeprefix("http://").split("/")[0]
        status, _ = ask(address, "/v1/models/reviews:predict", {"instances": ["a good film"]})
        assert status == 200
        os.kill(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and "error[" not in errors
    assert "warm-up    version 3: 2 requests" in errors and "stopping" in errors
