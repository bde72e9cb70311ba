"""Alarms are posted as JSON, again where the server is busy, and never kept from the user."""

import http.server
import json
import threading

import pytest

from tltf.errors import FlagError
from tltf.serving.monitoring import webhook


class Listening(http.server.BaseHTTPRequestHandler):
    """Answers with the codes of the server, one after the other, and keeps what is posted."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
        code = self.server.codes.pop(0)
        self.send_response(code)
        if code in (301, 302):
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self):
        self.server.got.append(("GET", "", {}))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Nothing is printed."""


@pytest.fixture(name="server")
def _server(monkeypatch):
    monkeypatch.setattr(webhook, "FIRST_WAIT_S", 0.01)
    server = http.server.HTTPServer(("127.0.0.1", 0), Listening)
    server.got, server.codes = [], []
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("codes", "num", "reason"),
    [
        ([200], 1, ""),
        ([503, 429, 204], 3, ""),
        ([500, 500, 500], 3, "answered 500"),
        ([404], 1, "answered 404"),
        ([302], 1, "answered 302"),
    ],
)
def test_posts(server, codes, num, reason):
    server.codes = list(codes)
    address = f"http://127.0.0.1:{server.server_port}/secret"
    told = webhook.post(address, {"text": "négatif"})
    assert bool(told) == bool(reason) and reason in told and "secret" not in told
    assert server.got == [("/secret", "application/json; charset=utf-8", {"text": "négatif"})] * num


def test_a_server_that_is_not_there(server):
    port = server.server_port
    server.shutdown()
    server.server_close()
    assert "could not be told" in webhook.post(f"http://127.0.0.1:{port}/x", {})


@pytest.mark.parametrize("address", ["example.org/hook", "ftp://x/y", "https://", "file:///etc"])
def test_other_addresses_are_refused(address):
    with pytest.raises(FlagError, match="takes an address"):
        webhook.check(address)
    webhook.check("https://example.org/hook?token=1")
